"""`whosehand data preview`: patches of a corpus, or its pages as they are read."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import ConfigError, ImageError
from search.cli.common import (
    ImageUnit,
    Overrides,
    counted,
    current_workspace,
    notes,
    output,
    progress_bar,
    read_experiment,
)

if TYPE_CHECKING:
    from core.corpora.index import TextImage, Unit
    from core.corpora.settings import CorpusSettings
    from core.scoring.pictures import PageReading
    from search.experiment.experiment import Experiment


def preview(
    experiment: Annotated[
        Path | None, typer.Argument(metavar="EXPERIMENT", help="Its YAML file; optional with --page.")
    ] = None,
    overrides: Overrides = [],  # noqa: B006  (typer copies it)
    out: Annotated[
        Path | None, typer.Option(help="The picture to write; with --all a folder.", show_default="preview.png")
    ] = None,
    n_patches: Annotated[int, typer.Option("--patches", min=1, help="Patches for each writer.")] = 10,
    n_writers: Annotated[int, typer.Option("--writers", min=1, help="Writers, the first ones by id.")] = 20,
    page: Annotated[
        Path | None, typer.Option(help="Draw this page instead, with the lines found on it and some patches.")
    ] = None,
    every_page: Annotated[
        bool, typer.Option("--all", help="Draw every page of the corpus, and an index.html to leaf through.")
    ] = False,
    unit: Annotated[
        ImageUnit | None,
        typer.Option(
            help="What --page is; form: between a printed header and footer.", show_default="corpus.unit, or auto"
        ),
    ] = None,
) -> None:
    """Draw a collage of training patches, a row for each writer; or pages as they are read."""
    if page is not None:
        _draw_page(page, unit, experiment, overrides, out or Path("preview.png"))
        return
    if experiment is None:
        raise typer.BadParameter("Say which experiment, or which page: --page FILE.", param_hint="EXPERIMENT")
    settings = read_experiment(experiment, overrides, needs_budget=False)
    if every_page:
        if out is None:
            raise typer.BadParameter("--all writes many pictures; say into which folder.", param_hint="--out")
        _draw_every_page(settings, out)
    else:
        _draw_patches(settings, out or Path("preview.png"), n_patches, n_writers)


def _draw_patches(settings: "Experiment", out: Path, n_patches: int, n_writers: int) -> None:
    import numpy as np

    from core.patches.plan import PatchSampler
    from core.scoring.pictures import patch_collage
    from search.sweep.preparation import prepare_corpus

    with progress_bar("reading text lines") as advance:
        corpus = prepare_corpus(settings, current_workspace(), advance)
    manifest = corpus.manifest
    sampler = PatchSampler(
        corpus.store, manifest.train, manifest.writer_ids, settings.patches, settings.seed, manifest.leak("train")
    )
    plan = sampler.plan_epoch(0)
    shown = plan[np.isin(plan.labels, np.arange(n_writers))]
    patch_collage(corpus.store, shown, manifest.writer_ids[:n_writers], out, per_writer=n_patches)
    output.print(f"wrote {out}")


def _draw_page(page: Path, unit: ImageUnit | None, experiment: Path | None, overrides: list[str], out: Path) -> None:
    """Draw a page as an experiment reads it, or by the defaults, and say what was found.

    Raises:
        ImageError: if the page cannot be read.
        ConfigError: if the experiment is not valid, or there are overrides and no experiment.
    """
    from core.scoring.pictures import page_picture
    from core.settings import InkSettings, PatchSettings

    ink, patches = InkSettings(), PatchSettings()
    read_as: Unit = unit.value if unit is not None else "auto"
    if experiment is not None:
        settings = read_experiment(experiment, overrides, needs_budget=False)
        ink, patches = settings.ink, settings.patches
        read_as = unit.value if unit is not None else _unit_of(settings.corpus)
    elif overrides:
        raise ConfigError(f"--set needs an experiment whose keys it overrides, but got {', '.join(overrides)} alone.")
    output.print(_found(page_picture(page, read_as, ink, patches, out)))
    output.print(f"wrote {out}")


def _unit_of(settings: "CorpusSettings | None") -> "Unit":
    """What a corpus's files hold, where its settings say so; sentences and words are lines."""
    if settings is None:
        return "auto"
    if settings.layout == "hands":  # a file is a page, also where its lines are taken
        return "page"
    match getattr(settings, "unit", "line"):
        case "page":
            return "page"
        case "form":
            return "form"
        case "auto":
            return "auto"
    return "line"


def _found(read: "PageReading") -> str:
    turned = f", turned by {read.skew_deg:.1f} degrees" if read.skew_deg else ""
    erased = f", {counted(read.n_rules, 'rule')} erased" if read.n_rules else ""
    return f"{counted(read.n_lines, 'line')}, {counted(read.n_patches, 'patch', 'patches')}{erased}{turned}"


@dataclass(frozen=True)
class _DrawnPage:
    """A page of the index: its picture, or why there is none."""

    name: str
    writer_id: str
    picture: str
    text: str
    is_read: bool


def _draw_every_page(settings: "Experiment", folder: Path) -> None:
    from search.sweep.preparation import index_corpus

    index = index_corpus(settings, current_workspace())
    files = {(image.path, image.frame): image for image in reversed(index.images)}
    images = list(reversed(files.values()))
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[_DrawnPage] = []
    with progress_bar("drawing pages") as advance:
        for number, image in enumerate(images, start=1):
            drawn.append(_draw_one(image, settings, folder, f"{number:05d}.png"))
            advance(number, len(images))
    page = folder / "index.html"
    page.write_text(_index_page(index.name, drawn), encoding="utf-8")
    n_unread = sum(not one.is_read for one in drawn)
    output.print(f"wrote {page}: {counted(len(drawn), 'page')}, {n_unread:,} of them cannot be read")


def _draw_one(image: "TextImage", settings: "Experiment", folder: Path, name: str) -> _DrawnPage:
    from core.pages.frames import Page
    from core.scoring.pictures import page_picture

    unit = "page" if image.region is not None else image.unit  # of a page that is cut into regions all is drawn
    page = Page(image.path, image.frame)
    shown = str(page.name)
    try:
        with tempfile.TemporaryDirectory(prefix="whosehand-") as beside:
            found = _found(page_picture(page.file(Path(beside)), unit, settings.ink, settings.patches, folder / name))
    except ImageError as error:
        notes.print(f"not read: {error}")
        return _DrawnPage(shown, image.writer_id, "", str(error), is_read=False)
    return _DrawnPage(shown, image.writer_id, name, found, is_read=True)


def _index_page(corpus: str, drawn: list[_DrawnPage]) -> str:
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(_INDEX)
    return template.render(corpus=corpus, pages=sorted(drawn, key=lambda page: page.is_read))


_INDEX = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ corpus }}: pages as they are read</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; background: #fafafa; color: #222 }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1.5rem }
figure { margin: 0; background: #fff; border: 1px solid #ddd; padding: .7rem; overflow-wrap: anywhere }
img { width: 100%; height: 24rem; object-fit: contain; background: #eee }
.unread { border-color: #b00 }
</style>
<h1>{{ corpus }}</h1>
<p>{{ pages | length }} pages as they are read; those that cannot be read come first.</p>
<main>
{% for page in pages %}<figure{% if not page.is_read %} class="unread"{% endif %}>
{% if page.picture %}<a href="{{ page.picture }}"><img loading="lazy" src="{{ page.picture }}" alt=""></a>{% endif %}
<figcaption><b>{{ page.writer_id }}</b> {{ page.name }}<br>{{ page.text }}</figcaption></figure>
{% endfor %}</main>
</html>
"""
