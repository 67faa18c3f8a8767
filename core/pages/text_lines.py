"""From a text image to its lines: dark on white, level, all at one text height.

A scanned page is made ready first: no dark edges, no rules, no print of forms, level. Each step
does something only where it finds something: a clean level page comes out as it went in.

What sets the scale? The height of the image is an accident of the scissors, and the height of the
ink depends on whether a word happens to hold a `g`, an umlaut or a bit of a ruled line. Here it is
the middle 80 % of the stroke crossings: rows are counted by how many strokes they cross, which
baseline-to-x-height rows do most, and a ruled line adds one crossing only. On 2,371 words of DHSD,
the width of a letter after scaling (known from the transcription) varies within a writer by 16.5 %
(standard deviation of the logarithm), against 22.0 % by the height of the image, 22.1 % by that of
the ink, and 17 to 19 % by estimates of the x-height band.
"""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from core.corpora.index import Region, TextImage, Unit
from core.errors import ImageError
from core.pages.dark_edges import find_dark_edges, paint_paper
from core.pages.dotted_paper import erase_dots
from core.pages.forms import find_writing_area
from core.pages.image_files import MIN_SIDE_PX, read_grey
from core.pages.line_finding import (
    FoundLine,
    find_lines,
    in_proportion,
    letter_height,
    paper_grey,
    sole_line,
    text_rows,
)
from core.pages.ruled_lines import erase_all_rules
from core.pages.scan import INK_LEVEL, estimate_skew, level, normalise_tone, paper_level
from core.settings import InkSettings

READER_VERSION = 2
"""To be raised whenever pages give other lines: lines that an older reader found are read anew.
Where an image is said to be one line, lines are those of version 1."""
TEXT_CROSSINGS = 0.8
"""The height of a text is that of the rows between which this middle share of its stroke crossings
lies."""
_LINE_PER_TEXT = 2.4
"""A line's height over that of its text: 98 % of the ink or more is inside in 95 % of DHSD's
words."""
_SHEET_PER_LETTER = 12
"""A sheet is so many times higher than its letters; a line or word is not."""
_LARGE_PX = 600
"""No line or word is so high."""
_MAX_WIDTH_PER_HEIGHT = 60
"""No line is longer than this: a lone dash is not blown up to the height of a letter."""
_LEAST_SKEW_DEG = 1.0
"""Lines are found on pages that are turned less than this as they are; turning blurs a bit."""


@dataclass(frozen=True)
class TextLine:
    """A text line at its final size.

    Attributes:
        pixels: (height_px, width), 255 is paper (where tone is not normalised: light is paper).
        is_ink: (height_px, width), whether a pixel is ink; pale ink is ink too.
        n_ink: how many pixels of ink of the page it shows; strokes far above or below are cut off.
    """

    pixels: NDArray[np.uint8]
    is_ink: NDArray[np.bool_]
    n_ink: int = 0


@dataclass(frozen=True)
class CleanPage:
    """A page with nothing but writing on it.

    Attributes:
        tone: (height, width), tone normalised.
        shown: (height, width), the grey values that lines are cut from: `tone`, or the page's own
            ones.
        to_page: (2, 3) the affine map from its pixels to those of the page as it was.
        n_rules: how many rules were erased.
        skew_deg: by how much it was turned back.
        is_changed: whether anything was done.
    """

    tone: NDArray[np.uint8]
    shown: NDArray[np.uint8]
    to_page: NDArray[np.float64]
    n_rules: int
    skew_deg: float
    is_changed: bool


@dataclass(frozen=True)
class ReadPage:
    """An image with its lines found.

    Attributes:
        clean: what the lines were found on.
        lines: column by column and from top to bottom, in pixels of `clean`.
        n_slivers: what was found and is no line: the rest of a rule, the cut top of a line.
    """

    clean: CleanPage
    lines: tuple[FoundLine, ...]
    n_slivers: int = 0


