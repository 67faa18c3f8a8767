"""Signs of how well an image was read, measured without knowing what is written on it.

No sign proves a fault: a flourish is ink outside of lines, a heading is higher than its text. But
lines that were merged, split or cut show in one of them, and so do drawings, stamps, print and
photographs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.corpora.index import Unit
from core.pages.line_finding import FoundLine
from core.pages.scan import INK_LEVEL
from core.pages.text_lines import ReadPage, TextLine

TakenFor = Literal["line", "paragraph", "page"]
MOST_OUTSIDE = 0.15
"""Of the ink; more outside of lines is no dust."""
ODD = (0.55, 1.7)
"""A line's text is odd below or above so many times the middle one of its page: two lines in one
have 2.5 times its height or more."""
_LEAST_TO_COMPARE = 3
_MOST_ODD = 0.1


@dataclass(frozen=True, slots=True)
class Reading:
    """How an image was read.

    Attributes:
        taken_for: one text line; a paragraph, several lines that fill their image; or a page,
            several lines with paper around them, or an image that is said to be one.
        n_lines: that were found.
        n_slivers: of what was found and is no line, see `ReadPage`.
        n_odd: lines whose text is far lower or higher than that of the others.
        outside: the share of ink that is in no line as it is cut out, 0 to 1; dark edges, rules and
            the print of a form are taken off before.
    """

    taken_for: TakenFor
    n_lines: int
    n_slivers: int = 0
    n_odd: int = 0
    outside: float = 0.0

    @property
    def signs(self) -> tuple[str, ...]:
        """Why it seems to be read badly, in words; none if it does not."""
        found = []
        if self.outside > MOST_OUTSIDE:
            found.append(f"{self.outside:.0%} of the ink is in no line")
        if self.n_odd > _MOST_ODD * self.n_lines:
            lines = "1 line has text" if self.n_odd == 1 else f"{self.n_odd} lines have text"
            found.append(f"of {self.n_lines} lines {lines} far lower or higher than the others")
        return tuple(found)

    @property
    def badness(self) -> float:
        """To list the worst pages first: about 1 where a page begins to be read badly."""
        return max(self.outside / MOST_OUTSIDE, self.n_odd / (_MOST_ODD * max(1, self.n_lines)))


def measure_reading(page: ReadPage, lines: Sequence[TextLine], unit: Unit) -> Reading:
    """Look at how an image was read.

    Args:
        page: as it was read.
        lines: that were cut out of it.
        unit: what it was said to be.
    """
    n_ink = int(np.count_nonzero(page.clean.tone < INK_LEVEL))
    n_inside = sum(line.n_ink for line in lines)
    return Reading(
        taken_for=_taken_for(page, unit),
        n_lines=len(page.lines),
        n_slivers=page.n_slivers,
        n_odd=_count_odd(page.lines),
        outside=max(0.0, round(1.0 - n_inside / max(1, n_ink), 4)),
    )


def _count_odd(lines: tuple[FoundLine, ...]) -> int:
    if len(lines) < _LEAST_TO_COMPARE:
        return 0
    heights = np.array([line.text_px for line in lines])
    middle = np.median(heights)
    return int(np.count_nonzero((heights < ODD[0] * middle) | (heights > ODD[1] * middle)))


def _taken_for(page: ReadPage, unit: Unit) -> TakenFor:
    if unit in ("page", "form"):
        return "page"
    if unit == "line" or len(page.lines) == 1:
        return "line"
    regions = [line.region for line in page.lines]
    height, width = page.clean.tone.shape
    top, left = min(region.top for region in regions), min(region.left for region in regions)
    bottom, right = max(r.top + r.height for r in regions), max(r.left + r.width for r in regions)
    # A paragraph is cut out close: beside it, and above or below, is less paper than a line takes.
    pitch = (bottom - top) / len(regions)
    is_close = min(left, width - right) < pitch and min(top, height - bottom) < pitch
    return "paragraph" if is_close else "page"
