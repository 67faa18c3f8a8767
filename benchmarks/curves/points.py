"""Which points of a space are recorded: the ends of what a sweep may try, and an even spread
between them.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from scipy.stats import qmc

from core.networks.presets import seed_recipe
from core.space import Point, SearchSpace
from core.space.search_space import key_of
from search.engines.base import EngineSettings
from search.engines.optuna.priorband import PriorBand
from search.experiment.experiment import Experiment

_SOBOL_SEED = 22
_MOST_DRAWS = 100  # Sobol points for each that is wanted, before a space counts as too small


@dataclass(frozen=True)
class WantedCurve:
    """A trial that should be in the table; see `RecordedCurve`."""

    point: Point
    seed: int
    horizon: int


def curve_points(experiment: Experiment, n_points: int) -> list[Point]:
    """Points of the experiment's space, complete with fixed values and defaults.

    First the recipe, then the defaults, four corners (all lowest, all highest, and the two that
    take turns), then in turns a scrambled Sobol sequence and draws around the defaults, where good
    engines look. The same each time: more points are these and further ones.

    Args:
        experiment: with its space.
        n_points: how many, at least 1.

    Raises:
        ValueError: if the space has not so many points.
    """
    space, points = experiment.space.search_space(), []
    known = set()
    for point in _candidates(experiment, space, n_points):
        if key_of(point) not in known:
            known.add(key_of(point))
            points.append(point)
        if len(points) == n_points:
            return points
    raise ValueError(f"A space must have the {n_points} points that are wanted, but this one has {len(points)}.")


def wanted_curves(
    points: Sequence[Point], seeds: Sequence[int], n_repeated: int, horizons: Sequence[int], every: int
) -> list[WantedCurve]:
    """All trials that a table should have.

    Args:
        points: to train.
        seeds: the first one for all points, the others for some.
        n_repeated: how many points have all seeds, spread over the list.
        horizons: the first one for all points, the others for some, under the first seed.
        every: each so many-th point has all horizons.
    """
    step = max(1, len(points) // n_repeated) if n_repeated else 0
    repeated = points[::step][:n_repeated] if n_repeated else []
    return [
        *(WantedCurve(point, seeds[0], horizons[0]) for point in points),
        *(WantedCurve(point, seed, horizons[0]) for seed in seeds[1:] for point in repeated),
        *(WantedCurve(point, seeds[0], horizon) for horizon in horizons[1:] for point in points[::every]),
    ]


def _candidates(experiment: Experiment, space: SearchSpace, n_points: int) -> list[Point]:
    n_dimensions = len(space.dimensions)
    first: list[Point] = [seed_recipe().as_dict(), experiment.complete({})]
    corners = [
        [0.0] * n_dimensions,
        [1.0] * n_dimensions,
        *([float((k + turn) % 2) for k in range(n_dimensions)] for turn in (0, 1)),
    ]
    sobol = qmc.Sobol(n_dimensions, scramble=True, seed=_SOBOL_SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it would rather be asked for a power of two
        spread = [space.at(place) for place in sobol.random(_MOST_DRAWS + 2 * n_points).tolist()]
    settings = EngineSettings(space, (), _SOBOL_SEED, "", "minimize", 1, "curves", experiment.complete({}))
    near = islice(PriorBand(settings, 3, 1).draws(0, (), 0, lambda: iter(())), 1, len(spread) + 1)
    turns = [point for both in zip(spread, near, strict=True) for point in both]
    return [*first, *(experiment.complete(point) for point in (*map(space.at, corners), *turns))]
