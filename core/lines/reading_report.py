"""How well the images of a corpus were read, the worst first."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from core.corpora.csv_cells import harmless_row
from core.corpora.index import Excluded, TextImage
from core.pages.reading_signs import Reading, TakenFor

_COLUMNS = ("path", "image_id", "said_to_be", "taken_for", "lines", "slivers", "odd_lines", "ink_outside", "signs")


@dataclass(frozen=True)
class ReadImage:
    """An image, and how it was read."""

    image: TextImage
    reading: Reading


@dataclass(frozen=True)
class ReadingReport:
    """How the images of a corpus were read, but for those that are said to be single lines.

    Attributes:
        images: of which that is known, the worst first.
        n_unknown: how many others there are: an earlier version has read them.
    """

    images: tuple[ReadImage, ...]
    n_unknown: int

    @property
    def n_read(self) -> int:
        """How many images were looked at."""
        return len(self.images)

    @cached_property
    def bad(self) -> list[ReadImage]:
        """Those that seem to be read badly, the worst first."""
        return [read for read in self.images if read.reading.signs]

    @cached_property
    def taken_for(self) -> Mapping[TakenFor, list[ReadImage]]:
        """Of the images of which nobody said what they are, what they were taken for."""
        taken: dict[TakenFor, list[ReadImage]] = {}
        for read in self.images:
            if read.image.unit == "auto":
                taken.setdefault(read.reading.taken_for, []).append(read)
        return taken

    def write(self, path: Path) -> None:
        """Write a table in CSV, the worst first."""
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(_COLUMNS)
            for read in self.images:
                image, reading = read.image, read.reading
                counts = (reading.n_lines, reading.n_slivers, reading.n_odd, f"{reading.outside:.4f}")
                signs = "; ".join(reading.signs)
                row = (str(image.path), image.image_id, image.unit, reading.taken_for, *counts, signs)
                table.writerow(harmless_row(row))


def report_readings(
    images: Sequence[TextImage], readings: Mapping[str, Reading], unusable: Iterable[Excluded]
) -> ReadingReport:
    """Gather how images were read.

    Args:
        images: of the corpus.
        readings: by image id, as a line store has them.
        unusable: the images that gave no line; they are passed over.
    """
    known = [ReadImage(image, readings[image.image_id]) for image in images if image.image_id in readings]
    known.sort(key=lambda read: -read.reading.badness)
    looked_at = {image.image_id for image in images if image.unit != "line"} - {entry.image_id for entry in unusable}
    return ReadingReport(tuple(known), len(looked_at - readings.keys()))
