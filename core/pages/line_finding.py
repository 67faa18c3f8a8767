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
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from core.corpora.index import Region
from core.pages.scan import INK_LEVEL

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
    line_of_pixel, regions = _assign(strokes, peaks, cuts)
    lines = (_found(line_of_pixel, k + 1, region, strokes.letter_px) for k, region in enumerate(regions) if region)
    return [line for line in lines if line is not None]


def letter_height(page: NDArray[np.uint8]) -> float:
    """The height of a typical piece of ink in pixels, 0 if there is none.

    Args:
        page: (height, width), tone normalised.
    """
    return _Strokes.of(page).letter_px


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


@dataclass(frozen=True)
class _Strokes:
    """The connected pieces of ink; piece 0 is the paper.

    A page is paper for the most part: what is asked of all its ink goes by the list of its ink
        pixels, not by the page.

    Attributes:
        shape: (height, width) of the page.
        rows, columns, pieces: of each pixel of ink, in reading order, its place and the piece that
            it belongs to.
        tops, bottoms, lefts, rights: of each piece.
        middles: of each piece, the mean row of its pixels.
        is_letter: of each piece, whether it is large enough to be read.
        letter_px: height of a typical piece.
    """

    shape: tuple[int, int]
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    pieces: NDArray[np.int32]
    tops: NDArray[np.int32]
    bottoms: NDArray[np.int32]
    lefts: NDArray[np.int32]
    rights: NDArray[np.int32]
    middles: NDArray[np.float64]
    is_letter: NDArray[np.bool_]
    letter_px: float

    @classmethod
    def of(cls, page: NDArray[np.uint8]) -> "_Strokes":
        ink = (page < INK_LEVEL).view(np.uint8)
        # Of OpenCV's algorithms the fastest on pages, by more than two.
        _, labels, found, centres = cv2.connectedComponentsWithStatsWithAlgorithm(ink, 8, cv2.CV_32S, cv2.CCL_BBDT)
        places = cv2.findNonZero(ink)
        columns, rows = (np.zeros((2, 0), np.int32) if places is None else places.reshape(-1, 2).T).astype(np.intp)
        stats = np.asarray(found, dtype=np.int32)
        heights = stats[:, cv2.CC_STAT_HEIGHT].astype(np.float64)
        areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
        heights[0] = areas[0] = 0
        letter_px = _letter_height(heights, areas)
        tops = stats[:, cv2.CC_STAT_TOP]
        return cls(
            shape=(ink.shape[0], ink.shape[1]),
            rows=rows,
            columns=columns,
            pieces=np.asarray(labels, dtype=np.int32)[rows, columns],
            tops=tops,
            bottoms=tops + stats[:, cv2.CC_STAT_HEIGHT],
            lefts=stats[:, cv2.CC_STAT_LEFT],
            rights=stats[:, cv2.CC_STAT_LEFT] + stats[:, cv2.CC_STAT_WIDTH],
            middles=np.asarray(centres[:, 1], dtype=np.float64),
            is_letter=(heights >= 0.4 * letter_px) & (heights >= _MIN_LETTER_PX),
            letter_px=letter_px,
        )

    def crossings(self) -> NDArray[np.float64]:
        """How many strokes of letters each row crosses, (height,); neighbours in a row are of the
        same piece.
        """
        is_start = np.ones(len(self.rows), dtype=np.bool_)
        is_start[1:] = (np.diff(self.columns) != 1) | (np.diff(self.rows) != 0)
        starts = self.rows[is_start & self.is_letter[self.pieces]]
        return np.bincount(starts, minlength=self.shape[0]).astype(np.float64)


def _letter_height(heights: NDArray[np.float64], areas: NDArray[np.float64]) -> float:
    """The height of a typical piece of ink, in pixels: the median by area, so that dots and specks
    do not count.

    Pieces much taller than the plain median are letters of several lines that touch; they do not
    count either.
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
    crossings = strokes.crossings()
    text_px = min(strokes.letter_px, _TEXT_PER_PITCH * _line_pitch(crossings, least_px=0.7 * strokes.letter_px))
    padded = np.concatenate([[0.0], gaussian_filter1d(crossings, 0.25 * text_px, mode="constant"), [0.0]])
    peaks, found = find_peaks(padded, height=0.03 * padded.max(), distance=max(1.0, 0.7 * text_px), prominence=0)
    clear = found["prominences"] >= 0.35 * found["peak_heights"]
    return peaks[clear] - 1, padded[1:-1]


def _line_pitch(crossings: NDArray[np.float64], least_px: float) -> float:
    """The distance of the lines where they are evenly spaced, else infinity: the first strong peak
    of the autocorrelation of the crossings. Where ascenders and descenders overlap, only this tells
    lines from letters.
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


