"""Points that are spread out over the default space and can be trained in reasonable time."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from core.errors import ModelError
from core.networks.hyperparameters import Hyperparameters
from core.networks.layer_plan import plan_layers
from core.networks.presets import pooled_preset, seed_recipe

_MOST_DRAWS = 100


@dataclass(frozen=True)
class SpreadPoints:
    """Points of the default space.

    Attributes:
        points: in the order in which they were drawn.
        costs: multiplications of each in one forward pass, as a multiple of the seed recipe's.
        n_impossible: points passed over because no network can be built of them.
        n_too_slow: points passed over because of their cost.
    """

    points: tuple[Hyperparameters, ...]
    costs: tuple[float, ...]
    n_impossible: int
    n_too_slow: int


def spread_points(n_points: int, max_cost: float, patch_px: int, n_writers: int, seed: int) -> SpreadPoints:
    """Take a Latin hypercube of `n_points`; points that will not do are replaced by those of the
    next hypercubes.

    Args:
        n_points: how many, at least 1.
        max_cost: most multiplications, as a multiple of the seed recipe's.
        patch_px: side of the patches.
        n_writers: length of the output.
        seed: the same seed gives the same points.

    Raises:
        ValueError: if 100 hypercubes do not hold enough points of that cost.
    """
    seed_cost = plan_layers(seed_recipe(), patch_px, n_writers).n_multiplications
    points: list[Hyperparameters] = []
    costs: list[float] = []
    n_impossible = n_too_slow = 0
    for point in _draw(n_points, seed):
        try:
            cost = plan_layers(point, patch_px, n_writers).n_multiplications / seed_cost
        except ModelError:
            n_impossible += 1
            continue
        if cost > max_cost:
            n_too_slow += 1
            continue
        points.append(point)
        costs.append(cost)
        if len(points) == n_points:
            return SpreadPoints(tuple(points), tuple(costs), n_impossible, n_too_slow)
    raise ValueError(f"{n_points} points must cost at most {max_cost} seed recipes, but only {len(points)} do.")


def _draw(n_points: int, seed: int) -> Iterator[Hyperparameters]:
    for hypercube in count(seed):
        if hypercube - seed == _MOST_DRAWS:
            return
        for point in pooled_preset().space.spread(n_points, hypercube):
            yield Hyperparameters.from_point(point)
