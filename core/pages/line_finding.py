"""Text lines on a page of handwriting.

Rows of writing are peaks of the page's ink profile (horizontal projection, the classic of the
field: Likforman-Sulem et al., "Text line segmentation of historical documents: a survey", 2007);
whole strokes, not rows of pixels, are then given to the lines, so that a descender that hangs into
the next line stays with its letter.
"""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.corpora.index import Region
from core.pages.line_flow import find_flow
from core.pages.line_rows import line_rows
from core.pages.scan import INK_LEVEL
from core.pages.strokes import Strokes
from core.pages.text_columns import text_columns
from core.pages.touching_lines import divide

_LEAST_TEXT = 0.35
"""A line whose text is lower than this share of that of others is a sliver."""
_SPECK = 65535
"""What belongs to no line."""
_DOT_REACH = 2.0
"""A full stop, in letter heights from the last letter; an accent, half as far."""


@dataclass(frozen=True)
class FoundLine:
    """A text line on a page.

    Attributes:
        region: the smallest rectangle around its ink, in pixels of the page.
        is_foreign: (height, width) of that rectangle, where there is ink of other lines.
        bend: (width,) by how many rows each column lies too low for a level line; `None` where the
            line is level.
        text_px: the height of the rows between which the middle 80 % of its strokes cross; 0 where
            that was not measured.
    """

    region: Region
    is_foreign: NDArray[np.bool_]
    bend: NDArray[np.float32] | None = None
    text_px: float = 0.0

    def cut_from(self, page: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The line level, the ink of other lines painted over with paper."""
        return self.cut_level(page)[0]

    def cut_level(self, page: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
        """Like `cut_from`, and which row of `region` the first row is, in the middle of the
        line.
        """
        bottom, right = self.region.top + self.region.height, self.region.left + self.region.width
        cut = page[self.region.top : bottom, self.region.left : right]
        if self.is_foreign.any():
            cut = np.where(self.is_foreign, paper_grey(cut), cut)
        return (cut, 0) if self.bend is None else _straighten(cut, self.bend)


def find_lines(page: NDArray[np.uint8]) -> list[FoundLine]:
    """Find the text lines of an upright page.

    Args:
        page: (height, width), tone normalised: 255 is paper, below `INK_LEVEL` is ink.

    Returns:
        The lines, column by column and from top to bottom; empty if no stroke is large enough for a
        letter.
    """
    strokes = Strokes.of(page)
    line_of_pixel = np.zeros(strokes.shape, dtype=np.uint16)
    found: list[_Place] = []
    for column in text_columns(strokes) if strokes.is_letter.any() else []:
        found += _find_in_column(column, line_of_pixel, len(found))
    lines = (_found(line_of_pixel, place, strokes.letter_px) for place in found)
    return [line for line in lines if line is not None]


def in_proportion(lines: list[FoundLine]) -> list[FoundLine]:
    """Those of a page's lines that are no slivers: the rest of a rule, the cut top of a line.

    A line's text must not be far lower than that of most lines of its page (of two lines: of the
    other one), nor its rectangle smaller than a letter of theirs.
    """
    if len(lines) < 2:
        return lines
    heights = [line.text_px for line in lines]
    text_px = float(np.median(heights)) if len(lines) > 2 else max(heights)
    return [
        line
        for line in lines
        if line.text_px >= _LEAST_TEXT * text_px
        and line.region.width >= text_px
        and line.region.height >= 0.6 * text_px
    ]


def letter_height(page: NDArray[np.uint8]) -> float:
    """The height of a typical piece of ink in pixels, 0 if there is none.

    Args:
        page: (height, width), tone normalised.
    """
    return Strokes.of(page).letter_px


def sole_line(cut: NDArray[np.uint8]) -> FoundLine:
    """A line that a rectangle was cut out around: strokes of its neighbours that reach in are
    foreign.

    Foreign is what touches the upper or lower edge and stays clear of the text's body, so ends of
    ruled lines too.

    Args:
        cut: (height, width), tone normalised.
    """
    height, width = cut.shape
    ink = cut < INK_LEVEL
    top, bottom = text_rows(ink, kept=0.4)
    _, labels, found, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    tops, heights = np.asarray(found[:, cv2.CC_STAT_TOP]), np.asarray(found[:, cv2.CC_STAT_HEIGHT])
    above = (tops == 0) & (tops + heights <= top)
    below = (tops + heights == height) & (tops >= bottom)
    line_of_piece = np.where(above | below, 2, 1).astype(np.uint16)
    line_of_piece[0] = 0
    return FoundLine(Region(0, 0, width, height), _foreign(line_of_piece[labels], number=1))


def paper_grey(cut: NDArray[np.uint8]) -> np.uint8:
    """The upper quartile of the grey values, rounded down; what NumPy's percentile says, in a third
    of the time.
    """
    counts = cv2.calcHist([cut], [0], None, [256], [0, 256])
    running = np.cumsum(counts.astype(np.int64))
    place = 0.75 * (cut.size - 1)
    low, high = np.searchsorted(running, [np.floor(place), np.ceil(place)], side="right")
    return np.uint8(low + (place % 1.0) * (high - low))


def text_rows(ink: NDArray[np.bool_], kept: float) -> tuple[float, float]:
    """The rows between which the middle share of the stroke crossings lies.

    Args:
        ink: (height, width) of a single line.
        kept: the share, between 0 and 1.

    Returns:
        Upper and lower bound, in rows from the top.
    """
    running = np.cumsum(crossings_per_row(ink))
    tail = 0.5 * (1.0 - kept)
    top, bottom = np.interp([tail * running[-1], (1.0 - tail) * running[-1]], running, np.arange(1, len(running) + 1))
    return float(top), float(bottom)


def crossings_per_row(ink: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How many strokes each row crosses, (height,): a dash or a ruled line counts once, however
    long.
    """
    starts = ink.copy()
    starts[:, 1:] &= ~ink[:, :-1]
    return np.count_nonzero(starts, axis=1).astype(np.float64)


