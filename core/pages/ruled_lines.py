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

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import theilslopes

_MAP_PX = 1754
"""Rules are looked for on the page at 150 dpi, or what is nearest to it."""
_REACH = 6
"""In pixels of the map: what is thicker than about 1 mm is no rule."""
_LEAST_RIDGE = 16
_MAX_SLOPE_DEG = 11.0
_WINDOW = 0.12
_LEAST_FILL = 0.42
_LEAST_LENGTH = 0.3
_PALE = 120
_LEAST_BLOCKS = 4
_LEAST_RULING = 5
_UNEVEN = 0.12
_STRAIGHT_PX = 0.7
_UNBROKEN = 0.4


@dataclass(frozen=True)
class Rule:
    """A rule on a page, in pixels of the page.

    Attributes:
        start: its first column.
        rows: (length,) the row of its middle in each column from `start` on.
        thickness_px: with the grey slopes of its edges.
        darkness: 0..255, of its middle.
        weight_px: how thick it were if it were black.
    """

    start: int
    rows: NDArray[np.float64]
    thickness_px: float
    darkness: float
    weight_px: float

    @property
    def end(self) -> int:
        """The column behind its last one."""
        return self.start + len(self.rows)

    @property
    def columns(self) -> NDArray[np.float64]:
        """Its columns."""
        return np.arange(self.start, self.end, dtype=np.float64)

    @property
    def middle_row(self) -> float:
        """The row of its middle, halfway along."""
        return float(np.median(self.rows))

    def row_at(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its row in any columns; beyond its ends it goes on straight."""
        slope, offset = np.polyfit(self.columns, self.rows, 1)
        known = np.interp(columns, self.columns, self.rows)
        outside = (columns < self.start) | (columns >= self.start + len(self.rows))
        return np.where(outside, slope * columns + offset, known)


@dataclass(frozen=True)
class Rules:
    """The rules of a page, those of each direction in order.

    Attributes:
        horizontal: from top to bottom.
        vertical: from left to right, on the transposed page.
    """

    horizontal: tuple[Rule, ...]
    vertical: tuple[Rule, ...]


def find_rules(page: NDArray[np.uint8]) -> Rules:
    """Find the rules of a page, slanted by up to 11 degrees.

    Args:
        page: (height, width), tone normalised: 255 is paper.
    """
    factor = max(1, round(max(page.shape) / _MAP_PX))
    height, width = page.shape[0] // factor, page.shape[1] // factor
    if min(height, width) < 8 * _REACH:
        return Rules((), ())
    small = cv2.resize(page[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)
    dark = np.asarray(255 - small, dtype=np.uint8)
    return Rules(_find(page, dark, factor), _find(page.T, np.ascontiguousarray(dark.T), factor))


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
    for rule in rules.vertical:
        _erase(page.T, rule)


def _find(page: NDArray[np.uint8], dark: NDArray[np.uint8], factor: int) -> tuple[Rule, ...]:
    """The horizontal rules of a page, `dark` being its darkness on the map."""
    ridges = _ridges(dark)
    slope = _common_slope(ridges)
    traces = _trace(_shear(ridges, slope))
    on_page = ((start * factor, _on_page(rows + slope * _columns(start, rows), factor)) for start, rows in traces)
    rules = _in_order(_refine(page, start, rows, factor) for start, rows in on_page)
    if len(rules) < _LEAST_RULING:
        return tuple(rules)
    longer = [_lengthened(page, rule, rules, factor) for rule in rules]
    return tuple(_in_order([*longer, *_between(page, rules, factor)]))


def _in_order(rules: Iterable[Rule | None]) -> list[Rule]:
    """From top to bottom, none twice."""
    kept: list[Rule] = []
    for rule in sorted((rule for rule in rules if rule is not None), key=lambda rule: rule.middle_row):
        last = kept[-1] if kept else None
        if last is None or np.abs(last.row_at(rule.columns) - rule.rows).max() > 3:
            kept.append(rule)
        elif len(rule.rows) > len(last.rows):
            kept[-1] = rule
    return kept


def _lengthened(page: NDArray[np.uint8], rule: Rule, rules: list[Rule], factor: int) -> Rule:
    """A rule of ruled paper that is seen in part, as long as the others."""
    start, end = int(np.median([other.start for other in rules])), int(np.median([other.end for other in rules]))
    if rule.start - start <= 64 * factor and end - rule.end <= 64 * factor:
        return rule
    start, end = min(start, rule.start), max(end, rule.end)
    longer = _refine(page, start, rule.row_at(np.arange(start, end, dtype=np.float64)), factor)
    return rule if longer is None else longer


def _between(page: NDArray[np.uint8], rules: list[Rule], factor: int) -> list[Rule | None]:
    """Rules that dense writing hides, where the others are evenly spaced."""
    pitch = float(np.median([lower.middle_row - upper.middle_row for upper, lower in itertools.pairwise(rules)]))
    hidden: list[Rule | None] = []
    for upper, lower in itertools.pairwise(rules):
        n_steps = round((lower.middle_row - upper.middle_row) / pitch)
        if n_steps < 2 or abs((lower.middle_row - upper.middle_row) / n_steps - pitch) > _UNEVEN * pitch:
            continue
        start = min(upper.start, lower.start)
        columns = np.arange(start, max(upper.end, lower.end), dtype=np.float64)
        for step in range(1, n_steps):
            share = step / n_steps
            rows = (1 - share) * upper.row_at(columns) + share * lower.row_at(columns)
            hidden.append(_refine(page, start, rows, factor))
    return hidden


def _columns(start: int, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.arange(start, start + len(rows), dtype=np.float64)


def _on_page(rows: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Rows of the map as rows of the page, for each column of the page."""
    columns = (np.arange(len(rows) * factor) + 0.5) / factor - 0.5
    return np.interp(columns, np.arange(len(rows)), rows) * factor + 0.5 * (factor - 1)


def _ridges(dark: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Where the page is darker than `_REACH` rows above and below, and so along 7 columns; 0 or
    1.
    """
    above, below = np.zeros_like(dark), np.zeros_like(dark)
    above[_REACH:], below[:-_REACH] = dark[:-_REACH], dark[_REACH:]
    ridge = cv2.subtract(dark, cv2.max(above, below)) >= _LEAST_RIDGE
    return np.asarray(cv2.morphologyEx(ridge.astype(np.uint8), cv2.MORPH_OPEN, np.ones((1, 7), np.uint8)))


def _common_slope(ridges: NDArray[np.uint8]) -> float:
    """The slope along which ridges gather most (Postl, "Detection of linear oblique structures",
    ICPR 1986).
    """
    rows, columns = np.nonzero(ridges)
    best, best_score = 0.0, -1.0
    offset = ridges.shape[1] // 4
    for angle_deg in np.arange(-_MAX_SLOPE_DEG, _MAX_SLOPE_DEG + 0.01, 0.5):
        slope = float(np.tan(np.deg2rad(angle_deg)))
        counts = np.bincount((rows - slope * columns + offset).astype(np.int32))
        score = float((counts.astype(np.float64) ** 2).sum())
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
    fill = cv2.blur(thick.astype(np.float32), (window, 1), borderType=cv2.BORDER_CONSTANT)
    weak = (fill >= _LEAST_FILL).astype(np.uint8)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(weak, connectivity=8)
    traces = []
    for number in np.flatnonzero(stats[1:, cv2.CC_STAT_WIDTH] >= _LEAST_LENGTH * width) + 1:
        left, top, n_columns, n_rows = (int(value) for value in stats[number, :4])
        inside = pieces[top : top + n_rows, left : left + n_columns] == number
        on_rule = (ridges[top : top + n_rows, left : left + n_columns] > 0) & inside
        count = on_rule.sum(axis=0)
        seen = np.flatnonzero(count)
        if len(seen) < 0.4 * _LEAST_LENGTH * width:
            continue
        rows = (on_rule * np.arange(n_rows)[:, None]).sum(axis=0)[seen] / count[seen]
        smooth = np.interp(np.arange(n_columns), seen, rows)
        smooth = cv2.blur(smooth[None, :], (window // 2 | 1, 1), borderType=cv2.BORDER_REPLICATE)[0]
        traces.append((left, np.asarray(smooth + top, dtype=np.float64)))
    return traces


def _refine(page: NDArray[np.uint8], start: int, rows: NDArray[np.float64], factor: int) -> Rule | None:
    """Find what is traced to the pixel, its thickness and darkness; nothing if it is no rule.

    A rule is dark in most columns also where writing hides it; writing alone is not: its lower
    tenth is paper.
    """
    length = len(rows)
    columns = np.arange(length, dtype=np.float64)
    reach = _REACH * factor
    block = 48 * factor
    middles = (np.arange(length // block) + 0.5) * block
    if len(middles) < _LEAST_BLOCKS:
        return None
    profiles = _profiles(_band(page, start, rows, reach), block)
    peaks = profiles.max(axis=0)
    darkness = float(np.median(peaks))
    is_seen = peaks >= max(_LEAST_RIDGE, 0.6 * darkness)
    if darkness < _LEAST_RIDGE or is_seen.mean() < 0.5:
        return None
    seen = middles[is_seen]
    traced = _smooth_curve(seen, np.interp(seen, columns, rows) + _centres(profiles)[is_seen] - reach, columns)
    band = _band(page, start, traced, reach)
    blocks = _profiles(band, block)[:, is_seen]
    is_unbroken = _profiles(band[reach : reach + 1], block, share=10)[0, is_seen] >= _UNBROKEN * blocks[reach]
    profile = np.median(blocks, axis=1)
    below = np.flatnonzero(profile < 0.25 * profile[reach])
    first, last = int(below[below < reach].max(initial=0)) + 1, int(below[below > reach].min(initial=2 * reach)) - 1
    thickness = float(last - first + 1)
    if profile[reach] < _LEAST_RIDGE or thickness > reach or is_unbroken.mean() < 0.5:
        return None
    return Rule(start, traced, thickness, float(profile[reach]), float(profile[first : last + 1].sum()) / 255.0)


def _profiles(band: NDArray[np.uint8], block: int, share: int = 4) -> NDArray[np.float64]:
    """What all but a quarter (or another share) of each row in each block of columns is darker
    than, (rows, blocks).
    """
    n_blocks = band.shape[1] // block
    blocks = band[:, : n_blocks * block].reshape(band.shape[0], n_blocks, block)
    return np.partition(blocks, block // share, axis=2)[:, :, block // share].astype(np.float64)


def _centres(profiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """The row of the rule's middle in each block: the centre of mass around the darkest row."""
    rows = np.arange(len(profiles), dtype=np.float64)[:, None]
    near = np.where(np.abs(rows - profiles.argmax(axis=0)) <= _REACH, profiles, 0.0)
    return np.asarray((rows * near).sum(axis=0) / np.maximum(near.sum(axis=0), 1.0))


def _smooth_curve(
    at: NDArray[np.float64], values: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A straight line through the values, or a cubic where paper is bent; what lies off it is left
    out.
    """
    straight, off = _fit(at, values, 1)
    if off > _STRAIGHT_PX and len(at) > 8:
        straight, _ = _fit(at, values, 3)
    return np.asarray(straight(columns))


def _fit(at: NDArray[np.float64], values: NDArray[np.float64], degree: int) -> tuple[np.polynomial.Polynomial, float]:
    """A polynomial, and how far the middle one of the values lies off it."""
    slope, offset, *_ = theilslopes(values, at)
    kept = np.abs(values - slope * at - offset) <= 2 * _REACH
    for _ in range(4):
        curve = np.polynomial.Polynomial.fit(at[kept], values[kept], degree)
        off = np.abs(curve(at) - values)
        kept = off <= max(1.0, 2.5 * float(np.median(off[kept])))
    return curve, float(np.median(off))


def _band(page: NDArray[np.uint8], start: int, rows: NDArray[np.float64], reach: int) -> NDArray[np.uint8]:
    """Darkness along a rule, (2 * reach + 1, length); beyond the page there is paper."""
    places = np.rint(rows).astype(np.int64) + np.arange(-reach, reach + 1)[:, None]
    band = 255 - page[places.clip(0, page.shape[0] - 1), np.arange(start, start + len(rows))]
    band[(places < 0) | (places >= page.shape[0])] = 0
    return np.asarray(band, dtype=np.uint8)


def _erase(page: NDArray[np.uint8], rule: Rule) -> None:
    half = int(np.ceil(0.5 * rule.thickness_px + 0.5))
    reach = half + 1
    band = _band(page, rule.start, rule.rows, reach)
    if rule.darkness < _PALE:
        level = rule.darkness + 12.0
        inner = (band[1:-1].astype(np.float32) - level) * np.float32(255.0 / (255.0 - level))
        fresh = inner.clip(0, 255).astype(np.uint8)
    else:
        fresh = np.minimum(band[1:-1], _joined(band))
    places = np.rint(rule.rows).astype(np.int64) + np.arange(-half, half + 1)[:, None]
    columns = np.broadcast_to(np.arange(rule.start, rule.start + len(rule.rows)), places.shape)
    inside = (places >= 0) & (places < page.shape[0])
    page[places[inside], columns[inside]] = 255 - fresh[inside]


def _joined(band: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The strokes inside of a rule as its two sides suggest them, (rows without the outermost two,
    length).
    """
    upper, lower = band[0], band[-1]
    n_rows = band.shape[0] - 2
    joined = np.zeros((n_rows, band.shape[1]), np.uint8)
    for lean in np.linspace(-1.5, 1.5, 7) * (n_rows + 1):
        for row in range(n_rows):
            share = (row + 1) / (n_rows + 1)
            from_above, from_below = _moved(upper, round(lean * share)), _moved(lower, round(-lean * (1 - share)))
            np.maximum(joined[row], np.minimum(from_above, from_below), out=joined[row])
    middle = n_rows // 2
    np.maximum(joined[:middle], upper, out=joined[:middle])
    np.maximum(joined[-middle:], lower, out=joined[-middle:])
    return joined


def _moved(values: NDArray[np.uint8], n: int) -> NDArray[np.uint8]:
    """The values n places to the right; paper comes in."""
    moved = np.zeros_like(values)
    if n == 0:
        return values
    if n > 0:
        moved[n:] = values[:-n]
    else:
        moved[:n] = values[-n:]
    return moved
