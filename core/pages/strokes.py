"""The connected pieces of ink on a page, and which of them are letters."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from core.pages.line_flow import LineFlow
from core.pages.scan import INK_LEVEL

_MIN_LETTER_PX = 4
_TALL = 3.0
_LEAST_SINGLE = 0.2


@dataclass(frozen=True)
class Strokes:
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
        level_rows: of each pixel of ink, the row that it had if lines were level; tops, bottoms and
            middles are level, too.
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
    level_rows: NDArray[np.intp]

    @classmethod
    def of(cls, page: NDArray[np.uint8]) -> "Strokes":
        """The strokes of a page, (height, width), tone normalised."""
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
            level_rows=rows,
        )

    def starts(self) -> NDArray[np.bool_]:
        """Of each pixel of ink, whether a letter's stroke begins there, seen from the left.

        Neighbours in a row are of the same piece.
        """
        is_start = np.ones(len(self.rows), dtype=np.bool_)
        is_start[1:] = (np.diff(self.columns) != 1) | (np.diff(self.rows) != 0)
        return is_start & self.is_letter[self.pieces]

    def crossings(self) -> NDArray[np.float64]:
        """How many strokes of letters each level row crosses, (height,)."""
        return np.bincount(self.level_rows[self.starts()], minlength=self.shape[0]).astype(np.float64)

    def only(self, is_kept: NDArray[np.bool_]) -> "Strokes":
        """Some of the pieces alone; the others keep their numbers, but have no ink."""
        chosen = is_kept[self.pieces]
        return replace(
            self,
            rows=self.rows[chosen],
            columns=self.columns[chosen],
            pieces=self.pieces[chosen],
            level_rows=self.level_rows[chosen],
            is_letter=self.is_letter & is_kept,
        )

    def levelled(self, flow: LineFlow) -> "Strokes":
        """The strokes as they lay if lines were level."""
        level_rows = flow.level_rows(self.rows, self.columns).clip(0, self.shape[0] - 1)
        n_pieces = len(self.tops)
        tops, bottoms = np.full(n_pieces, self.shape[0]), np.zeros(n_pieces, dtype=np.int64)
        np.minimum.at(tops, self.pieces, level_rows)
        np.maximum.at(bottoms, self.pieces, level_rows + 1)
        n_pixels = np.bincount(self.pieces, minlength=n_pieces)
        middles = np.bincount(self.pieces, weights=level_rows, minlength=n_pieces) / np.maximum(n_pixels, 1)
        return replace(
            self,
            level_rows=level_rows,
            tops=tops.astype(np.int32),
            bottoms=bottoms.astype(np.int32),
            middles=middles,
        )


def _letter_height(heights: NDArray[np.float64], areas: NDArray[np.float64]) -> float:
    """The height of a typical piece of ink, in pixels: the median by area, so that dots and specks
    do not count.

    Pieces much taller than the plain median are letters of several lines that touch; they do not
    count either, unless next to nothing is left: then most pieces are dust, or what is seen of
    neighbouring lines, and the tall ones are the letters.
    """
    readable = heights >= _MIN_LETTER_PX
    if not readable.any():
        return 0.0
    single = readable & (heights <= _TALL * np.median(heights[readable]))
    if areas[single].sum() < _LEAST_SINGLE * areas[readable].sum():
        single = readable & (heights <= _TALL * _middle(heights[readable], heights[readable]))
    return _middle(heights[single], areas[single])


def _middle(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """The weighted median."""
    order = np.argsort(values)
    running = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(running, running[-1] / 2)])
