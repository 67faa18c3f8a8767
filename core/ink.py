"""From a text image to its lines: dark on white, all at one text height.

What sets the scale? The height of the image is an accident of the scissors, and the height of the ink depends on
whether a word happens to hold a `g`, an umlaut or a bit of a ruled line. Here it is the middle 80 % of the stroke
crossings: rows are counted by how many strokes they cross, which baseline-to-x-height rows do most, and a ruled line
adds one crossing only. On 2,371 words of DHSD, the width of a letter after scaling (known from the transcription)
varies within a writer by 16.5 % (standard deviation of the logarithm), against 22.0 % by the height of the image,
22.1 % by that of the ink, and 17 to 19 % by estimates of the x-height band.
"""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from core.corpora.base import Region, TextImage, Unit
from core.errors import ImageError
from core.image_files import MIN_SIDE_PX, read_grey
from core.page_lines import FoundLine, find_lines, sole_line, text_rows
from core.settings import Settings
from core.tone import INK_LEVEL, normalise_tone

__all__ = ["INK_LEVEL", "InkSettings", "TextLine", "lines_of_grey", "read_grey", "text_lines"]

_CROSSINGS_KEPT = 0.8
_LINE_PER_TEXT = 2.4
"""A line's height over that of its text: 98 % of the ink or more is inside in 95 % of DHSD's words."""
_MAX_WIDTH_PER_HEIGHT = 60
"""No line is longer than this: a lone dash is not blown up to the height of a letter."""


class InkSettings(Settings):
    """How an image becomes text lines."""

    height_px: int = Field(default=113, ge=16, le=512)
    """The height of every line in the store, in pixels."""
    crop_to_ink: bool = True
    """Cut to the text and scale by it, so that the margins of an image do not set the size of its letters."""
    normalise_tone: bool = True
    """Paper to white and ink to black. Without it, pen colour and scanner can name the writer."""


@dataclass(frozen=True)
class TextLine:
    """A text line at its final size.

    Attributes:
        pixels: (height_px, width), 255 is paper (where tone is not normalised: light is paper).
        is_ink: (height_px, width), whether a pixel is ink; pale ink is ink too.
    """

    pixels: NDArray[np.uint8]
    is_ink: NDArray[np.bool_]


def text_lines(image: TextImage, settings: InkSettings) -> list[NDArray[np.uint8]]:
    """Read the text lines of an image.

    Args:
        image: what to read; an image with `unit="line"` is one line, of another its lines are found first.
        settings: height, crop and tone.

    Returns:
        The lines from top to bottom, each (height_px, width) with its own width, 255 is paper.

    Raises:
        ImageError: if the file cannot be read or holds no ink.
    """
    return [line.pixels for line in lines_of_grey(read_grey(image.path, image.region), image, settings)]


def lines_of_grey(grey: NDArray[np.uint8], image: TextImage, settings: InkSettings) -> list[TextLine]:
    """Like `text_lines`, for an image that is already read, and with the ink marked.

    Args:
        grey: (height, width), what `read_grey` returned for the image's path and region.
        image: its unit counts; its path names it in errors.
        settings: height, crop and tone.
    """
    try:
        tone = normalise_tone(grey)
        lines = _lines_on_page(tone, image.unit)
        if settings.normalise_tone:
            return [_scale(line.cut_from(tone), line.cut_from(tone), settings) for line in lines]
        return [_scale(line.cut_from(tone), line.cut_from(grey), settings) for line in lines]
    except ImageError as error:
        raise ImageError(f"{image.path}: {error}") from error


def _lines_on_page(page: NDArray[np.uint8], unit: Unit) -> list[FoundLine]:
    lines = [] if unit == "line" else find_lines(page)
    if len(lines) > 1 or (lines and unit == "page"):
        return lines
    return [sole_line(page)]


def _scale(tone: NDArray[np.uint8], shown: NDArray[np.uint8], settings: InkSettings) -> TextLine:
    """Scale what is shown to the one height; the normalised tone says where the text is."""
    height_px = settings.height_px
    if settings.crop_to_ink:
        region = _text_region(tone < INK_LEVEL)
        tone, shown = _cut(tone, region), _cut(shown, region)
    scale = height_px / tone.shape[0]
    size = max(1, round(tone.shape[1] * scale)), height_px
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    is_ink = cv2.resize(tone, size, interpolation=method) < INK_LEVEL
    return TextLine(cast(NDArray[np.uint8], cv2.resize(shown, size, interpolation=method)), is_ink)


def _text_region(ink: NDArray[np.bool_]) -> Region:
    """What to cut out for a line; it may go beyond the image."""
    columns = np.flatnonzero(ink.any(axis=0))
    if len(columns) == 0:
        raise ImageError("There must be ink, but the line is blank.")
    top, bottom = text_rows(ink, _CROSSINGS_KEPT)
    left, right = int(columns[0]), int(columns[-1]) + 1
    height = round(max(MIN_SIDE_PX, _LINE_PER_TEXT * (bottom - top), (right - left) / _MAX_WIDTH_PER_HEIGHT))
    margin = round(0.1 * height)
    return Region(left - margin, round(0.5 * (top + bottom - height)), right - left + 2 * margin, height)


def _cut(line: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """A part of the line; beyond its edges there is paper."""
    cut = np.full((region.height, region.width), np.uint8(np.percentile(line, 75)), dtype=np.uint8)
    top, bottom = max(0, region.top), min(line.shape[0], region.top + region.height)
    left, right = max(0, region.left), min(line.shape[1], region.left + region.width)
    cut[top - region.top : bottom - region.top, left - region.left : right - region.left] = line[top:bottom, left:right]
    return cut
