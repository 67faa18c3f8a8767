"""Letters of several lines that touch, divided between their lines along the strokes.

Each bit of a stroke goes to the line whose middle is nearest on the way along the ink, so that a
descender that passes through the next line, or ends beside a letter of it, stays with its own. The
ink is taken as its runs along rows, which are neighbours where they overlap on rows one above the
other.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from core.pages.strokes import Strokes

_MIDDLE = 0.15
"""What is so close to a line's middle row is the line's own, in distances of lines."""
_CELLS_PER_PITCH, _WINDOW_CELLS = 2, 3
_LEAST_WRITTEN = 0.35
"""Where a line's middle is crossed by fewer strokes than this share of what is usual, it is not
written on: a lone descender hangs there from the line above."""


def divide(strokes: Strokes, chosen: NDArray[np.intp], middles: NDArray[np.int64]) -> NDArray[np.uint16]:
    """The lines of pixels of pieces that reach the middle rows of two lines or more, from 1.

    Args:
        strokes: all of them, levelled.
        chosen: the places of those pixels in the list of all, in order.
        middles: the level middle row of each line, in order.
    """
    rows, columns = strokes.rows[chosen], strokes.columns[chosen]
    is_first = np.ones(len(rows), dtype=np.bool_)
    is_first[1:] = (np.diff(columns) != 1) | (np.diff(rows) != 0)
    firsts = np.flatnonzero(is_first)
    lasts = np.append(firsts[1:], len(rows)) - 1
    at = strokes.level_rows[chosen][(firsts + lasts) // 2]
    pitch = float(np.median(np.diff(middles)))
    line, is_middle = _at_middle(at, middles, pitch)
    cell_px = pitch / _CELLS_PER_PITCH
    is_written = _written(strokes, middles, pitch)[line, (columns[firsts] / cell_px).astype(np.int64)]
    sources = np.flatnonzero(is_middle & is_written)
    if len(sources):
        one, other = _neighbours(rows[firsts], columns[firsts], columns[lasts])
        graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(len(firsts), len(firsts))).tocsr()
        _, _, source = dijkstra(
            graph, directed=False, indices=sources, unweighted=True, min_only=True, return_predecessors=True
        )
        line = np.where(source >= 0, line[source.clip(0)], line)
    return np.repeat(line + 1, lasts - firsts + 1).astype(np.uint16)


def _at_middle(
    level_rows: NDArray[np.intp], middles: NDArray[np.int64], pitch: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The nearest line, from 0, and whether it is so near that the ink is the line's own."""
    line = np.searchsorted(0.5 * (middles[1:] + middles[:-1]), level_rows)
    return line, np.abs(level_rows - middles[line]) <= max(1.0, _MIDDLE * pitch)


def _written(strokes: Strokes, middles: NDArray[np.int64], pitch: float) -> NDArray[np.bool_]:
    """Whether a line has writing in each cell of columns, (lines, cells)."""
    starts = strokes.starts()
    line, is_middle = _at_middle(strokes.level_rows[starts], middles, pitch)
    cells = (strokes.columns[starts] / (pitch / _CELLS_PER_PITCH)).astype(np.int64)
    n_cells = int(strokes.shape[1] / (pitch / _CELLS_PER_PITCH)) + 1
    places = line[is_middle] * n_cells + cells[is_middle]
    counts = np.bincount(places, minlength=len(middles) * n_cells).reshape(-1, n_cells).astype(np.float64)
    crossed = uniform_filter1d(counts, _WINDOW_CELLS, axis=1, mode="constant")
    usual = float(np.percentile(crossed[counts > 0], 75)) if counts.any() else 0.0
    return crossed >= _LEAST_WRITTEN * usual


def _neighbours(
    rows: NDArray[np.intp], starts: NDArray[np.intp], ends: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of runs that touch, the upper and the lower one of each.

    Args:
        rows: of the runs, in reading order.
        starts: their first columns.
        ends: their last columns.
    """
    stride = int(ends.max()) + 4
    first_keys, last_keys = rows * stride + starts, rows * stride + ends
    below = (rows + 1) * stride
    low = np.searchsorted(last_keys, below + starts - 1, side="left")
    high = np.searchsorted(first_keys, below + ends + 1, side="right")
    counts = np.maximum(0, high - low)
    upper = np.repeat(np.arange(len(rows)), counts)
    lower = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
    return upper, lower
