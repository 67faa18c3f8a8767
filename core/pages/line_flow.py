"""How the lines of a level page run one by one: fanned, curved, or each with its own slope.

The page is cut into upright strips, a line or two wide. In each of them the rows of writing stand
out in the profile of its stroke crossings; from strip to strip the profile moves up or down a bit
where lines rise, and is stretched where they fan. Following it from the middle outwards gives for
each column where a level row lies (piece-wise projection profiles, as in Arivazhagan, Srinivasan,
Srihari, "A statistical approach to line segmentation in handwritten documents", 2007; here with one
stretch and one shift a strip, so that all lines of the page vote together).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

_PITCH_PER_LETTER = 1.6
"""The distance of lines, roughly, over the height of a typical piece of ink."""
_STRIP_PER_PITCH = 1.5
_STEPS_PER_LETTER = 12
_REACH = 0.3
"""A strip's lines lie no further above or below those of its neighbour, in distances of lines."""
_STIFFNESS = 0.05
_LEAST_STRIPS = 4
_LEAST_BEND = 0.22
"""Lines that stay so close to level, in their distances, are level."""
_LEAST_GAIN = 1.1
"""Rows must get so much sharper, or lines are taken as level."""


@dataclass(frozen=True)
class LineFlow:
    """Where the rows of writing lie in each column of a page.

    A level row `r` lies at `r + shifts + stretches * (r - middle)`.

    Attributes:
        shifts: (width,) in rows.
        stretches: (width,) without unit, far below 1.
        middle: the row that is only shifted.
    """

    shifts: NDArray[np.float64]
    stretches: NDArray[np.float64]
    middle: float

    def bend(self, row: float, left: int, right: int) -> NDArray[np.float64]:
        """How far below its level row a line lies in the columns from `left` to `right`."""
        return self.shifts[left:right] + self.stretches[left:right] * (row - self.middle)

    def level_rows(self, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.int64]:
        """The level rows of places on the page."""
        stretched = rows - self.middle - self.shifts[columns]
        return np.rint(stretched / (1 + self.stretches[columns]) + self.middle).astype(np.int64)


def find_flow(
    rows: NDArray[np.integer], columns: NDArray[np.integer], shape: tuple[int, int], letter_px: float
) -> LineFlow | None:
    """Follow the rows of writing across a page.

    Args:
        rows: of the places where strokes begin, seen from the left.
        columns: likewise.
        shape: (height, width) of the page.
        letter_px: the height of a typical piece of ink.

    Returns:
        How they run; `None` where they are level, or too few to tell.
    """
    step = max(1.0, letter_px / _STEPS_PER_LETTER)
    pitch = _PITCH_PER_LETTER * letter_px / step
    strip_px = _STRIP_PER_PITCH * _PITCH_PER_LETTER * letter_px
    n_strips = int(shape[1] / strip_px)
    if len(rows) == 0 or n_strips < _LEAST_STRIPS:
        return None
    strip_px = shape[1] / n_strips
    n_steps = int(np.ceil(shape[0] / step))
    cells = (columns / strip_px).astype(np.int64) * n_steps + (rows / step).astype(np.int64)
    counts = np.bincount(cells, minlength=n_strips * n_steps).reshape(n_strips, n_steps).astype(np.float64)
    profiles = gaussian_filter1d(np.sqrt(gaussian_filter1d(counts, 0.2 * pitch, axis=1)), 0.05 * pitch, axis=1)
    profiles -= gaussian_filter1d(profiles, 1.0 * pitch, axis=1)
    shifts, stretches = _follow(profiles, pitch)
    middle = 0.5 * (n_steps - 1)
    inked = np.flatnonzero(counts.sum(axis=0))
    ends = np.array([inked[0], inked[-1]]) - middle
    has_ink = counts.sum(axis=1) > 0.02 * counts.sum(axis=1).max()
    bends = (shifts[:, None] + stretches[:, None] * ends)[has_ink]
    if np.ptp(bends, axis=0).max() < _LEAST_BEND * pitch:
        return None
    centres = np.asarray((np.arange(n_strips) + 0.5) * strip_px - 0.5, dtype=np.float64)
    flow = LineFlow(
        _over_columns(centres, shifts * step, shape[1]), _over_columns(centres, stretches, shape[1]), middle * step
    )
    before, after = _sharpness(rows, step), _sharpness(flow.level_rows(rows, columns), step)
    return flow if after >= _LEAST_GAIN * before else None


def _follow(profiles: NDArray[np.float64], pitch: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The shift and stretch of each strip against one near the middle, with the most writing."""
    n_strips = len(profiles)
    power = (profiles**2).sum(axis=1)
    third = slice(n_strips // 3, n_strips - n_strips // 3)
    start = third.start + int(np.argmax(power[third]))
    shifts, stretches = np.zeros(n_strips), np.zeros(n_strips)
    for direction in (1, -1):
        template, state, trend = profiles[start].copy(), np.zeros(2), np.zeros(2)
        for strip in range(start + direction, n_strips if direction > 0 else -1, direction):
            if power[strip] < 0.05 * power[start]:
                state = state + trend
            else:
                best, aligned = _align(template, profiles[strip], state + trend, pitch)
                trend = 0.5 * trend + 0.5 * (best - state)
                state = best
                template = 0.6 * template + 0.6 * aligned
            shifts[strip], stretches[strip] = state
    return gaussian_filter1d(shifts, 0.7, mode="nearest"), gaussian_filter1d(stretches, 0.7, mode="nearest")


def _align(
    template: NDArray[np.float64], profile: NDArray[np.float64], expected: NDArray[np.float64], pitch: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The shift and stretch that lay a strip's profile best on what came before, and it so laid."""
    n_steps = len(template)
    rows = np.arange(n_steps, dtype=np.float64)
    off_middle = rows - 0.5 * (n_steps - 1)
    reach = np.array([_REACH * pitch, 0.6 * _REACH * pitch / n_steps])
    scale = np.sqrt((template**2).sum() * (profile**2).sum()) + 1e-9
    shifts, stretches = (tries.ravel() for tries in np.meshgrid(np.linspace(-1, 1, 17), np.linspace(-1, 1, 7)))
    states = expected + reach * np.stack([shifts, stretches], axis=1)
    aligned = np.interp(rows + states[:, :1] + states[:, 1:] * off_middle, rows, profile, left=0.0, right=0.0)
    scores = aligned @ template / scale - _STIFFNESS * (shifts**2 + stretches**2)
    best = int(scores.argmax())
    return states[best], aligned[best]


def _over_columns(centres: NDArray[np.float64], values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Between the strips' middles on straight lines; beyond the outermost ones they go on."""
    columns = np.arange(width, dtype=np.float64)
    found = np.interp(columns, centres, values)
    for end, next_one in ((0, 1), (-1, -2)):
        slope = (values[end] - values[next_one]) / (centres[end] - centres[next_one])
        outside = columns < centres[0] if end == 0 else columns > centres[-1]
        found[outside] = values[end] + slope * (columns[outside] - centres[end])
    return found


def _sharpness(rows: NDArray[np.integer], step: float) -> float:
    """The sum of squared steps of the profile."""
    counts = np.bincount(((rows - rows.min()) / step).astype(np.int64)).astype(np.float64)
    return float((np.diff(gaussian_filter1d(counts, 1.0)) ** 2).sum())