def _straighten(cut: NDArray[np.uint8], bend: NDArray[np.float32]) -> tuple[NDArray[np.uint8], int]:
    """Move the columns of a line up and down so that it is level; rows without ink are left out."""
    height, width = cut.shape
    off = bend - bend.mean()
    above, below = int(np.ceil(max(0.0, off.max()))), int(np.ceil(max(0.0, -off.min())))
    rows = np.arange(-above, height + below, dtype=np.float32)[:, None] + off
    columns = np.broadcast_to(np.arange(width, dtype=np.float32), rows.shape)
    paper = int(paper_grey(cut))
    level = cv2.remap(cut, columns.copy(), rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=paper)
    inked = np.flatnonzero((level < min(INK_LEVEL, paper)).any(axis=1))
    if len(inked) == 0:
        return cut, 0
    return np.asarray(level[inked[0] : inked[-1] + 1], dtype=np.uint8), int(inked[0]) - above


@dataclass(frozen=True)
class _Place:
    """Where the line of a number lies; `bend` and `text_px` as in `FoundLine`."""

    number: int
    region: Region
    bend: NDArray[np.float32] | None
    text_px: float


def _find_in_column(strokes: Strokes, line_of_pixel: NDArray[np.uint16], n_before: int) -> list[_Place]:
    """Find the lines of one column; each pixel of theirs gets its line's number."""
    starts = strokes.starts()
    flow = find_flow(strokes.rows[starts], strokes.columns[starts], strokes.shape, strokes.letter_px)
    level = strokes if flow is None else strokes.levelled(flow)
    peaks, profile = line_rows(level)
    cuts = [int(upper + np.argmin(profile[upper:lower])) for upper, lower in itertools.pairwise(peaks)]
    line_of_ink = _assign(level, peaks, cuts)
    is_speck = line_of_ink == _SPECK
    line_of_pixel[strokes.rows, strokes.columns] = np.where(is_speck, _SPECK, line_of_ink + n_before)
    rows_of_starts, line_of_starts = level.level_rows[starts], line_of_ink[starts]
    places = []
    for k, region in enumerate(_regions(strokes, line_of_ink, len(peaks)), 1):
        if region is not None:
            right = region.left + region.width
            bend = None if flow is None else flow.bend(float(peaks[k - 1]), region.left, right).astype(np.float32)
            own = rows_of_starts[line_of_starts == k]
            text_px = float(np.ptp(np.percentile(own, (10, 90)))) if len(own) else 0.0
            places.append(_Place(n_before + k, region, bend, text_px))
    return places


