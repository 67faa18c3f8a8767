"""What patches are cut out of: text lines of one height, on the disk or of one image in memory.

Registered models carry a copy of this file: nothing here needs a corpus, a disk or the line store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.corpora.index import Unit
from core.pages.text_lines import TextLine


@dataclass(frozen=True, slots=True)
class StoredLine:
    """One text line.

    Attributes:
        image_id: the text image that it comes from.
        line_number: its place on that image, from 0 at the top.
        writer_id: who wrote it; empty where that is not known.
        group_id: its page, or its image where the corpus has no pages.
        width_px: its width; its height is that of all lines.
    """

    image_id: str
    line_number: int
    writer_id: str
    group_id: str
    width_px: int


class LineSource(Protocol):
    """Text lines by number."""

    @property
    def height_px(self) -> int:
        """The height of every line."""
        ...

    @property
    def lines(self) -> Sequence[StoredLine]:
        """What is known about each line."""
        ...

    def pixels(self, line: int) -> NDArray[np.uint8]:
        """The pixels of a line, (height_px, width_px), 255 is paper."""
        ...

    def n_ink(self, line: int) -> NDArray[np.int32]:
        """The count of ink pixels left of each column, (width_px + 1,)."""
        ...

    def kept_arrays(self, about: Mapping[str, object]) -> Mapping[str, NDArray[Any]] | None:
        """What was computed from all the lines and is kept beside them; `None` where nothing is.

        Args:
            about: what was computed, and with what.
        """
        ...


class ImageLines:
    """The lines of one image in memory.

    Attributes:
        height_px: the height of every line.
        unit: what the image was taken for.
        lines: what is known about each; the writer is not.
    """

    def __init__(self, name: str, found: Sequence[TextLine], height_px: int, unit: Unit = "auto") -> None:
        self.height_px = height_px
        self.unit = unit
        self.lines = tuple(
            StoredLine(name, number, writer_id="", group_id=name, width_px=line.pixels.shape[1])
            for number, line in enumerate(found)
        )
        self._found = tuple(found)

    def pixels(self, line: int) -> NDArray[np.uint8]:
        """(height_px, width_px), 255 is paper."""
        return self._found[line].pixels

    def is_ink(self, line: int) -> NDArray[np.bool_]:
        """(height_px, width_px), whether a pixel is ink."""
        return self._found[line].is_ink

    def n_ink(self, line: int) -> NDArray[np.int32]:
        """The count of ink pixels left of each column, (width_px + 1,)."""
        return running_ink(self._found[line])

    def kept_arrays(self, about: Mapping[str, object]) -> None:
        """Nothing is kept of an image in memory."""


def running_ink(line: TextLine) -> NDArray[np.int32]:
    """The count of ink pixels left of each column, (width_px + 1,)."""
    counts = np.zeros(line.is_ink.shape[1] + 1, dtype="<i4")
    np.cumsum(line.is_ink.sum(axis=0), out=counts[1:])
    return counts
