"""What can be expected of so many pages, or single images, of each writer: scores that were
measured, so that a user knows before a sweep what the corpus is good for.

`python -m benchmarks.pages_worth` measured them; docs/results.md has the tables ("What pages are
worth") and says how.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Unit = Literal["page", "image"]
Measured = Sequence[tuple[int, float]]
"""Pages (or images) of each writer to train on, rising, and the share of single lines (or images)
that were named rightly."""
LINES_BY_PAGES: Measured = ((1, 0.492), (2, 0.675), (4, 0.795), (8, 0.863))
"""50 generated writers that are hard to tell apart, pages of eight lines."""
IMAGES_BY_IMAGES: Measured = ((4, 0.698), (8, 0.786), (16, 0.821), (32, 0.811))
"""37 writers of DHSD, whose images are single words."""


@dataclass(frozen=True)
class Expectation:
    """What so much of each writer may give.

    Attributes:
        n: pages or images of each writer.
        unit: what is counted.
        top1: share of single lines (of pages) or images that is named rightly, 0 to 1.
        with_twice: the same with twice as many; `None` beyond what was measured.
    """

    n: float
    unit: Unit
    top1: float
    with_twice: float | None

    def in_words(self) -> str:
        """A line for the terminal."""
        what, whom, more = (
            ("lines", "50 generated writers", "longer fits and whole pages give more")
            if self.unit == "page"
            else ("images", "37 real writers' words", "longer fits give more")
        )
        units = f"{self.n:g} {self.unit}{'' if self.n == 1 else 's'}"
        twice = ""
        if self.with_twice is not None:
            gain = f"about {self.with_twice:.0%}" if self.with_twice > self.top1 else "no more"
            twice = f", with twice as many {gain}"
        return (
            f"what to expect: with {units} of each writer to train on, about {self.top1:.0%} of single {what}{twice}, "
            f"as a short fit named of {whom}; {more}"
        )


def expect(n: float, unit: Unit) -> Expectation:
    """What `n` pages (or images) of each writer may give, between the measured numbers by the
    logarithm of `n`, and outside of them as at the nearest one.

    Args:
        n: of each writer to train on, more than 0.
        unit: `page` for corpora of pages, `image` for those of single words or lines.
    """
    measured = LINES_BY_PAGES if unit == "page" else IMAGES_BY_IMAGES
    most = measured[-1][0]
    return Expectation(n, unit, _between(measured, n), _between(measured, 2 * n) if 2 * n <= most else None)


def _between(measured: Measured, n: float) -> float:
    n = min(max(n, measured[0][0]), measured[-1][0])
    for (low, first), (high, second) in pairwise(measured):
        if n <= high:
            return first + (second - first) * math.log(n / low) / math.log(high / low)
    return measured[-1][1]
