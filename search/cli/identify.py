"""`whosehand identify`: whose hand wrote these images?"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.corpora.image_walk import expand_folders
from core.errors import ImageError
from core.wording import counted
from search.cli.asked_model import AskedModel, ModelOption, TrustOption, find_asked_model
from search.cli.common import (
    ImageUnit,
    StoreOption,
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
    from core.identification.model_record import ModelRecord
    from core.identification.prediction import Prediction
    from search.identification.hand_comparison import HandComparison
    from search.identification.identify import Identification

NOBODY = "none of the known writers"
_SHOWN_WRITERS = 3
_N_DECISIVE = 6


def identify(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Pages, lines or words, or folders of them.", show_default=False),
    ],
    model: ModelOption = None,
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
    trust: TrustOption = False,
    uri: StoreOption = None,
) -> None:
    """Rank the writers that the champion knows by how likely they wrote each image.

    Writers who were enrolled (`whosehand enrol`) are ranked together with those of training. An
    image by somebody else gets the most similar of them: a ranking is no proof. A model that can
    tell says "none of the known writers", and how often that is wrong. A promoted model runs the
    code that it was promoted with; any other folder is opened without its code, unless you give
    --trust.
    """
    model_asked = find_asked_model(model, uri, trust, with_enrolled=True)
    wanted = expand_folders(images)
    if evidence is not None:
        _explain(wanted, model_asked, evidence, read_as)
    elif table is not None:
        _write_table(wanted, model_asked, table, read_as, is_raw)
    else:
        _answer(wanted, model_asked, as_json, read_as)


def _answer(images: "Sequence[Path]", model: AskedModel, as_json: bool, read_as: ImageUnit) -> None:
    from search.identification.identify import identify as identify_writers

    with progress_bar("asking the model") as advance:
        advance(0, len(images))
        answer = identify_writers(images, model.folder, advance, read_as.value, model.runs_own_code)
    if as_json:
        output.print_json(json.dumps(_as_json(answer, model.title)))
    else:
        _print_answer(answer, f"{model.title} (the champion)" if model.is_champion else model.title)
    for image in answer.unreadable:
        notes.print(labelled("skipped", image.reason, "yellow"))
    raise typer.Exit(2 if answer.unreadable else 0)


def _write_table(images: "Sequence[Path]", model: AskedModel, path: Path, read_as: ImageUnit, is_raw: bool) -> None:
    from search.identification.identify import N_RANKED, identify_each, write_predictions

    with progress_bar("asking the model") as advance:
        advance(0, len(images))
        found = identify_each(images, model.folder, N_RANKED, read_as.value, model.runs_own_code)
        tally = write_predictions(_counted(found, len(images), advance), path, is_raw)
    output.print(f"{path}: {tally.n_answered:,} images answered, {tally.n_unreadable:,} could not be used")
    raise typer.Exit(2 if tally.n_unreadable else 0)


def _counted(
    found: "Iterator[Prediction | Excluded]", n_images: int, advance: "Callable[[int, int], None]"
) -> "Iterator[Prediction | Excluded]":
    for number, item in enumerate(found, start=1):
        yield item
        advance(number, n_images)


def _explain(images: "Sequence[Path]", model: AskedModel, path: Path, read_as: ImageUnit) -> None:
    from search.identification.evidence_page import write_evidence_page
    from search.identification.identify import explain

    if len(images) != 1:
        raise ImageError(f"Evidence is about one image, but got {len(images)}. Ask for one at a time.")
    with notes.status("asking the model"):
        explained = explain(images[0], model.folder, _N_DECISIVE, read_as.value, model.runs_own_code)
    write_evidence_page(explained, model.title, path)
    output.print(_sentence(explained.prediction, explained.record))
    _print_rates([explained.prediction], explained.record)
    output.print(f"what it rests on: {path}")


def _print_answer(answer: "Identification", model: str) -> None:
    if len(answer.images) == 1:
        (image,) = answer.images
        output.print(_sentence(image, answer.record))
        others = ", ".join(f"{w.writer_id} {w.probability:.1%}" for w in image.ranking[1:_SHOWN_WRITERS])
        output.print(f"  next: {others}")
    else:
        header = ("image", "writer", "sure", "next", "lines", "patches")
        print_table(header, [_row(image) for image in answer.images], n_text_columns=2, optional=(3,), path_column=0)
        best = answer.together[0]
        output.print(f"if one writer wrote all of them: {best.writer_id}, {best.probability:.1%} sure")
    known = f"{len(answer.record.writer_ids)} writers known"
    if answer.comparison is None:
        _print_rates(answer.images, answer.record)
        output.print(f"model: {model}, {known}")
    else:
        _print_rates_with_enrolled(answer.images, answer.comparison)
        output.print(f"model: {model}, {known}, {len(answer.comparison.register.writer_ids)} enrolled")
    if answer.record.warning:
        print_warning(answer.record.warning)


def _sentence(image: "Prediction", record: "ModelRecord") -> str:
    """The name, how sure, and from how much; or that it is nobody known."""
    asked = f"from {counted(image.n_lines, 'line')} and {counted(image.n_patches, 'patch', 'patches')}"
    name, sure = image.writer_id, f"{image.probability:.1%}"
    if image.is_known is False:
        return f"{_shown(Path(image.image))}: {NOBODY} (writer {name} is the most similar, {sure}), {asked}"
    calibrated = "" if record.calibrations else " (not calibrated)"
    return f"{_shown(Path(image.image))}: writer {name}, {sure} sure{calibrated}, {asked}"


def _row(image: "Prediction") -> tuple[str, ...]:
    writer = f"{NOBODY} (like {image.writer_id})" if image.is_known is False else image.writer_id
    following = image.ranking[1]
    return (
        _shown(Path(image.image)),
        writer,
        f"{image.probability:.1%}",
        f"{following.writer_id} {following.probability:.1%}",
        str(image.n_lines),
        str(image.n_patches),
    )


def _print_rates(images: "Sequence[Prediction]", record: "ModelRecord") -> None:
    """What "none of the known writers" is worth, where it is answered, and that it may not be,
    where that is so.
    """
    silent = [each.unit for each in record.calibrations if not each.unknown_writers.is_used]
    if silent:
        where = "" if len(silent) == len(record.calibrations) else f" for {' and '.join(silent)}s"
        output.print(f"  This model always names a known writer{where}: it cannot tell unknown ones.")
    for calibration in record.calibrations:
        test, unit = calibration.unknown_writers, calibration.unit
        if test.is_used and any(image.is_known is False and image.calibrated_on == unit for image in images):
            output.print(
                f"  {NOBODY}: {test.false_reject_rate:.1%} of held-out {unit}s by known writers get this answer too "
                f"(false rejects), and {test.false_accept_rate:.1%} of those by unknown writers do not (false accepts)."
            )


def _print_rates_with_enrolled(images: "Sequence[Prediction]", comparison: "HandComparison") -> None:
    """The same where enrolled writers are among the known ones: their threshold stands on pages by
    writers who were set aside.
    """
    test, pages = comparison.fullest_test, comparison.unknown_writers
    if test is None:
        output.print(
            f"  This model always names a known writer: it cannot tell unknown ones, because too few pages are by "
            f"writers whom training never saw ({len(pages.writers)})."
        )
    elif not test.is_used:
        output.print(
            "  This model always names a known writer: to tell unknown ones, it would call "
            f"{test.false_reject_rate:.0%} of held-out pages by known writers unknown, too (false accepts held to "
            f"{test.false_accept_rate:.1%})."
        )
    elif any(image.is_known is None for image in images):
        output.print(f"  {NOBODY}: where an image has too little ink for this answer, it is never given.")
    if test is not None and any(image.is_known is False for image in images):
        set_on = f"{counted(len(pages.writers), 'page')} by {counted(pages.n_writers, 'writer')}"
        output.print(
            f"  {NOBODY}: {test.false_reject_rate:.1%} of held-out pages by known writers get this answer too (false "
            f"rejects), and {test.false_accept_rate:.1%} of those by unknown writers do not (false accepts; set on "
            f"{set_on} whom training never saw)."
        )


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
