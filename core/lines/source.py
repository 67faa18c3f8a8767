"""What patches are cut out of: text lines of one height, from a line store on the disk or of one image in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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
