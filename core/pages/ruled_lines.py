"""Ruled lines, squares and frames: found as long thin ridges, and erased without cutting the
strokes that cross them.

A rule is darker than the paper on both of its sides, thin, and goes on. Ridges (darker than what
lies a bit above and below) are gathered along the page's slope, and where they fill a good part of
a long window there is a rule: a run length method such as those that Abd-Almageed, Kumar and
Doermann, "Page rule-line removal using linear subspaces in monochromatic handwritten Arabic
documents" (ICDAR 2009) compare with. After erasing, strokes are joined again through the gap, as
Cao, Prasad and Natarajan, "A stroke regeneration method for cleaning rule-lines in handwritten
document images" (MOCR 2009) do; here by interpolation between the ink on both sides, along seven
directions.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.pages.rule_fitting import LEAST_RIDGE, REACH_PX, Rule, darkness_along, fit_rule
from core.pages.rulings import complete_ruling

_MAP_PX = 1754
"""Rules are looked for on the page at 150 dpi, or what is nearest to it."""
_MAX_SLOPE_DEG = 11.0
_WINDOW = 0.12
_LEAST_FILL = 0.42
_LEAST_LENGTH = 0.3
"""Of the side that a rule runs along."""
_LEAST_OF_LONGER, _LEAST_OF_LOW = 0.16, 0.9
"""Of the longer side; or, where the other is low, of that."""
_PALE = 120
_MANY = 5
_SLOPE_CELL_PX = 8
_EVERY = 4
"""Where rules fill a window is looked at in every fourth column: windows are far wider."""


@dataclass(frozen=True)
class Rules:
    """The rules of a page, those of each direction in order.

    Attributes:
        horizontal: from top to bottom.
        vertical: from left to right, on the transposed page.
    """

    horizontal: tuple[Rule, ...]
    vertical: tuple[Rule, ...]


def erase_all_rules(page: NDArray[np.uint8]) -> Rules:
    """Find the rules of a page and erase them, in place: of ruled paper twice, for of two rules
    that lie side by side one hides the other.

    Args:
        page: (height, width), tone normalised; what it becomes.
    """
    rules = find_rules(page)
    erase_rules(page, rules)
    if max(len(rules.horizontal), len(rules.vertical)) < _MANY:
        return rules
    more = find_rules(page, len(rules.horizontal) >= _MANY, len(rules.vertical) >= _MANY)
    erase_rules(page, more)
    return Rules((*rules.horizontal, *more.horizontal), (*rules.vertical, *more.vertical))


def find_rules(page: NDArray[np.uint8], is_horizontal: bool = True, is_vertical: bool = True) -> Rules:
    """Find the rules of a page, slanted by up to 11 degrees.

    Args:
        page: (height, width), tone normalised: 255 is paper.
        is_horizontal: whether to look for horizontal ones.
        is_vertical: whether to look for vertical ones.
    """
    factor = max(1, round(max(page.shape) / _MAP_PX))
    height, width = page.shape[0] // factor, page.shape[1] // factor
    if min(height, width) < 8 * REACH_PX:
        return Rules((), ())
    small = cv2.resize(page[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)
    dark = np.asarray(255 - small, dtype=np.uint8)
    return Rules(
        _find(page, dark, factor) if is_horizontal else (),
        _find(_transposed(page), _transposed(dark), factor) if is_vertical else (),
    )


def erase_rules(page: NDArray[np.uint8], rules: Rules) -> None:
    """Paint the rules over with paper, in place; strokes go on through them.

    A pale rule is subtracted. Under a dark one ink cannot be seen: a stroke on both of its sides is
    joined, one that touches it goes on to its middle.

    Args:
        page: (height, width), tone normalised; what it becomes.
        rules: of this page.
    """
    for rule in rules.horizontal:
        _erase(page, rule)
    if rules.vertical:
        transposed = _transposed(page)
        for rule in rules.vertical:
            _erase(transposed, rule)
        page[:] = _transposed(transposed)


def _transposed(page: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.transpose(page), dtype=np.uint8)


def _find(page: NDArray[np.uint8], dark: NDArray[np.uint8], factor: int) -> tuple[Rule, ...]:
    """The horizontal rules of a page, `dark` being its darkness on the map."""
    ridges = _ridges(dark)
    slope = _common_slope(ridges)
    found = []
    for start, rows in _trace(_shear(ridges, slope)):
        within = start * factor, (start + len(rows)) * factor
        guess = _on_page(start, rows + slope * (start + np.arange(len(rows))), factor, page.shape[1])
        found.append(fit_rule(page, guess, within, factor))
    # A low image has strokes as long as a part of its height.
    least_px = min(_LEAST_OF_LONGER * max(page.shape), _LEAST_OF_LOW * page.shape[1])
    return complete_ruling(page, [rule for rule in found if rule and len(rule.rows) >= least_px], factor)


def _on_page(start: int, rows: NDArray[np.float64], factor: int, width: int) -> NDArray[np.float64]:
    """Rows of the map from some column on as rows of the page, for each of its columns; beyond the
    ends they go on straight.
    """
    places = (np.arange(start, start + len(rows)) + 0.5) * factor - 0.5
    on_page = rows * factor + 0.5 * (factor - 1)
    columns = np.arange(width, dtype=np.float64)
    slope, offset = np.polyfit(places, on_page, 1)
    known = np.interp(columns, places, on_page)
    return np.where((columns < places[0]) | (columns > places[-1]), slope * columns + offset, known)


def _ridges(dark: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Where the page is darker than `REACH_PX` rows above and below, and so along 7 columns; 0 or
    1.
    """
    above, below = np.zeros_like(dark), np.zeros_like(dark)
    above[REACH_PX:], below[:-REACH_PX] = dark[:-REACH_PX], dark[REACH_PX:]
    ridge = cv2.subtract(dark, cv2.max(above, below)) >= LEAST_RIDGE
    return np.asarray(cv2.morphologyEx(ridge.view(np.uint8), cv2.MORPH_OPEN, np.ones((1, 7), np.uint8)))


