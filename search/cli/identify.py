"""`whosehand identify`: whose hand wrote these images?"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import ImageError
from search.cli.common import (
    ImageUnit,
    current_workspace,
    labelled,
    notes,
    output,
    print_table,
    print_warning,
    progress_bar,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from core.corpora.index import Excluded
    from core.identification.prediction import Prediction
    from search.identification.identify import Identification
    from search.tracking.store import TrackingStore

_SHOWN_WRITERS = 3
_N_DECISIVE = 6


def identify(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Pages, lines or words, or folders of them.", show_default=False),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Registered name (its champion answers), models:/NAME/VERSION, runs:/RUN_ID or a model's folder.",
            show_default="the only one registered",
        ),
    ] = None,
    read_as: Annotated[
        ImageUnit,
        typer.Option(help="What the images are; a form has print above and below."),
    ] = ImageUnit.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with all writers.")] = False,
    table: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write a row for each image while they are read, for many images."),
    ] = None,
    is_raw: Annotated[
        bool, typer.Option("--raw", help="In the CSV file, write names as they are, also those like a formula.")
    ] = False,
    evidence: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what the answer for one image rests on, as an HTML page."),
    ] = None,
    uri: Annotated[
        str | None, typer.Option(help="Tracking store, as in tracking.uri.", show_default="mlruns/mlflow.db")
    ] = None,
) -> None:
    """Rank the writers that the champion knows by how likely they wrote each image.

    An image by somebody else gets the most similar of the known writers: a ranking is no proof. `none` is the share of
    unknown writers' images that look at least as much like a known writer; with `!` nobody known may have written it.
    """
    from core.corpora.image_walk import expand_folders
    from search.experiment.settings import TrackingSettings
    from search.tracking.store import open_store

    store = open_store(TrackingSettings(uri=uri), current_workspace().root)
    folder, title = _find(store, model)
    wanted = expand_folders(images)
    if evidence is not None:
        _explain(wanted, folder, title, evidence, read_as)
    elif table is not None:
        _write_table(wanted, folder, table, read_as, is_raw)
    else:
        _answer(wanted, folder, title if title == model else f"{title} (the champion)", title, as_json, read_as)


def _answer(images: "Sequence[Path]", folder: Path, shown: str, title: str, as_json: bool, read_as: ImageUnit) -> None:
    from search.identification.identify import identify as identify_writers

    with progress_bar("asking the model") as advance:
        advance(0, len(images))
        answer = identify_writers(images, folder, advance, read_as.value)
    if as_json:
        output.print_json(json.dumps(_as_json(answer, title)))
    else:
        _print_table(answer, shown)
    for image in answer.unreadable:
        notes.print(labelled("skipped", image.reason, "yellow"))
    raise typer.Exit(2 if answer.unreadable else 0)


def _write_table(images: "Sequence[Path]", folder: Path, path: Path, read_as: ImageUnit, is_raw: bool) -> None:
    from search.identification.identify import N_RANKED, identify_each, write_predictions

    with progress_bar("asking the model") as advance:
        advance(0, len(images))
        found = identify_each(images, folder, N_RANKED, read_as.value)
        tally = write_predictions(_counted(found, len(images), advance), path, is_raw)
    output.print(f"{path}: {tally.n_answered:,} images answered, {tally.n_unreadable:,} could not be used")
    raise typer.Exit(2 if tally.n_unreadable else 0)


def _counted(
    found: "Iterator[Prediction | Excluded]", n_images: int, advance: "Callable[[int, int], None]"
) -> "Iterator[Prediction | Excluded]":
    for number, item in enumerate(found, start=1):
        yield item
        advance(number, n_images)


def _explain(images: "Sequence[Path]", folder: Path, title: str, path: Path, read_as: ImageUnit) -> None:
    from search.identification.evidence_page import write_evidence_page
    from search.identification.identify import explain

    if len(images) != 1:
        raise ImageError(f"Evidence is about one image, but got {len(images)}. Ask for one at a time.")
    with notes.status("asking the model"):
        explained = explain(images[0], folder, _N_DECISIVE, read_as.value)
    write_evidence_page(explained, title, path)
    found = explained.prediction
    output.print(f"{_shown(images[0])}: writer {found.writer_id}  {found.probability:.1%}")
    if found.is_known is False:
        print_warning("it may be none of the known writers")
    output.print(f"what it rests on: {path}")


def _find(store: "TrackingStore", model: str | None) -> tuple[Path, str]:
    """The model's folder, and what to call it."""
    from search.tracking.registry import champion, download_model, find_model, only_name

    if model is not None and (":/" in model or Path(model).is_dir()):
        return find_model(store, model), model
    version = champion(store, model or only_name(store))
    return download_model(store, version.location), f"{version.name} version {version.version}"


def _print_table(answer: "Identification", model: str) -> None:
    header = ("image", "lines", "patches", *(f"{place}." for place in range(1, _SHOWN_WRITERS + 1)), "none")
    rows = []
    for image in answer.images:
        ranking = [f"{writer.writer_id}  {writer.probability:.1%}" for writer in image.ranking[:_SHOWN_WRITERS]]
        shown = _shown(Path(image.image))
        rows.append((shown, str(image.n_lines), str(image.n_patches), *ranking, _none_of_these(image)))
    print_table(header, rows)
    if len(answer.images) > 1:
        best = answer.together[0]
        output.print(f"if one writer wrote all of them: {best.writer_id}  {best.probability:.1%}")
    output.print(f"model: {model}, {len(answer.record.writer_ids)} writers known")
    if answer.record.warning:
        print_warning(answer.record.warning)


def _none_of_these(image: "Prediction") -> str:
    if image.none_of_these is None:
        return "not calibrated"
    return f"{image.none_of_these:.0%}{'' if image.is_known else ' !'}"


def _shown(path: Path) -> str:
    """The path as short as it is clear: from the current folder where it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _as_json(answer: "Identification", model: str) -> dict[str, object]:
    from core.identification.prediction import ranking_as_json

    return {
        "model": model,
        "images": [{"path": image.image, **image.as_row()} for image in answer.images],
        "together": ranking_as_json(answer.together),
        **({"warning": answer.record.warning} if answer.record.warning else {}),
        "unreadable": [{"path": str(image.path), "reason": image.reason} for image in answer.unreadable],
    }
