"""What is known about the lines of a store, as columns: a list of a million lines is mapped in no
time, and no process pays for the lines that it does not look at.

Registered models carry a copy of this file.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from core.lines.source import StoredLine

_NAMES = ("image_id", "writer_id", "group_id")


@dataclass(frozen=True, eq=False)
class LineColumns:
    """The lines of a source by column.

    Attributes:
        widths_px: (n_lines,).
        images: (n_lines,) the image of each line, as a place in the three below.
        image_ids: of each image; of a source that is no store, one may be there twice.
        writer_ids: of each image.
        group_ids: of each image.
    """

    widths_px: NDArray[np.int32]
    images: NDArray[np.int32]
    image_ids: Sequence[str]
    writer_ids: Sequence[str]
    group_ids: Sequence[str]


def columns_of(lines: Sequence[StoredLine]) -> LineColumns:
    """The columns of any source's lines; those of a store are there already."""
    if isinstance(lines, LineTable):
        return lines.columns
    number: dict[tuple[str, str, str], int] = {}
    images = [number.setdefault((line.image_id, line.writer_id, line.group_id), len(number)) for line in lines]
    return LineColumns(
        np.array([line.width_px for line in lines], dtype=np.int32),
        np.array(images, dtype=np.int32),
        *([names[k] for names in number] for k in range(len(_NAMES))),
    )


class LineTable(Sequence[StoredLine]):
    """The lines of a store, in the order of the corpus; each is made when it is asked for.

    Attributes:
        arrays: what the table is made of, to be kept; see `of_images`.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take arrays that `of_images` has made."""
        self.arrays = arrays
        self._first, self._widths_px, self._images = arrays["first_line"], arrays["width_px"], arrays["image"]
        self._ends, self._text = arrays["string_end"], arrays["text"]

    @classmethod
    def of_images(cls, images: Sequence[tuple[str, str, str, Sequence[int]]]) -> "LineTable":
        """Make a table.

        Args:
            images: image, writer and group, and the widths of the image's lines.
        """
        strings: dict[str, int] = {}
        numbers = [[strings.setdefault(name, len(strings)) for name in image[:3]] for image in images]
        texts = [text.encode("utf-8", "surrogatepass") for text in strings]
        n_lines = [len(widths_px) for *_, widths_px in images]
        widths_px = [width_px for *_, of_image in images for width_px in of_image]
        columns = np.array(numbers, dtype=np.int32).reshape(-1, len(_NAMES))
        return cls(
            {
                "width_px": np.array(widths_px, dtype=np.int32),
                "image": np.repeat(np.arange(len(images), dtype=np.int32), n_lines),
                "first_line": np.concatenate([[0], np.cumsum(n_lines, dtype=np.int64)]).astype(np.int64),
                **{name: columns[:, k] for k, name in enumerate(_NAMES)},
                "string_end": np.cumsum([0, *map(len, texts)], dtype=np.int64),
                "text": np.frombuffer(b"".join(texts), dtype=np.uint8),
            }
        )

    @cached_property
    def columns(self) -> LineColumns:
        """The same by column; names are made for each image, not for each line."""
        names = [self._strings(self.arrays[name]) for name in _NAMES]
        return LineColumns(self._widths_px, self._images, *names)

    def __len__(self) -> int:
        """The number of lines."""
        return len(self._widths_px)

    @overload
    def __getitem__(self, number: SupportsIndex) -> StoredLine: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[StoredLine]: ...
    def __getitem__(self, number: SupportsIndex | slice) -> StoredLine | Sequence[StoredLine]:
        """One line, or some as a tuple."""
        if isinstance(number, slice):
            return tuple(self[k] for k in range(len(self))[number])
        number = range(len(self))[number]  # counts from the end, and refuses what is beyond it
        image = self._images.item(number)
        image_id, writer_id, group_id = (self._string(self.arrays[name].item(image)) for name in _NAMES)
        return StoredLine(image_id, number - self._first.item(image), writer_id, group_id, self._widths_px.item(number))

    def __iter__(self) -> Iterator[StoredLine]:
        """All lines, in order."""
        for image in range(len(self._first) - 1):
            image_id, writer_id, group_id = (self._string(self.arrays[name].item(image)) for name in _NAMES)
            widths_px = self._widths_px[self._first.item(image) : self._first.item(image + 1)].tolist()
            for number, width_px in enumerate(widths_px):
                yield StoredLine(image_id, number, writer_id, group_id, width_px)

    def __eq__(self, other: object) -> bool:
        """Whether the other one has the same lines in the same order."""
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(_equal, self, other))

    __hash__ = None  # type: ignore[assignment]

    def _string(self, number: int) -> str:
        start, end = self._ends.item(number), self._ends.item(number + 1)
        return self._text[start:end].tobytes().decode("utf-8", "surrogatepass")

    def _strings(self, numbers: NDArray[np.int32]) -> list[str]:
        text = self._text.tobytes()
        distinct, places = np.unique(numbers, return_inverse=True)
        bounds = zip(self._ends[distinct].tolist(), self._ends[distinct + 1].tolist(), strict=True)
        made = [text[start:end].decode("utf-8", "surrogatepass") for start, end in bounds]
        return [made[place] for place in places.tolist()]


def _equal(one: Hashable, other: Hashable) -> bool:
    return one == other