def _assign(strokes: Strokes, peaks: NDArray[np.int64], cuts: list[int]) -> NDArray[np.uint16]:
    """The number of the line of each pixel of ink, from 1; `_SPECK` for dust.

    A piece belongs to the line whose middle row it crosses; one that crosses none (a dot, an
    accent) to the line between whose cuts its middle lies; one that crosses several (letters that
    touch) is divided along its strokes.
    """
    first = np.searchsorted(peaks, strokes.tops, side="left")
    n_crossed = np.searchsorted(peaks, strokes.bottoms, side="left") - first
    line = np.where(n_crossed == 1, first, np.searchsorted(cuts, strokes.middles))
    line_of_piece = (line + 1).astype(np.uint16)
    line_of_piece[_is_speck(strokes, line, len(peaks))] = _SPECK
    line_of_ink = line_of_piece[strokes.pieces]
    touching = n_crossed > 1
    touching[0] = False
    chosen = np.flatnonzero(touching[strokes.pieces])
    if len(chosen):
        line_of_ink[chosen] = divide(strokes, chosen, peaks)
    return line_of_ink


def _regions(strokes: Strokes, line_of_ink: NDArray[np.uint16], n_lines: int) -> list[Region | None]:
    """The smallest rectangle around the ink of each line; nothing for a line without."""
    number = np.minimum(line_of_ink, n_lines + 1)
    tops, lefts = np.full(n_lines + 2, strokes.shape[0]), np.full(n_lines + 2, strokes.shape[1])
    bottoms, rights = np.full(n_lines + 2, -1), np.full(n_lines + 2, -1)
    np.minimum.at(tops, number, strokes.rows)
    np.maximum.at(bottoms, number, strokes.rows)
    np.minimum.at(lefts, number, strokes.columns)
    np.maximum.at(rights, number, strokes.columns)
    heights, widths = bottoms - tops + 1, rights - lefts + 1
    rectangles = zip(*(values.tolist() for values in (lefts, tops, widths, heights)), strict=True)
    regions = [Region(*rectangle) if rectangle[3] > 0 else None for rectangle in rectangles]
    return regions[1 : n_lines + 1]


def _is_speck(strokes: Strokes, line: NDArray[np.int64], n_lines: int) -> NDArray[np.bool_]:
    """Which pieces are too small for a letter and stand clear of the letters of their line: dust,
    not dots.
    """
    number = line[strokes.is_letter]
    lefts, rights = np.full(n_lines, np.inf), np.full(n_lines, -np.inf)
    tops, bottoms = np.full(n_lines, np.inf), np.full(n_lines, -np.inf)
    np.minimum.at(lefts, number, strokes.lefts[strokes.is_letter])
    np.maximum.at(rights, number, strokes.rights[strokes.is_letter])
    np.minimum.at(tops, number, strokes.tops[strokes.is_letter])
    np.maximum.at(bottoms, number, strokes.bottoms[strokes.is_letter])
    reach = _DOT_REACH * strokes.letter_px
    is_beside = (strokes.rights < lefts[line] - reach) | (strokes.lefts > rights[line] + reach)
    is_beyond = (strokes.bottoms < tops[line] - 0.5 * reach) | (strokes.tops > bottoms[line] + 0.5 * reach)
    return ~strokes.is_letter & (is_beside | is_beyond)


def _found(line_of_pixel: NDArray[np.uint16], place: _Place, letter_px: float) -> FoundLine | None:
    """The line there; nothing if its ink is specks only."""
    region = place.region
    bottom, right = region.top + region.height, region.left + region.width
    around = line_of_pixel[region.top : bottom, region.left : right]
    if np.count_nonzero((around == place.number).any(axis=1)) < 0.3 * letter_px:
        return None
    return FoundLine(region, _foreign(around, place.number), place.bend, place.text_px)


def _foreign(line_of_pixel: NDArray[np.uint16], number: int) -> NDArray[np.bool_]:
    """Where other lines' ink is, with the grey slopes of its edges."""
    slope = np.ones((3, 3), np.uint8)
    own = cv2.dilate((line_of_pixel == number).astype(np.uint8), slope) > 0
    others = (line_of_pixel > 0) & (line_of_pixel != number)
    return (cv2.dilate(others.astype(np.uint8), slope) > 0) & ~own
