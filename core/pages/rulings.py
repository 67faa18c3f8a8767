"""Ruled and squared paper: its rules are evenly spaced, so those that dense writing hides are known
from the others.
"""

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from core.pages.rule_fitting import Rule, fit_rule

_LEAST_RULES = 5
_ALIKE, _UNEVEN = 0.04, 0.08
"""Distances are the same, or a multiple of the pitch, if they are no further off than this share of
the pitch."""
_LEAST_REGULAR = 0.6
_LEAST_OFTEN = 0.08
"""The share of distances that are the pitch itself: writing on every second rule hides most of
them."""
_MOST_MISSED = 2
"""Beyond the outermost rule seen, it ends where so many in a row are not there."""
_SAME_PX = 3.0


def complete_ruling(page: NDArray[np.uint8], rules: Iterable[Rule], factor: int) -> tuple[Rule, ...]:
    """The rules and those between and beyond them that are hidden, from top to bottom.

    Args:
        page: (height, width), tone normalised.
        rules: that were found.
        factor: pixels of the page for one of the map.
    """
    middle = 0.5 * page.shape[1]
    seen = in_order(rules, middle)
    pitch = _pitch(np.diff([_row(rule, middle) for rule in seen])) if len(seen) >= _LEAST_RULES else None
    if pitch is None:
        return tuple(seen)
    hidden: list[Rule] = []
    for upper, lower in itertools.pairwise(seen):
        hidden += _between(page, upper, lower, pitch, factor)
    for outermost, step in ((seen[0], -pitch), (seen[-1], pitch)):
        hidden += _beyond(page, outermost, step, factor)
    return tuple(in_order([*seen, *hidden], middle))


def in_order(rules: Iterable[Rule], column: float) -> list[Rule]:
    """From top to bottom, none twice.

    Args:
        rules: in any order.
        column: where they are compared; rules that end before it are thought longer.
    """
    kept: list[Rule] = []
    for rule in sorted(rules, key=lambda rule: _row(rule, column)):
        last = kept[-1] if kept else None
        if last is None or not _is_same(last, rule):
            kept.append(rule)
        elif len(rule.rows) > len(last.rows):
            kept[-1] = rule
    return kept


def _is_same(one: Rule, other: Rule) -> bool:
    places = np.array([other.start, 0.5 * (other.start + other.end), other.end - 1.0])
    return bool(np.abs(one.row_at(places) - other.row_at(places)).max() <= _SAME_PX)


def _row(rule: Rule, column: float) -> float:
    return float(rule.row_at(np.array([column]))[0])


def _pitch(gaps: NDArray[np.float64]) -> float | None:
    """The distance of the rules: the smallest that is common, and that most others are multiples
    of; nothing if there is none.
    """
    for gap in np.sort(gaps):
        alike = gaps[np.abs(gaps - gap) <= _ALIKE * gap]
        pitch = float(np.median(alike))
        steps = gaps / pitch
        is_regular = np.abs(steps - np.rint(steps)) <= _UNEVEN * np.maximum(1.0, 0.5 * steps)
        if len(alike) >= max(2.0, _LEAST_OFTEN * len(gaps)) and is_regular.mean() >= _LEAST_REGULAR:
            return pitch
    return None


def _between(page: NDArray[np.uint8], upper: Rule, lower: Rule, pitch: float, factor: int) -> list[Rule]:
    """The hidden rules between two."""
    middle = 0.5 * page.shape[1]
    distance = _row(lower, middle) - _row(upper, middle)
    n_steps = round(distance / pitch)
    if n_steps < 2 or abs(distance / n_steps - pitch) > _UNEVEN * pitch:
        return []
    columns = np.arange(page.shape[1], dtype=np.float64)
    first, last = upper.row_at(columns), lower.row_at(columns)
    within = min(upper.start, lower.start), max(upper.end, lower.end)
    found = (fit_rule(page, first + step / n_steps * (last - first), within, factor) for step in range(1, n_steps))
    return [rule for rule in found if rule is not None]


def _beyond(page: NDArray[np.uint8], outermost: Rule, step: float, factor: int) -> list[Rule]:
    """The hidden rules above the first (where the step is negative) or below the last."""
    found: list[Rule] = []
    columns = np.arange(page.shape[1], dtype=np.float64)
    known, n_steps, n_missed = outermost, 0, 0
    while n_missed < _MOST_MISSED:
        n_steps += 1
        rows = known.row_at(columns) + n_steps * step
        on_page = np.flatnonzero((rows >= 0) & (rows < page.shape[0]))
        if len(on_page) == 0:
            break
        within = max(known.start, int(on_page[0])), min(known.end, int(on_page[-1]))
        if within[1] <= within[0]:
            break
        rule = fit_rule(page, rows, within, factor)
        if rule is None:
            n_missed += 1
        else:
            found.append(rule)
            known, n_steps, n_missed = rule, 0, 0
    return found
