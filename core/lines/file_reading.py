"""One image file to the encoded lines of its images, or to why they have none."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.corpora.index import TextImage
from core.errors import ImageError
from core.lines.pool import encode_lines
from core.pages.image_files import crop_grey, read_grey
from core.pages.reading_signs import Reading, measure_reading
from core.pages.text_lines import read_lines
from core.settings import InkSettings


@dataclass(frozen=True)
class Unusable:
    """Why a text image gave no lines.

    Attributes:
        reason: in words.
        is_lasting: whether the file's content is the reason, so that reading it again would give
            the same.
    """

    reason: str
    is_lasting: bool


Encoded = tuple[tuple[int, ...], bytes, Reading | None]
Outcomes = list[tuple[TextImage, Encoded | Unusable]]


def read_file(path: Path, images: Sequence[TextImage], settings: InkSettings) -> tuple[Outcomes, Outcomes]:
    """What became of the images of a file that was read, and of those that could not be."""
    found: Outcomes = []
    unread: Outcomes = []
    for frame, of_frame in groupby(sorted(images, key=_frame), key=_frame):
        own = tuple(of_frame)
        try:
            grey = read_grey(path, frame=frame or None)
        except Exception as error:  # one bad file, however bad, must not end the build: its reason is kept
            unread += [(image, _unusable(path, error)) for image in own]
        else:
            found += [(image, _find_lines(grey, image, settings)) for image in own]
    return found, unread


def _frame(image: TextImage) -> int:
    return image.frame or 0


def _find_lines(grey: NDArray[np.uint8], image: TextImage, settings: InkSettings) -> Encoded | Unusable:
    try:
        page, lines = read_lines(crop_grey(grey, image.region, image.path), image, settings)
        if not lines:
            raise ImageError(f"An image must show a text line, but none was found on {image.path}. Remove it.")
        return *encode_lines(lines), None if image.unit == "line" else measure_reading(page, lines, image.unit)
    except Exception as error:  # as above
        return _unusable(image.path, error)


def _unusable(path: Path, error: Exception) -> Unusable:
    """Tell the content's faults from those of the moment: no memory, no permission, a bad disk."""
    of_the_moment = any(
        isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno is not None)
        for cause in (error, error.__cause__)
    )
    if isinstance(error, ImageError):
        return Unusable(str(error), not of_the_moment)
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    return Unusable(f"The image must be one that can be read, but {path} is not ({said}).", not of_the_moment)
