"""Text lines on a page of handwriting.

Rows of writing are peaks of the page's ink profile (horizontal projection, the classic of the field: Likforman-Sulem
et al., "Text line segmentation of historical documents: a survey", 2007); whole strokes, not rows of pixels, are
then given to the lines, so that a descender that hangs into the next line stays with its letter.
"""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, gaussian_filter1d
from scipy.signal import find_peaks

from core.corpora.base import Region
from core.tone import INK_LEVEL

_MIN_LETTER_PX = 4
_DOT_REACH = 2.0
"""A full stop, in letter heights from the last letter; an accent, half as far."""
_TEXT_PER_PITCH = 0.6
"""Lines are set about so far apart that their letters take this share of the pitch."""


@dataclass(frozen=True)
class FoundLine:
    """A text line on a page.

    Attributes:
        region: the smallest rectangle around its ink, in pixels of the page.
        is_foreign: (height, width) of that rectangle, where there is ink of other lines.
    """

    region: Region
    is_foreign: NDArray[np.bool_]

    def cut_from(self, page: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The line's rectangle of the page, the ink of other lines painted over with paper."""
        bottom, right = self.region.top + self.region.height, self.region.left + self.region.width
        cut = page[self.region.top : bottom, self.region.left : right]
        return np.where(self.is_foreign, paper_grey(cut), cut) if self.is_foreign.any() else cut


def find_lines(page: NDArray[np.uint8]) -> list[FoundLine]:
    """Find the text lines of an upright page in one column.

    Args:
        page: (height, width), tone normalised: 255 is paper, below `INK_LEVEL` is ink.

    Returns:
        The lines from top to bottom; empty if no stroke is large enough for a letter.
    """
    strokes = _Strokes.of(page)
    if not strokes.is_letter.any():
        return []
    peaks, profile = _line_rows(strokes)
    cuts = [int(upper + np.argmin(profile[upper:lower])) for upper, lower in itertools.pairwise(peaks)]
    line_of_pixel = _assign(strokes, peaks, cuts)
    places = find_objects(line_of_pixel, max_label=len(peaks))
    lines = (_found(line_of_pixel, k + 1, place, strokes.letter_px) for k, place in enumerate(places) if place)
    return [line for line in lines if line is not None]


def letter_height(page: NDArray[np.uint8]) -> float:
    """The height of a typical piece of ink in pixels, 0 if there is none.

    Args:
        page: (height, width), tone normalised.
    """
    return _Strokes.of(page).letter_px


def sole_line(cut: NDArray[np.uint8]) -> FoundLine:
    """A line that a rectangle was cut out around: strokes of its neighbours that reach in are foreign.

    Foreign is what touches the upper or lower edge and stays clear of the text's body, so ends of ruled lines too.

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
    line_of_piece = np.where(above | below, 2, 1).astype(np.int32)
    line_of_piece[0] = 0
    return FoundLine(Region(0, 0, width, height), _foreign(line_of_piece[labels], number=1))


def paper_grey(cut: NDArray[np.uint8]) -> np.uint8:
    """The upper quartile of the grey values, rounded down; what NumPy's percentile says, in a third of the time."""
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
    """How many strokes each row crosses, (height,): a dash or a ruled line counts once, however long."""
    starts = ink.copy()
    starts[:, 1:] &= ~ink[:, :-1]
    return np.count_nonzero(starts, axis=1).astype(np.float64)


@dataclass(frozen=True)
class _Strokes:
    """The connected pieces of ink; piece 0 is the paper, and pieces too small to be read count as paper."""

    labels: NDArray[np.int32]
    tops: NDArray[np.int32]
    bottoms: NDArray[np.int32]
    lefts: NDArray[np.int32]
    rights: NDArray[np.int32]
    middles: NDArray[np.float64]
    is_letter: NDArray[np.bool_]
    letter_px: float

    @classmethod
    def of(cls, page: NDArray[np.uint8]) -> "_Strokes":
        ink = (page < INK_LEVEL).astype(np.uint8)
        _, labels, found, centres = cv2.connectedComponentsWithStats(ink, connectivity=8)
        stats = np.asarray(found, dtype=np.int32)
        heights = stats[:, cv2.CC_STAT_HEIGHT].astype(np.float64)
        areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
        heights[0] = areas[0] = 0
        letter_px = _letter_height(heights, areas)
        tops = stats[:, cv2.CC_STAT_TOP]
        return cls(
            labels=np.asarray(labels, dtype=np.int32),
            tops=tops,
            bottoms=tops + stats[:, cv2.CC_STAT_HEIGHT],
            lefts=stats[:, cv2.CC_STAT_LEFT],
            rights=stats[:, cv2.CC_STAT_LEFT] + stats[:, cv2.CC_STAT_WIDTH],
            middles=np.asarray(centres[:, 1], dtype=np.float64),
            is_letter=(heights >= 0.4 * letter_px) & (heights >= _MIN_LETTER_PX),
            letter_px=letter_px,
        )


def _letter_height(heights: NDArray[np.float64], areas: NDArray[np.float64]) -> float:
    """The height of a typical piece of ink, in pixels: the median by area, so that dots and specks do not count.

    Pieces much taller than the plain median are letters of several lines that touch; they do not count either.
    """
    readable = heights >= _MIN_LETTER_PX
    if not readable.any():
        return 0.0
    single = readable & (heights <= 3.0 * np.median(heights[readable]))
    order = np.argsort(heights[single])
    running = np.cumsum(areas[single][order])
    return float(heights[single][order][np.searchsorted(running, running[-1] / 2)])


def _line_rows(strokes: _Strokes) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The middle row of each line, and the smoothed count of letters' crossings per row."""
    crossings = crossings_per_row(strokes.is_letter[strokes.labels])
    text_px = min(strokes.letter_px, _TEXT_PER_PITCH * _line_pitch(crossings, least_px=0.7 * strokes.letter_px))
    padded = np.concatenate([[0.0], gaussian_filter1d(crossings, 0.25 * text_px, mode="constant"), [0.0]])
    peaks, found = find_peaks(padded, height=0.03 * padded.max(), distance=max(1.0, 0.7 * text_px), prominence=0)
    clear = found["prominences"] >= 0.35 * found["peak_heights"]
    return peaks[clear] - 1, padded[1:-1]


def _line_pitch(crossings: NDArray[np.float64], least_px: float) -> float:
    """The distance of the lines where they are evenly spaced, else infinity: the first strong peak of the
    autocorrelation of the crossings. Where ascenders and descenders overlap, only this tells lines from letters.
    """
    rows = np.flatnonzero(crossings)
    profile = crossings[rows[0] : rows[-1] + 1]
    n_rows = len(profile)
    profile = profile - gaussian_filter1d(profile, n_rows / 4)
    power = np.abs(np.fft.rfft(profile, 2 * n_rows)) ** 2
    likeness = np.fft.irfft(power)[: max(2, n_rows // 2)]
    likeness = gaussian_filter1d(likeness / max(likeness[0], 1e-9), 1.0)
    peaks, _ = find_peaks(likeness, height=0.2)
    peaks = peaks[peaks >= least_px]
    if len(peaks) == 0:
        return np.inf
    return float(peaks[likeness[peaks] >= 0.6 * likeness[peaks].max()][0])


def _assign(strokes: _Strokes, peaks: NDArray[np.int64], cuts: list[int]) -> NDArray[np.int32]:
    """The number of the line (from 1; 0 is paper) of each pixel of ink, (height, width).

    A piece belongs to the line whose middle row it crosses; one that crosses none (a dot, an accent) to the line
    between whose cuts its middle lies; one that crosses several (letters that touch) is divided at the cuts. Specks
    have the number after the last line's.
    """
    first = np.searchsorted(peaks, strokes.tops, side="left")
    n_crossed = np.searchsorted(peaks, strokes.bottoms, side="left") - first
    line = np.where(n_crossed == 1, first, np.searchsorted(cuts, strokes.middles))
    line_of_piece = (line + 1).astype(np.int32)
    line_of_piece[_is_speck(strokes, line, len(peaks))] = len(peaks) + 1
    line_of_piece[0] = 0
    line_of_pixel = line_of_piece[strokes.labels]
    touching = n_crossed > 1
    touching[0] = False
    if touching.any():
        line_of_row = (np.searchsorted(cuts, np.arange(len(line_of_pixel)), side="right") + 1).astype(np.int32)
        line_of_pixel = np.where(touching[strokes.labels], line_of_row[:, None], line_of_pixel)
    return line_of_pixel


def _is_speck(strokes: _Strokes, line: NDArray[np.int64], n_lines: int) -> NDArray[np.bool_]:
    """Which pieces are too small for a letter and stand clear of the letters of their line: dust, not dots."""
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


def _found(
    line_of_pixel: NDArray[np.int32], number: int, place: tuple[slice, slice], letter_px: float
) -> FoundLine | None:
    """The line of that number, `place` being the rectangle around its ink; nothing if that is specks only."""
    around = line_of_pixel[place]
    if np.count_nonzero((around == number).any(axis=1)) < 0.3 * letter_px:
        return None
    top, left = place[0].start, place[1].start
    return FoundLine(Region(left, top, around.shape[1], around.shape[0]), _foreign(around, number))


def _foreign(line_of_pixel: NDArray[np.int32], number: int) -> NDArray[np.bool_]:
    """Where other lines' ink is, with the grey slopes of its edges."""
    slope = np.ones((3, 3), np.uint8)
    own = cv2.dilate((line_of_pixel == number).astype(np.uint8), slope) > 0
    others = (line_of_pixel > 0) & (line_of_pixel != number)
    return (cv2.dilate(others.astype(np.uint8), slope) > 0) & ~own