def _assign(
    strokes: _Strokes, peaks: NDArray[np.int64], cuts: list[int]
) -> tuple[NDArray[np.uint16], list[Region | None]]:
    """The number of the line (from 1; 0 is paper) of each pixel, (height, width), and the rectangle
    of each line.

    A piece belongs to the line whose middle row it crosses; one that crosses none (a dot, an
    accent) to the line between whose cuts its middle lies; one that crosses several (letters that
    touch) is divided at the cuts. Specks have the number after the last line's.
    """
    first = np.searchsorted(peaks, strokes.tops, side="left")
    n_crossed = np.searchsorted(peaks, strokes.bottoms, side="left") - first
    line = np.where(n_crossed == 1, first, np.searchsorted(cuts, strokes.middles))
    line_of_piece = (line + 1).astype(np.uint16)
    line_of_piece[_is_speck(strokes, line, len(peaks))] = len(peaks) + 1
    line_of_ink = line_of_piece[strokes.pieces]
    touching = n_crossed > 1
    touching[0] = False
    if touching.any():
        line_of_row = (np.searchsorted(cuts, np.arange(strokes.shape[0]), side="right") + 1).astype(np.uint16)
        line_of_ink = np.where(touching[strokes.pieces], line_of_row[strokes.rows], line_of_ink)
    line_of_pixel = np.zeros(strokes.shape, dtype=np.uint16)
    line_of_pixel[strokes.rows, strokes.columns] = line_of_ink
    return line_of_pixel, _regions(strokes, line_of_ink, len(peaks))


def _regions(strokes: _Strokes, line_of_ink: NDArray[np.uint16], n_lines: int) -> list[Region | None]:
    """The smallest rectangle around the ink of each line; nothing for a line without."""
    tops, lefts = np.full(n_lines + 2, strokes.shape[0]), np.full(n_lines + 2, strokes.shape[1])
    bottoms, rights = np.full(n_lines + 2, -1), np.full(n_lines + 2, -1)
    np.minimum.at(tops, line_of_ink, strokes.rows)
    np.maximum.at(bottoms, line_of_ink, strokes.rows)
    np.minimum.at(lefts, line_of_ink, strokes.columns)
    np.maximum.at(rights, line_of_ink, strokes.columns)
    heights, widths = bottoms - tops + 1, rights - lefts + 1
    rectangles = zip(*(values.tolist() for values in (lefts, tops, widths, heights)), strict=True)
    regions = [Region(*rectangle) if rectangle[3] > 0 else None for rectangle in rectangles]
    return regions[1 : n_lines + 1]


def _is_speck(strokes: _Strokes, line: NDArray[np.int64], n_lines: int) -> NDArray[np.bool_]:
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


def _found(line_of_pixel: NDArray[np.uint16], number: int, region: Region, letter_px: float) -> FoundLine | None:
    """The line of that number, `region` being the rectangle around its ink; nothing if that is
    specks only.
    """
    bottom, right = region.top + region.height, region.left + region.width
    around = line_of_pixel[region.top : bottom, region.left : right]
    if np.count_nonzero((around == number).any(axis=1)) < 0.3 * letter_px:
        return None
    return FoundLine(region, _foreign(around, number))


def _foreign(line_of_pixel: NDArray[np.uint16], number: int) -> NDArray[np.bool_]:
    """Where other lines' ink is, with the grey slopes of its edges."""
    slope = np.ones((3, 3), np.uint8)
    own = cv2.dilate((line_of_pixel == number).astype(np.uint8), slope) > 0
    others = (line_of_pixel > 0) & (line_of_pixel != number)
    return (cv2.dilate(others.astype(np.uint8), slope) > 0) & ~own
