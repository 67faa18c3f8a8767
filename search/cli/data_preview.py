"""`whosehand data preview`: patches of a corpus, or its pages as they are read."""

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import ConfigError, CorpusError, ImageError
from core.wording import counted
from search.cli.common import (
    ImageUnit,
    Overrides,
    current_workspace,
    notes,
    output,
    print_table,
    progress_bar,
    read_experiment,
)

if TYPE_CHECKING:
    from core.corpora.index import TextImage, Unit
    from core.corpora.settings import CorpusSettings
    from core.pages.line_measures import LineMeasures
    from core.pages.reading_signs import TakenFor
    from core.scoring.page_picture import PageReading
    from search.experiment.experiment import Experiment

_TEMPLATE = "page_index.html.j2"


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
    from core.pages.frames import Page
    from core.scoring.page_picture import page_picture
    from core.settings import InkSettings, PatchSettings

    asked = Page.named(page)
    ink, patches = InkSettings(), PatchSettings()
    read_as: Unit = unit.value if unit is not None else "auto"
    if experiment is not None:
        settings = read_experiment(experiment, overrides, needs_budget=False)
        ink, patches = settings.ink, settings.patches
        read_as = unit.value if unit is not None else _unit_of(asked.path, settings)
    elif overrides:
        raise ConfigError(f"--set needs an experiment whose keys it overrides, but got {', '.join(overrides)} alone.")
    read = page_picture(asked.path, read_as, ink, patches, out, asked.frame)
    output.print(f"{page}, {_said(read_as, read.reading.taken_for)}: {'; '.join(_found(read))}")
    _print_lines(read)
    output.print(f"wrote {out}")


def _unit_of(page: Path, settings: "Experiment") -> "Unit":
    """What the experiment's corpus takes a file for; of a file that is not in it, what its `unit`
    says, where sentences and words are lines.
    """
    from core.corpora.catalogue import open_corpus

    corpus: CorpusSettings | None = settings.corpus
    if corpus is None:
        return "auto"
    if corpus.layout == "hands":  # a file is a page, also where its lines are taken
        return "page"
    with suppress(CorpusError):
        wanted = page.absolute()
        for image in open_corpus(corpus, current_workspace().generated).index().images:
            if image.path.absolute() == wanted and image.region is None:
                return image.unit
    match getattr(corpus, "unit", "line"):
        case "page":
            return "page"
        case "form":
            return "form"
        case "auto":
            return "auto"
    return "line"


def _said(unit: "Unit", taken_for: "TakenFor") -> str:
    names = {"line": "a text line", "paragraph": "a paragraph", "page": "a page", "form": "a form"}
    return f"taken for {names[taken_for]} as its ink tells" if unit == "auto" else f"read as {names[unit]}"


def _found(read: "PageReading") -> list[str]:
    """What was found on a page, and what speaks for it being read badly."""
    reading = read.reading
    found = [f"{counted(reading.n_lines, 'line')}, {counted(read.n_patches, 'patch', 'patches')}"]
    if read.n_rules:
        found[0] += f", {counted(read.n_rules, 'rule')} erased"
    if read.skew_deg:
        found[0] += f", turned by {read.skew_deg:.1f} degrees"
    if reading.n_slivers:
        found.append(f"{counted(reading.n_slivers, 'sliver')} left out")
    return found + [f"read badly: {sign}" for sign in reading.signs]


def _print_lines(read: "PageReading") -> None:
    """What was measured on each line, in pixels of the scan and degrees."""
    header = ("line", "text height (px)", "x-height (px)", "slant (deg)", "skew (deg)", "scale")
    rows = [
        (
            str(number),
            f"{line.text_px:.0f}",
            f"{line.x_height_px:.0f}",
            f"{round(line.slant_deg)}",
            f"{round(line.skew_deg, 1) + 0.0:.1f}",
            f"{line.scale:.2f}",
        )
        for number, line in enumerate(read.lines, start=1)
    ]
    print_table(header, rows)


@dataclass(frozen=True)
class _DrawnPage:
    """A page of the index: its picture, or why there is none.

    Attributes:
        name: of the file, and the page in it.
        writer_id: who wrote it.
        picture: the file's name; empty where the page cannot be read.
        small: the name of a small copy of it.
        found: what was found, in words.
        badness: to order by; infinite where it cannot be read.
        is_bad: whether it cannot be read, or seems to be read badly.
        lines: what was measured on each.
    """

    name: str
    writer_id: str
    picture: str
    small: str
    found: tuple[str, ...]
    badness: float
    is_bad: bool
    lines: "tuple[LineMeasures, ...]" = ()


def _draw_every_page(settings: "Experiment", folder: Path) -> None:
    from search.sweep.preparation import index_corpus

    with progress_bar("looking at the files") as look:
        index = index_corpus(settings, current_workspace(), look)
    files = {(image.path, image.frame): image for image in reversed(index.images)}
    images = list(reversed(files.values()))
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[_DrawnPage] = []
    with progress_bar("drawing pages") as advance:
        for number, image in enumerate(images, start=1):
            drawn.append(_draw_one(image, index.root, settings, folder, f"{number:05d}.jpg"))
            advance(number, len(images))
    page = folder / "index.html"
    page.write_text(_index_page(index.name, drawn), encoding="utf-8")
    n_unread = sum(not one.picture for one in drawn)
    n_bad = sum(one.is_bad for one in drawn) - n_unread
    output.print(
        f"wrote {page}: {counted(len(drawn), 'page')}, {n_unread:,} of them cannot be read, "
        f"{n_bad:,} {'seems' if n_bad == 1 else 'seem'} to be read badly"
    )


def _draw_one(image: "TextImage", root: Path, settings: "Experiment", folder: Path, name: str) -> _DrawnPage:
    from core.pages.frames import Page
    from core.scoring.page_picture import page_picture

    unit = "page" if image.region is not None else image.unit  # of a page that is cut into regions all is drawn
    page = Page(image.path, image.frame).name
    shown = str(page.relative_to(root) if page.is_relative_to(root) else page)
    small = f"{Path(name).stem}-small.jpg"
    try:
        read = page_picture(
            image.path, unit, settings.ink, settings.patches, folder / name, image.frame, folder / small
        )
    except ImageError as error:
        notes.print(f"not read: {error}")
        return _DrawnPage(shown, image.writer_id, "", "", (str(error),), math.inf, is_bad=True)
    reading, found = read.reading, tuple(_found(read))
    return _DrawnPage(shown, image.writer_id, name, small, found, reading.badness, bool(reading.signs), read.lines)


def _index_page(corpus: str, drawn: list[_DrawnPage]) -> str:
    from core.html_page import render_html
    from core.scoring.page_picture import LEGEND

    worst_first = sorted(drawn, key=lambda page: -page.badness)
    n_bad = sum(page.is_bad for page in drawn)
    values = {"corpus": corpus, "pages": worst_first, "n_bad": n_bad, "legend": LEGEND}
    return render_html("search.cli", _TEMPLATE, **values)
