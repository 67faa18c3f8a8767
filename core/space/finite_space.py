"""Small spaces, all of whose points can be listed, so that an engine knows when it has been everywhere."""

from collections.abc import Iterator
from math import prod

from core.space.dimensions import Categorical, Dimension, Integer, Value
from core.space.search_space import Point, SearchSpace

LARGEST = 10_000  # points; a sweep never gets through more, and listing these takes 0.1 s
PointKey = frozenset[tuple[str, str, Value]]
"""Equal for equal points only: in Python `True == 1 == 1.0`, so that the types are in it."""


def key_of(point: Point) -> PointKey:
    """What tells a point from every other one."""
    return frozenset((name, type(value).__name__, value) for name, value in point.items())


def list_points(space: SearchSpace) -> list[dict[str, Value]] | None:
    """All points in a fixed order, or `None` if they are a continuum or more than `LARGEST`."""
    counts = [dimension.n_values for dimension in space.dimensions]
    finite = [count for count in counts if count is not None]
    # More than there are where dimensions are conditional, which only makes the limit a little lower.
    if len(finite) < len(counts) or prod(finite) > LARGEST:
        return None
    return list(_points(space.dimensions, {}))


def _points(dimensions: tuple[Dimension, ...], point: dict[str, Value]) -> Iterator[dict[str, Value]]:
    if not dimensions:
        yield point
        return
    first, rest = dimensions[0], dimensions[1:]
    if not is_active(first, point):
        yield from _points(rest, point)
        return
    for value in list_values(first):
        yield from _points(rest, {**point, first.name: value})


def is_active(dimension: Dimension, earlier: Point) -> bool:
    """Whether a dimension counts, given the values of those before it (the inactive ones absent)."""
    when = dimension.when
    return when is None or (when.parent in earlier and when.is_met_by(earlier[when.parent]))


def list_values(dimension: Dimension) -> list[Value]:
    """All values of a dimension that has finitely many, in order."""
    if isinstance(dimension, Categorical):
        return list(dimension.choices)
    if isinstance(dimension, Integer):
        return list(range(dimension.low, dimension.high + 1, dimension.step))
    n_values = dimension.n_values or 1
    return [dimension.at((place + 0.5) / n_values) for place in range(n_values)]
