"""Lines or patches of the same pages in training and in validation: a division that leaks, on purpose and by name.

Published scores are often of such divisions: cut patches out of all images at random, then divide the patches. What
validation then sees are the same strokes, a few pixels aside. Here a patch division does the same: every line is
trained on, a random part of its offsets is held back, and validation patches are of these. They overlap with training
patches as in the published recipe.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from core.splits.settings import LeakyUnit


class Line(Protocol):
    """What of a stored line decides where it goes."""

    @property
    def image_id(self) -> str:
        """The text image that it comes from."""
        ...

    @property
    def line_number(self) -> int:
        """Its place on that image."""
        ...

    @property
    def writer_id(self) -> str:
        """Who wrote it."""
        ...


@dataclass(frozen=True)
class LeakyDeal:
    """How the lines or patches of the pages that are not sealed are dealt out.

    Attributes:
        by: what is dealt out.
        validation: the share of each writer's lines that validation has; by patch, also the share of each line's
            offsets that is held back from training.
        seed: which ones.
    """

    by: LeakyUnit
    validation: float
    seed: int

    def part(self, part: Literal["train", "validation"]) -> "LeakyPart":
        """One side of it."""
        return LeakyPart(self, part)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"by": self.by, "validation": self.validation, "seed": self.seed}


@dataclass(frozen=True)
class LeakyPart:
    """The lines and offsets that one part has."""

    deal: LeakyDeal
    part: Literal["train", "validation"]

    def choose(self, lines: Sequence[Line]) -> NDArray[np.bool_]:
        """Mark the lines that are in this part; all lines of both parts must be given, in any order.

        By line those of validation are in validation alone; by patch they are in both.
        """
        validates = np.zeros(len(lines), dtype=np.bool_)
        own: dict[str, list[int]] = {}
        for place, line in enumerate(lines):
            own.setdefault(line.writer_id, []).append(place)
        for places in own.values():
            ranked = sorted(places, key=lambda place: self._digest(lines[place]))
            n = max(1, round(self.deal.validation * len(places)))
            # One line alone can be divided by patch only; by line it is trained on.
            validates[ranked[: n if self.deal.by == "patch" else min(n, len(places) - 1)]] = True
        if self.part == "validation":
            return validates
        return np.ones(len(lines), dtype=np.bool_) if self.deal.by == "patch" else ~validates

    def offsets(self, line: Line, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Mark the offsets of a line that are in this part.

        Args:
            line: the line.
            shape: (n_tops, n_lefts).

        Returns:
            Of that shape. By patch each offset is in one part, at least one in each; a line with a single offset has
            it in both, which nothing can mend.
        """
        n = int(np.prod(shape))
        if self.deal.by == "line" or n == 1:
            return np.ones(shape, dtype=np.bool_)
        n_held = min(max(1, round(self.deal.validation * n)), n - 1)
        is_held = np.zeros(n, dtype=np.bool_)
        is_held[np.random.default_rng(list(self._digest(line))).permutation(n)[:n_held]] = True
        return (is_held if self.part == "validation" else ~is_held).reshape(shape)

    def _digest(self, line: Line) -> bytes:
        return hashlib.sha256(f"{self.deal.seed} {line.line_number} {line.image_id}".encode()).digest()
