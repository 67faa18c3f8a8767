"""Columns of text that stand side by side.

Between two columns there is a corridor from the first line to the last that hardly any word
crosses. Gaps between words are as wide, but do not lie one above the other through many lines.
"""

import numpy as np
from numpy.typing import NDArray

from core.pages.strokes import Strokes

_LEAST_ROWS = 6
"""Through fewer lines a corridor may be chance."""
_MOST_CROSSED = 0.06
_LEAST_CORRIDOR = 0.6
"""Its width in letter heights."""
_LEAST_SHARE = 0.2
"""Of the ink, on each side."""


def text_columns(strokes: Strokes) -> list[Strokes]:
    """The strokes of each column, from left to right; all of them where there is one column."""
    corridor = _corridor(strokes)
    if corridor is None:
        return [strokes]
    is_left = 0.5 * (strokes.lefts + strokes.rights) < corridor
    return [*text_columns(strokes.only(is_left)), *text_columns(strokes.only(~is_left))]


def _corridor(strokes: Strokes) -> float | None:
    """The middle of the widest corridor, in columns of the page."""
    cell_px = max(1.0, strokes.letter_px / 4)
    n_rows, n_columns = (int(np.ceil(side / cell_px)) for side in strokes.shape)
    is_text = strokes.is_letter[strokes.pieces]
    rows = (strokes.rows[is_text] / (8 * cell_px)).astype(np.int64)  # about a line each
    columns = (strokes.columns[is_text] / cell_px).astype(np.int64)
    is_inked = np.zeros((n_rows // 8 + 1, n_columns), dtype=np.bool_)
    is_inked[rows, columns] = True
    has_text = is_inked.sum(axis=1) >= 4
    if np.count_nonzero(has_text) < _LEAST_ROWS:
        return None
    crossed = is_inked[has_text].mean(axis=0)
    is_clear = crossed <= _MOST_CROSSED
    n_ink = np.cumsum(np.bincount(columns, minlength=n_columns)) / max(1, len(columns))
    inside = (n_ink > _LEAST_SHARE) & (n_ink < 1 - _LEAST_SHARE)
    best, best_width = None, _LEAST_CORRIDOR * strokes.letter_px / cell_px
    for start, end in _runs(is_clear & inside):
        if end - start >= best_width:
            best, best_width = 0.5 * (start + end) * cell_px, end - start
    return best


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end of each run of set flags."""
    steps = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in steps.reshape(-1, 2)]
