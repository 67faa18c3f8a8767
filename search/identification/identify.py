"""Whose hand wrote these images: ranked writers from a saved model, which is asked in a process of
its own.

The writers are those of the training corpus. Someone else's hand gets the name of the most similar
of them, and, from a promoted model, a warning that it may be none of them.
"""

import csv
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from core.corpora.csv_cells import harmless_row
from core.corpora.index import Excluded, Unit
from core.errors import CorpusError, ImageError, RegistryError
from core.identification.model_record import ModelRecord
from core.identification.prediction import Prediction, RankedWriter, combine
from core.lines.reading import ProgressCallback
from core.pages.frames import Page, is_blank, list_pages
from search.identification.hand_comparison import HandComparison
from search.identification.identifier_folder import ARTIFACTS, read_record
from search.identification.model_process import ModelProcess

N_RANKED = 5
"""So many writers have columns in the CSV table."""
COLUMNS = (
    "path",
    "writer_id",
    "probability",
    "none_of_these",
    "is_known",
    *(f"{name}_{place}" for place in range(2, N_RANKED + 1) for name in ("writer_id", "probability")),
    "n_lines",
    "n_patches",
    "error",
)


@dataclass(frozen=True)
class Identification:
    """The answers for all images.

    Attributes:
        images: one prediction for each readable image, in the order given.
        together: the ranking if one writer wrote all of them: the mean over all patches.
        unreadable: images that could not be used, and why.
        record: of the model that was asked.
        comparison: of the same, with enrolled writers; `None` if nobody is enrolled.
    """

    images: tuple[Prediction, ...]
    together: tuple[RankedWriter, ...]
    unreadable: tuple[Excluded, ...]
    record: ModelRecord
    comparison: HandComparison | None = None


@dataclass(frozen=True)
class ExplainedPrediction:
    """The answer for one image, and why.

    Attributes:
        prediction: the answer.
        evidence: as `core.identification.evidence` describes it.
        record: of the model that was asked.
    """

    prediction: Prediction
    evidence: dict[str, Any]
    record: ModelRecord


@dataclass
class Tally:
    """How many images were answered, and how many could not be used."""

    n_answered: int = 0
    n_unreadable: int = 0


def identify(
    paths: Sequence[Path],
    model_folder: Path,
    on_progress: ProgressCallback | None = None,
    read_as: Unit = "auto",
    runs_own_code: bool = False,
) -> Identification:
    """Rank the writers that a model knows by how likely they wrote each image, and all of them
    together.

    Args:
        paths: of image files: pages, lines or words.
        model_folder: of a promoted model, or of a trial's.
        on_progress: called with (images done, images in all).
        read_as: what the images are.
        runs_own_code: see `ModelProcess`.

    Raises:
        ImageError: if none of the images can be used; it names each with the reason. Where some
            can, the others are in the answer's `unreadable`.
        RegistryError: if the model cannot be loaded.
    """
    record = read_record(model_folder)
    wanted = tuple(dict.fromkeys(paths))
    predictions: list[Prediction] = []
    unreadable: list[Excluded] = []
    for number, found in enumerate(identify_each(wanted, model_folder, 0, read_as, runs_own_code), start=1):
        if isinstance(found, Prediction):
            predictions.append(found)
        else:
            unreadable.append(found)
        if on_progress is not None:
            on_progress(number, max(number, len(wanted)))
    if not predictions:
        reasons = "\n".join(f"  {item.reason}" for item in unreadable) or "  no image was given"
        raise ImageError(f"At least one image must show handwriting, but none does:\n{reasons}")
    comparison = HandComparison.load(model_folder / ARTIFACTS, record)
    return Identification(tuple(predictions), combine(predictions, record), tuple(unreadable), record, comparison)


def identify_each(
    paths: Iterable[Path],
    model_folder: Path,
    n_writers: int = 0,
    read_as: Unit = "auto",
    runs_own_code: bool = False,
) -> Iterator[Prediction | Excluded]:
    """Rank the writers of one image after the other; nothing is kept, so that a folder may be of
    any size.

    Args:
        paths: of image files.
        model_folder: of a promoted model, or of a trial's.
        n_writers: how many to rank, 0 for all.
        read_as: what the images are.
        runs_own_code: see `ModelProcess`.

    Yields:
        For each image in turn the answer, or why it cannot be used.

    Raises:
        RegistryError: if the model cannot be loaded.
    """
    coming = iter(paths)
    first = next(coming, None)
    if first is None:
        return
    params = {"top": n_writers, "read_as": read_as}
    with ModelProcess(model_folder, runs_own_code) as model:
        for path in chain((first,), coming):
            pages = list_pages(path)
            answers = (_ask(model, page, params) for page in pages)
            if len(pages) == 1:
                yield from answers
            else:
                yield from _without_blank(path, answers)


