"""Answers as a CSV table, written row by row while images are read."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.corpora.index import SetAside
from core.errors import CorpusError
from search.identification.identify import ImageVerdict

N_RANKED = 5
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


@dataclass
class Tally:
    """How many images were answered, and how many could not be used."""

    n_answered: int = 0
    n_unreadable: int = 0


def write_verdicts(found: Iterable[ImageVerdict | SetAside], path: Path) -> Tally:
    """Write a row for each image, at once: what is written stays when the command is stopped.

    Args:
        found: answers and unusable images, in turn.
        path: of the CSV file, UTF-8; overwritten.

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
                table.writerow(_row(item))
                tally.n_answered += isinstance(item, ImageVerdict)
                tally.n_unreadable += isinstance(item, SetAside)
    except OSError as error:
        raise CorpusError(f"The table must be writable, but {path} is not: {error.strerror or error}.") from error
    return tally


def _row(item: ImageVerdict | SetAside) -> list[object]:
    if isinstance(item, SetAside):
        return [item.path, *[""] * (len(COLUMNS) - 2), item.reason]
    ranked = [value for writer in item.ranking[:N_RANKED] for value in (writer.writer_id, f"{writer.probability:.6g}")]
    ranked += [""] * (2 * N_RANKED - len(ranked))
    none = "" if item.none_of_these is None else f"{item.none_of_these:.6g}"
    is_known = "" if item.is_known is None else str(item.is_known).lower()
    return [item.path, *ranked[:2], none, is_known, *ranked[2:], item.n_lines, item.n_patches, ""]