def text_lines(image: TextImage, settings: InkSettings) -> list[NDArray[np.uint8]]:
    """Read the text lines of an image.

    Args:
        image: what to read; an image with `unit="line"` is one line, of another its lines are found
            first.
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
    return read_lines(grey, image, settings)[1]


def read_lines(grey: NDArray[np.uint8], image: TextImage, settings: InkSettings) -> tuple[ReadPage, list[TextLine]]:
    """Like `lines_of_grey`, with the page on which the lines were found."""
    try:
        page = read_page(grey, image.unit, settings)
        return page, scale_lines(page, settings)
    except ImageError as error:
        raise ImageError(f"{image.path}: {error}") from error


def read_page(grey: NDArray[np.uint8], unit: Unit, settings: InkSettings) -> ReadPage:
    """Clean an image and find its lines.

    A line or word is taken as it is. On a page dark edges, rules and skew are taken away where
    there are any; of a form the print too. Where the ink must tell, one line is a line, unless the
    image is a sheet: high for its letters.

    Args:
        grey: (height, width), dark ink on light paper.
        unit: what the image is.
        settings: whether the tone is normalised.

    Raises:
        ImageError: if there is no ink, or it cannot be told where a form's header ends.
    """
    if unit in ("page", "form"):
        return _read_sheet(grey, unit == "form", settings) or _read_line(grey, settings)
    if unit == "auto" and min(grey.shape) >= _LARGE_PX and find_dark_edges(grey) is not None:
        return read_page(grey, "page", settings)  # a desk around the sheet spoils its tone
    line = _read_line(grey, settings)
    if unit == "line" or not (_is_sheet(line.clean.tone) or len(in_proportion(find_lines(line.clean.tone))) > 1):
        return line
    sheet = _read_sheet(grey, False, settings)
    return line if sheet is None or len(sheet.lines) == 1 else sheet


def scale_lines(page: ReadPage, settings: InkSettings) -> list[TextLine]:
    """The lines of a page at their final size."""
    return [_scale(page, line, settings) for line in page.lines]


def place_of_line(page: ReadPage, line: FoundLine, settings: InkSettings) -> Region:
    """What of a page is scaled to be a line of the store, in pixels of `page.clean`; it may go
    beyond its edges.
    """
    if not settings.crop_to_ink:
        return line.region
    level, first_row = line.cut_level(page.clean.tone)
    text = _text_region(level < INK_LEVEL)
    return Region(line.region.left + text.left, line.region.top + first_row + text.top, text.width, text.height)


def clean_page(grey: NDArray[np.uint8], is_form: bool, keeps_tone: bool = False) -> CleanPage:
    """Take everything but the writing off a page.

    Args:
        grey: (height, width), dark ink on light paper.
        is_form: whether the writing stands between a printed header and footer that are to be cut
            off.
        keeps_tone: whether `shown` shall be in the page's own grey values.

    Raises:
        ImageError: if there is no ink, or it cannot be told where a form's header ends.
    """
    edge = find_dark_edges(grey)
    if edge is not None:
        grey = paint_paper(grey, edge)
    tone = normalise_tone(grey)
    shown = grey if keeps_tone else tone
    if edge is not None:
        tone[edge] = 255
    before = tone.copy() if keeps_tone else tone
    rules = erase_all_rules(tone)
    has_dots = erase_dots(tone)
    n_rules = len(rules.horizontal) + len(rules.vertical)
    if keeps_tone and (n_rules or has_dots):
        shown = np.where(tone > before, paper_level(grey).round().astype(np.uint8), grey)
    to_page = np.eye(2, 3)
    if is_form:
        area = find_writing_area(tone, rules.horizontal)
        intruders = area.intruders(tone)
        tone[intruders] = 255
        if keeps_tone:
            shown = np.where(intruders, paper_level(grey).round().astype(np.uint8), shown)
        tone, to_page[1, 2] = area.cut_from(tone)
        shown = area.cut_from(shown)[0] if keeps_tone else tone
    skew_deg = estimate_skew(tone)
    if abs(skew_deg) < _LEAST_SKEW_DEG:
        return CleanPage(tone, shown, to_page, n_rules, 0.0, edge is not None or n_rules > 0 or has_dots or is_form)
    turned, to_cut = level(tone, skew_deg)
    if keeps_tone:
        shown = level(shown, skew_deg)[0]
    to_page = np.asarray(to_page @ np.vstack([to_cut, (0, 0, 1)]))
    return CleanPage(turned, shown if keeps_tone else turned, to_page, n_rules, skew_deg, True)


def _read_line(grey: NDArray[np.uint8], settings: InkSettings) -> ReadPage:
    tone = normalise_tone(grey)
    clean = CleanPage(tone, tone if settings.normalise_tone else grey, np.eye(2, 3), 0, 0.0, False)
    return ReadPage(clean, (sole_line(tone),))


def _read_sheet(grey: NDArray[np.uint8], is_form: bool, settings: InkSettings) -> ReadPage | None:
    """The lines of a page, or nothing if there are none on it."""
    clean = clean_page(grey, is_form, keeps_tone=not settings.normalise_tone)
    found = find_lines(clean.tone)
    lines = in_proportion(found)
    return ReadPage(clean, tuple(lines), len(found) - len(lines)) if lines else None


def _is_sheet(tone: NDArray[np.uint8]) -> bool:
    """Whether an image has room for many lines of its letters; skew or rules may hide them."""
    return bool(tone.shape[0] > _SHEET_PER_LETTER * letter_height(tone) > 0)


def _scale(page: ReadPage, line: FoundLine, settings: InkSettings) -> TextLine:
    """Scale what is shown to the one height; the normalised tone says where the text is."""
    height_px = settings.height_px
    tone = line.cut_from(page.clean.tone)
    is_same = page.clean.shown is page.clean.tone
    shown = tone if is_same else line.cut_from(page.clean.shown)
    if settings.crop_to_ink:
        region = _text_region(tone < INK_LEVEL)
        tone = _cut(tone, region)
        shown = tone if is_same else _cut(shown, region)
    n_ink = int(np.count_nonzero(tone < INK_LEVEL))
    scale = height_px / tone.shape[0]
    size = max(1, round(tone.shape[1] * scale)), height_px
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cast(NDArray[np.uint8], cv2.resize(tone, size, interpolation=method))
    pixels = scaled if is_same else cast(NDArray[np.uint8], cv2.resize(shown, size, interpolation=method))
    return TextLine(pixels, scaled < INK_LEVEL, n_ink)


def _text_region(ink: NDArray[np.bool_]) -> Region:
    """What to cut out for a line; it may go beyond the image."""
    columns = np.flatnonzero(ink.any(axis=0))
    if len(columns) == 0:
        raise ImageError("There must be ink, but the line is blank.")
    top, bottom = text_rows(ink, TEXT_CROSSINGS)
    left, right = int(columns[0]), int(columns[-1]) + 1
    height = round(max(MIN_SIDE_PX, _LINE_PER_TEXT * (bottom - top), (right - left) / _MAX_WIDTH_PER_HEIGHT))
    margin = round(0.1 * height)
    return Region(left - margin, round(0.5 * (top + bottom - height)), right - left + 2 * margin, height)


def _cut(line: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """A part of the line; beyond its edges there is paper."""
    cut = np.full((region.height, region.width), paper_grey(line), dtype=np.uint8)
    top, bottom = max(0, region.top), min(line.shape[0], region.top + region.height)
    left, right = max(0, region.left), min(line.shape[1], region.left + region.width)
    cut[top - region.top : bottom - region.top, left - region.left : right - region.left] = line[top:bottom, left:right]
    return cut