def _ask(model: ModelProcess, page: Page, params: Mapping[str, Any]) -> Prediction | Excluded:
    """Ask about one page; where the model's own code may not open its file, it is handed over as
    one of its own.
    """
    with tempfile.TemporaryDirectory(prefix="whosehand-") as folder:
        try:
            path = page.file(Path(folder))
        except ImageError as error:
            return Excluded(page.name, _with_name(page.name, str(error)))
        row = model.ask(path, params)
    if row["error"] is None:
        return Prediction.from_row(str(page.name), row)
    return Excluded(page.name, _with_name(page.name, row["error"].replace(str(path.absolute()), str(page.name))))


def _without_blank(path: Path, answers: Iterable[Prediction | Excluded]) -> Iterator[Prediction | Excluded]:
    """The answers for a file with several pages; empty backs are passed over, unless all of its
    pages are empty.
    """
    is_empty = True
    for answer in answers:
        if isinstance(answer, Prediction) or not is_blank(answer.reason):
            is_empty = False
            yield answer
    if is_empty:
        yield Excluded(path, f"{path}: none of its pages shows handwriting")


def explain(
    path: Path, model_folder: Path, n_decisive: int, read_as: Unit = "auto", runs_own_code: bool = False
) -> ExplainedPrediction:
    """Rank the writers of one image, and say what the answer rests on.

    Args:
        path: of the image.
        model_folder: of a promoted model, or of a trial's.
        n_decisive: how many patches for and against are looked at closely.
        read_as: what the image is.
        runs_own_code: see `ModelProcess`.

    Raises:
        ImageError: if the image cannot be used.
        RegistryError: if the model cannot be loaded, or is from before there was evidence.
    """
    record = read_record(model_folder)
    pages = list_pages(path)
    if len(pages) != 1:
        raise ImageError(
            f"Evidence is about one page, but {path} holds {len(pages)}. Save the one that is meant by itself."
        )
    with tempfile.TemporaryDirectory(prefix="whosehand-") as folder, ModelProcess(model_folder, runs_own_code) as model:
        row = model.ask(pages[0].file(Path(folder)), {"top": 0, "evidence": n_decisive, "read_as": read_as})
    if row["error"] is not None:
        raise ImageError(_with_name(path, row["error"]))
    if "evidence" not in row:
        raise RegistryError(
            f"A model says what its answers rest on by its own code, but the one in {model_folder} was made before "
            "whosehand could. Promote it again: `whosehand promote SWEEP`."
        )
    return ExplainedPrediction(Prediction.from_row(str(path), row), row["evidence"], record)


def write_predictions(found: Iterable[Prediction | Excluded], path: Path, is_raw: bool = False) -> Tally:
    """Write a CSV row for each image, at once: what is written stays when the command is stopped.

    Args:
        found: answers and unusable images, in turn.
        path: of the CSV file, UTF-8; overwritten.
        is_raw: write names as they are, also those that a spreadsheet would take for a formula.

    Raises:
        CorpusError: if it cannot be written.
    """
    tally = Tally()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="", buffering=1) as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(COLUMNS)
            for item in found:
                table.writerow(_csv_row(item) if is_raw else harmless_row(_csv_row(item)))
                tally.n_answered += isinstance(item, Prediction)
                tally.n_unreadable += isinstance(item, Excluded)
    except OSError as error:
        raise CorpusError(f"The table must be writable, but {path} is not: {error.strerror or error}.") from error
    return tally


def _with_name(path: Path, reason: str) -> str:
    """The reason with the image's name, which the model may not have known."""
    return reason if str(path) in reason else f"{path}: {reason}"


def _csv_row(item: Prediction | Excluded) -> list[object]:
    if isinstance(item, Excluded):
        return [item.path, *[""] * (len(COLUMNS) - 2), item.reason]
    ranked = [value for writer in item.ranking[:N_RANKED] for value in (writer.writer_id, f"{writer.probability:.6g}")]
    ranked += [""] * (2 * N_RANKED - len(ranked))
    none = "" if item.none_of_these is None else f"{item.none_of_these:.6g}"
    is_known = "" if item.is_known is None else str(item.is_known).lower()
    return [item.image, *ranked[:2], none, is_known, *ranked[2:], item.n_lines, item.n_patches, ""]