def _common_slope(ridges: NDArray[np.uint8]) -> float:
    """The slope along which ridges gather most (Postl, "Detection of linear oblique structures",
    ICPR 1986).
    """
    width = ridges.shape[1] // _SLOPE_CELL_PX * _SLOPE_CELL_PX
    cells = ridges[:, :width].reshape(len(ridges), -1, _SLOPE_CELL_PX).sum(axis=2, dtype=np.uint8)
    rows, columns = np.nonzero(cells)
    weights, middles = cells[rows, columns].astype(np.float64), (columns + 0.5) * _SLOPE_CELL_PX
    best, best_score = 0.0, -1.0
    for angle_deg in np.arange(-_MAX_SLOPE_DEG, _MAX_SLOPE_DEG + 0.01, 0.5):
        slope = float(np.tan(np.deg2rad(angle_deg)))
        counts = np.bincount((rows - slope * middles + 0.25 * width).astype(np.int32), weights)
        score = float((counts**2).sum())
        if score > best_score:
            best, best_score = slope, score
    return best


def _shear(ridges: NDArray[np.uint8], slope: float) -> NDArray[np.uint8]:
    """Move columns up and down so that lines of this slope are level."""
    height, width = ridges.shape
    shear = np.array([[1.0, 0.0, 0.0], [slope, 1.0, 0.0]])
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(ridges, shear, (width, height), flags=flags))


def _trace(ridges: NDArray[np.uint8]) -> list[tuple[int, NDArray[np.float64]]]:
    """First column and rows (length,) of each rule on the sheared map."""
    width = ridges.shape[1]
    thick = cv2.dilate(ridges, np.ones((5, 1), np.uint8))
    window = max(9, round(_WINDOW * width)) | 1
    n_filled = cv2.boxFilter(thick, cv2.CV_16U, (window, 1), normalize=False, borderType=cv2.BORDER_CONSTANT)
    weak = (n_filled[:, ::_EVERY] >= _LEAST_FILL * window).view(np.uint8)
    _, pieces, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(weak, 8, cv2.CV_32S, cv2.CCL_BBDT)
    traces = []
    for number in np.flatnonzero(stats[1:, cv2.CC_STAT_WIDTH] * _EVERY >= _LEAST_LENGTH * width) + 1:
        first, top, n_places, n_rows = (int(value) for value in stats[number, :4])
        inside = pieces[top : top + n_rows, first : first + n_places] == number
        left = first * _EVERY
        on_rule = ridges[top : top + n_rows, left : left + n_places * _EVERY] > 0
        n_columns = on_rule.shape[1]
        on_rule &= np.repeat(inside, _EVERY, axis=1)[:, :n_columns]
        count = on_rule.sum(axis=0)
        seen = np.flatnonzero(count)
        if len(seen) < 0.4 * _LEAST_LENGTH * width:
            continue
        rows = (on_rule * np.arange(n_rows)[:, None]).sum(axis=0)[seen] / count[seen]
        smooth = np.interp(np.arange(n_columns), seen, rows)
        smooth = cv2.blur(smooth[None, :], (window // 2 | 1, 1), borderType=cv2.BORDER_REPLICATE)[0]
        traces.append((left, np.asarray(smooth + top, dtype=np.float64)))
    return traces


def _erase(page: NDArray[np.uint8], rule: Rule) -> None:
    half = int(np.ceil(0.5 * rule.thickness_px + 0.5))
    band = darkness_along(page, np.arange(rule.start, rule.end), rule.rows, half + 1)
    if rule.darkness < _PALE:
        level = rule.darkness + 12.0
        inner = (band[1:-1].astype(np.float32) - level) * np.float32(255.0 / (255.0 - level))
        fresh = inner.clip(0, 255).astype(np.uint8)
    else:
        fresh = np.minimum(band[1:-1], _joined(band))
    places = np.rint(rule.rows).astype(np.int64) + np.arange(-half, half + 1)[:, None]
    columns = np.broadcast_to(np.arange(rule.start, rule.end), places.shape)
    inside = (places >= 0) & (places < page.shape[0])
    page[places[inside], columns[inside]] = 255 - fresh[inside]


def _joined(band: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The strokes inside of a rule as its two sides suggest them, (rows without the outermost two,
    length).
    """
    n_rows, length = band.shape[0] - 2, band.shape[1]
    margin = 2 * (n_rows + 1)
    upper, lower = (np.pad(band[row], margin) for row in (0, -1))
    joined = np.zeros((n_rows, length), np.uint8)
    both = np.empty(length, np.uint8)
    for lean in np.linspace(-1.5, 1.5, 7) * (n_rows + 1):
        for row in range(n_rows):
            share = (row + 1) / (n_rows + 1)
            above, below = margin - round(lean * share), margin + round(lean * (1 - share))
            np.minimum(upper[above : above + length], lower[below : below + length], out=both)
            np.maximum(joined[row], both, out=joined[row])
    middle = n_rows // 2
    np.maximum(joined[:middle], band[0], out=joined[:middle])
    np.maximum(joined[-middle:], band[-1], out=joined[-middle:])
    return joined
