"""The handwriting of a form: what stands between its printed header and its footer.

    title                  IAM: "Sentence Database A01-000"
    ----------------
    prompt in print
    ----------------
    handwriting
    ----------------       not on CVL's pages
    Name:

The long rules tell (Marti, Bunke, "The IAM-database", IJDAR 2002, has a picture of the form). Where
one of them is not
found, printed lines are told by their letters: all stand on one straight baseline, and come in two
    or three heights.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import theilslopes

from core.errors import ImageError
from core.pages.line_finding import FoundLine, find_lines
from core.pages.rule_fitting import Rule
from core.pages.scan import INK_LEVEL, estimate_skew, level

_LEAST_LENGTH = 0.5
_MOST_SEPARATORS = 5
_HEAVIER = 1.6
"""Rules of a form are so many times thicker or darker than the ruling of its paper."""
_HEADER_ENDS, _FOOTER_STARTS = 0.5, 0.55
_LEAST_LETTERS = 12
_ON_BASELINE, _OF_TWO_SIZES = 0.8, 0.72
"""Shares of a printed line's letters; in 170 lines by six generated hands the latter is 0.69 at
most."""


@dataclass(frozen=True)
class WritingArea:
    """Where a form was written on: the first and last row in each column, (width,); `bottoms` are
    not inside.
    """

    tops: NDArray[np.int64]
    bottoms: NDArray[np.int64]

    def intruders(self, page: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Ink inside of the area that belongs to what stands outside of it: print, a signature.

        Such is a piece of ink that crosses the border and lies outside by more than half.

        Args:
            page: (height, width), tone normalised, the rules erased.
        """
        ink = (page < INK_LEVEL).view(np.uint8)
        _, pieces, found, _ = cv2.connectedComponentsWithStatsWithAlgorithm(ink, 8, cv2.CV_32S, cv2.CCL_BBDT)
        stats = np.asarray(found, dtype=np.int32)
        intruders = np.zeros(page.shape, dtype=np.bool_)
        for number in self._on_border(stats):
            left, top, width, height, area = (int(value) for value in stats[number])
            around = slice(max(0, top - 2), top + height + 2), slice(max(0, left - 2), left + width + 2)
            rows = np.arange(page.shape[0])[around[0], None]
            is_inside = (rows >= self.tops[around[1]]) & (rows < self.bottoms[around[1]])
            own = pieces[around] == number
            if 0 < np.count_nonzero(own & is_inside) < 0.5 * area:
                halo = cv2.dilate(own.view(np.uint8), np.ones((5, 5), np.uint8)) > 0
                intruders[around] |= is_inside & halo
        return intruders

    def _on_border(self, stats: NDArray[np.int32]) -> NDArray[np.intp]:
        """The numbers of the pieces that may cross the border."""
        tops = stats[:, cv2.CC_STAT_TOP]
        bottoms = tops + stats[:, cv2.CC_STAT_HEIGHT]
        at_top = (tops < self.tops.max()) & (bottoms > self.tops.min())
        at_bottom = (tops < self.bottoms.max()) & (bottoms > self.bottoms.min())
        crossing = np.flatnonzero(at_top | at_bottom)
        return crossing[crossing > 0]  # 0 is the paper

    def cut_from(self, page: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
        """The area with paper around it, and its first row on the page."""
        first, last = int(self.tops.min()), int(self.bottoms.max())
        cut = page[first:last].copy()
        for start, end in ((0, int(self.tops.max()) - first), (int(self.bottoms.min()) - first, last - first)):
            rows = np.arange(first + start, first + end)[:, None]
            cut[start:end][(rows < self.tops) | (rows >= self.bottoms)] = 255
        return cut, first


def find_writing_area(page: NDArray[np.uint8], rules: tuple[Rule, ...]) -> WritingArea:
    """Find where a form was written on.

    Args:
        page: (height, width), tone normalised, the rules erased.
        rules: the horizontal ones that were on it.

    Raises:
        ImageError: if neither rules nor print tell where the header ends, or nothing is below it.
    """
    height, width = page.shape
    columns = np.arange(width, dtype=np.float64)
    separators = _separators(rules, width)
    header = [rule for rule in separators if rule.middle_row < _HEADER_ENDS * height]
    footer = [rule for rule in separators if rule.middle_row > _FOOTER_STARTS * height]
    tops, bottoms = np.zeros(width), np.full(width, float(height))
    if len(header) == 2:
        tops = _below(header[-1], columns)
    if footer:
        bottoms = _above(footer[0], columns)
    if len(header) != 2 or not footer:
        print_end, name_start = _printed_parts(page, tops, bottoms)
        if len(header) != 2:
            tops = _end_of_header(header, print_end, columns)
        if not footer:
            bottoms = np.minimum(bottoms, name_start)
    area = WritingArea(
        np.rint(tops).astype(np.int64).clip(0, height), np.rint(bottoms).astype(np.int64).clip(0, height)
    )
    if area.tops.max() + 0.05 * height > area.bottoms.min():
        raise ImageError(
            "A form must have room for handwriting between its header and footer, but the rules found leave none. "
            "Set the unit to page if it is no form."
        )
    return area


def is_printed(line: NDArray[np.bool_]) -> bool | None:
    """Whether a line is print; nothing if it has too few letters to tell.

    Args:
        line: (height, width), where its ink is; level within a degree.
    """
    _, _, found, _ = cv2.connectedComponentsWithStats(line.astype(np.uint8), connectivity=8)
    stats = np.asarray(found[1:], dtype=np.float64)
    heights = stats[:, cv2.CC_STAT_HEIGHT]
    if len(heights) == 0:
        return None
    letters = stats[(heights >= 0.45 * np.percentile(heights, 90)) & (heights >= 8)]
    if len(letters) < _LEAST_LETTERS:
        return None
    bottoms = letters[:, cv2.CC_STAT_TOP] + letters[:, cv2.CC_STAT_HEIGHT]
    middles = letters[:, cv2.CC_STAT_LEFT] + 0.5 * letters[:, cv2.CC_STAT_WIDTH]
    tolerance = 0.75 + 0.02 * float(np.median(letters[:, cv2.CC_STAT_HEIGHT]))
    slope, _, *_ = theilslopes(bottoms, middles)
    straight = bottoms - slope * middles
    heights = letters[:, cv2.CC_STAT_HEIGHT]
    return _most_within(straight, tolerance) >= _ON_BASELINE and _two_sizes(heights, tolerance) >= _OF_TWO_SIZES


def _most_within(values: NDArray[np.float64], tolerance: float) -> float:
    """The largest share of the values that lie that close to one value."""
    near = np.abs(values[:, None] - values) <= tolerance
    return float(near.mean(axis=1).max())


def _two_sizes(heights: NDArray[np.float64], tolerance: float) -> float:
    """The share of heights that are near the most common one or the most common of the rest."""
    near = np.abs(heights[:, None] - heights) <= tolerance
    first = near[near.sum(axis=1).argmax()]
    rest = heights[~first]
    if len(rest) == 0:
        return 1.0
    return float(first.mean() + _most_within(rest, tolerance) * len(rest) / len(heights))


def _separators(rules: tuple[Rule, ...], width: int) -> list[Rule]:
    """The long rules; on ruled paper those that are stronger than the ruling."""
    long = [rule for rule in rules if len(rule.rows) >= _LEAST_LENGTH * width]
    if len(long) <= _MOST_SEPARATORS:
        return long
    weights_px = np.array([rule.weight_px for rule in long])
    least_px = max(_HEAVIER * float(np.median(weights_px)), 0.5 * float(weights_px.max()))
    return [rule for rule in long if rule.weight_px >= least_px]


def _below(rule: Rule, columns: NDArray[np.float64]) -> NDArray[np.float64]:
    return rule.row_at(columns) + 0.5 * rule.thickness_px + 1


def _above(rule: Rule, columns: NDArray[np.float64]) -> NDArray[np.float64]:
    return rule.row_at(columns) - 0.5 * rule.thickness_px - 1


def _end_of_header(
    header: list[Rule], print_end: NDArray[np.float64] | None, columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Below the last printed line, and below the rule that follows it."""
    if print_end is None:
        raise ImageError(
            "A form must have a printed header that ends at its second long rule, but "
            f"{len(header)} of such rules are in its upper half and no line there is print. "
            "Set the unit to page if its print was cut off before; else scan it whole and upright."
        )
    middle = len(columns) // 2
    following = [rule for rule in header if rule.row_at(columns)[middle] >= print_end[middle] - 0.5 * rule.thickness_px]
    return _below(following[0], columns) if following else print_end


def _printed_parts(
    page: NDArray[np.uint8], tops: NDArray[np.float64], bottoms: NDArray[np.float64]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Where the print at the top ends and the name at the bottom starts, in each column; told by
    the lines themselves.

    Without print at the top the former is nothing; without a name the latter is below the page.
    """
    height, width = page.shape
    angle_deg = estimate_skew(page)
    turned, to_page = level(page, angle_deg)
    lines = find_lines(turned)
    printed = [is_printed(line.cut_from(turned) < INK_LEVEL) for line in lines]

    def row_on_page(row: float) -> NDArray[np.float64]:
        ends = np.array([[0.0, row], [turned.shape[1] - 1.0, row]]) @ to_page[:, :2].T + to_page[:, 2]
        slope = (ends[1, 1] - ends[0, 1]) / (ends[1, 0] - ends[0, 0])
        return np.asarray(ends[0, 1] + slope * (np.arange(width) - ends[0, 0]), dtype=np.float64)

    in_header = [
        line
        for line, is_print in zip(lines, printed, strict=True)
        if is_print and line.region.top < _HEADER_ENDS * turned.shape[0]
    ]
    print_end = row_on_page(in_header[-1].region.top + in_header[-1].region.height + 1) if in_header else None
    return print_end, row_on_page(_start_of_name(lines, turned.shape) or 2.0 * height)


def _start_of_name(lines: list[FoundLine], shape: tuple[int, ...]) -> int | None:
    """The top row of a short last line that stands apart from the others, at the foot of the
    page.
    """
    if len(lines) < 3:
        return None
    tops = [line.region.top for line in lines]
    pitch = float(np.median(np.diff(tops)))
    last = lines[-1].region
    before = lines[-2].region
    is_apart = last.top - before.top > 1.5 * pitch and last.top > before.top + before.height
    is_short = last.width < 0.3 * shape[1]
    return last.top - 2 if is_apart and is_short and last.top > _FOOTER_STARTS * shape[0] else None
