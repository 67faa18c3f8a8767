"""All dimensions together: which of them count at a point, what a valid point is, and how points
are drawn.

Where a space is small, all of its points can be listed, so that an engine knows when it has been
everywhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from core.errors import SpaceError
from core.space.adapters import DeclaringHyperParameters, SuggestingTrial, declare, suggest
from core.space.dimensions import (
    Categorical,
    Condition,
    Dimension,
    Integer,
    Real,
    Value,
    dimension_from_plain,
    dimension_to_plain,
    is_same_value,
)

if TYPE_CHECKING:
    import numpy as np

Point = Mapping[str, Value]
"""Values by name; the names of inactive dimensions are absent."""
PointKey = frozenset[tuple[str, str, Value]]
"""Equal for equal points only: in Python `True == 1 == 1.0`, so that the types are in it."""
LARGEST = 10_000  # points; a sweep never gets through more, and listing these takes 0.1 s


@dataclass(frozen=True)
class SearchSpace:
    """Dimensions in an order in which every parent stands before its children.

    A dimension is active at a point if it has no condition, or if its parent is active and has one
    of the condition's values. A point holds exactly its active dimensions.

    Attributes:
        dimensions: at least one, names unique.

    Raises:
        SpaceError: if a rule is broken.

    Example:
        >>> some_dense = Condition("n_dense", (1, 2))
        >>> space = SearchSpace((Integer("n_dense", 0, 2), Integer("dense_1", 64, 512, 64, when=some_dense)))
        >>> space.active({"n_dense": 0})
        ('n_dense',)
    """  # noqa: W505

    dimensions: tuple[Dimension, ...]

    def __post_init__(self) -> None:
        """Check the rules."""
        object.__setattr__(self, "dimensions", tuple(self.dimensions))
        if not self.dimensions:
            raise SpaceError("A search space must have one dimension or more, but got none.")
        earlier: dict[str, Dimension] = {}
        for dimension in self.dimensions:
            if not isinstance(dimension, Integer | Real | Categorical):
                raise SpaceError(f"A dimension must be Integer, Real or Categorical, but got {dimension!r}.")
            if dimension.name in earlier:
                raise SpaceError(f"The names of a space must differ, but {dimension.name!r} is there twice.")
            _check_condition(dimension, earlier)
            earlier[dimension.name] = dimension

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all dimensions, in order."""
        return tuple(dimension.name for dimension in self.dimensions)

    def __getitem__(self, name: str) -> Dimension:
        """The dimension of that name.

        Raises:
            SpaceError: if there is none.
        """
        for dimension in self.dimensions:
            if dimension.name == name:
                return dimension
        raise SpaceError(f"A name must be one of {', '.join(self.names)}, but got {name!r}.")

    def active(self, point: Point) -> tuple[str, ...]:
        """The names that count at this point, in order; what else the point holds is not looked
        at.
        """
        active: list[str] = []
        for dimension in self.dimensions:
            when = dimension.when
            if when is None or (when.parent in active and when.parent in point and when.is_met_by(point[when.parent])):
                active.append(dimension.name)
        return tuple(active)

    def check(self, point: Point) -> None:
        """Refuse a point that is not in this space.

        Raises:
            SpaceError: if a name is unknown, missing or not active, or a value is not one of its
                dimension's.
        """
        active = self.active(point)
        for name in point:
            if name not in self.names:
                raise SpaceError(f"A point's names must be among {', '.join(self.names)}, but got {name!r}.")
            if name not in active:
                raise SpaceError(f"{name} is not active at this point ({_why_inactive(self[name])}); leave it out.")
        for name in active:
            if name not in point:
                raise SpaceError(f"{name} is active at this point and must have a value, but it is missing.")
            self[name].check(point[name])

    def contains(self, point: Point) -> bool:
        """Whether the point is in this space."""
        try:
            self.check(point)
        except SpaceError:
            return False
        return True

    def restrict(self, values: Point) -> dict[str, Value]:
        """The point of this space that a fuller set of values stands for.

        Inactive and unknown names are left out, and whole numbers become floats where the dimension
        is real.

        Raises:
            SpaceError: if an active name is missing or a value is not one of its dimension's.
        """
        typed = {d.name: _typed(d, values[d.name]) for d in self.dimensions if d.name in values}
        point = {name: typed[name] for name in self.active(typed) if name in typed}
        self.check(point)
        return point

    def sample(self, generator: "np.random.Generator") -> dict[str, Value]:
        """Draw a point; the number of random draws is the same for every point, whatever is active
        in it.
        """
        return self.at(generator.random(len(self.dimensions)))

    def at(self, quantiles: Iterable[float]) -> dict[str, Value]:
        """The point at a place in the unit cube: what spreads evenly there spreads evenly in the
        space.

        Args:
            quantiles: one in [0, 1] for each dimension, inactive ones among them.
        """
        full = {dimension.name: dimension.at(float(q)) for dimension, q in zip(self.dimensions, quantiles, strict=True)}
        return {name: full[name] for name in self.active(full)}

    def spread(self, n: int, seed: int) -> list[dict[str, Value]]:
        """Take `n` points that cover every dimension evenly: a Latin hypercube.

        Args:
            n: how many points, at least 1.
            seed: the same seed gives the same points.
        """
        # Half a second to import (NumPy alone 0.1 s), and only benchmarks need it.
        import numpy as np
        from scipy.stats import qmc

        quantiles = qmc.LatinHypercube(len(self.dimensions), seed=np.random.default_rng(seed)).random(n)
        return [self.at(row) for row in quantiles]

    def with_fixed(self, values: Point) -> "SearchSpace":
        """A space whose every point has these values where the name is active.

        A fixed dimension keeps its place and condition with one choice left, which may lie outside
        of its former range. A name that the space does not have becomes a dimension with one
        choice. Dimensions that can no longer be active go away.
        """
        new = [Categorical(name, (value,)) for name, value in values.items() if name not in self.names]
        kept: dict[str, Dimension] = {dimension.name: dimension for dimension in new}
        for dimension in self.dimensions:
            when = _still_possible(dimension.when, kept)
            if dimension.when is not None and when is None:
                continue
            if dimension.name in values:
                choice = _typed(dimension, values[dimension.name])
                kept[dimension.name] = Categorical(dimension.name, (choice,), when)
            else:
                kept[dimension.name] = replace(dimension, when=when)
        return SearchSpace(tuple(kept.values()))

    def suggest(self, trial: SuggestingTrial) -> dict[str, Value]:
        """Let an Optuna trial choose a point, for an objective of your own.

        Each active dimension is suggested under its name, an inactive one not at all.

        Args:
            trial: an `optuna.Trial`, or a `FixedTrial` with values to take.
        """
        return suggest(self, trial)

    def to_keras_tuner(self, hp: DeclaringHyperParameters) -> dict[str, Value]:
        """Declare every dimension to KerasTuner, conditions as scopes, for a `HyperModel` of your
        own.

        Args:
            hp: what `HyperModel.build` is given.

        Returns:
            The point that `hp` stands at.
        """
        return declare(self, hp)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "SearchSpace":
        """Build a space from what a YAML file holds: for each name its type, range or choices, and
        condition.

        `{n_dense: {type: integer, low: 0, high: 2}, dense_1: {type: integer, low: 64, high: 512,
        step: 64, when: {n_dense: [1, 2]}}, batch_norm: {type: categorical, choices: [true,
        false]}}`

        Raises:
            SpaceError: names the dimension, the key and what is allowed.
        """
        if not isinstance(plain, Mapping):
            raise SpaceError(f"A space must map names to dimensions, but got {plain!r}.")
        return cls(tuple(dimension_from_plain(name, keys) for name, keys in plain.items()))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The plain form that `from_dict` reads: dicts, lists, numbers, strings and bools only."""
        return {dimension.name: dimension_to_plain(dimension) for dimension in self.dimensions}


def key_of(point: Point) -> PointKey:
    """What tells a point from every other one."""
    return frozenset((name, type(value).__name__, value) for name, value in point.items())


def list_points(space: SearchSpace) -> list[dict[str, Value]] | None:
    """All points in a fixed order, or `None` if they are a continuum or more than `LARGEST`."""
    counts = [dimension.n_values for dimension in space.dimensions]
    finite = [count for count in counts if count is not None]
    # More than there are where dimensions are conditional, which only makes the limit a little
    # lower.
    if len(finite) < len(counts) or prod(finite) > LARGEST:
        return None
    return list(_points(space.dimensions, {}))


def is_active(dimension: Dimension, earlier: Point) -> bool:
    """Whether a dimension counts, given the values of those before it (the inactive ones
    absent).
    """
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


def _check_condition(dimension: Dimension, earlier: Mapping[str, Dimension]) -> None:
    when = dimension.when
    if when is None:
        return
    if when.parent not in earlier:
        raise SpaceError(
            f"{dimension.name}: the parent of `when` must stand before it in the space, but {when.parent!r} does not."
        )
    parent = earlier[when.parent]
    if isinstance(parent, Real):
        raise SpaceError(f"{dimension.name}: the parent of `when` must be integer or categorical, but it is real.")
    for value in when.values:
        try:
            parent.check(value)
        except SpaceError as error:
            raise SpaceError(f"{dimension.name}: `when` must hold values that its parent can have. {error}") from None


def _why_inactive(dimension: Dimension) -> str:
    when = dimension.when
    if when is None:
        return "it has no condition"
    return f"it counts only where {when.parent} is {' or '.join(repr(value) for value in when.values)}"


def _typed(dimension: Dimension, value: Value) -> Value:
    return float(value) if isinstance(dimension, Real) and type(value) is int else value


def _still_possible(when: Condition | None, kept: Mapping[str, Dimension]) -> Condition | None:
    if when is None or when.parent not in kept:
        return None
    parent = kept[when.parent]
    if not isinstance(parent, Categorical):
        return when
    values = tuple(value for value in when.values if _is_choice(parent, value))
    return replace(when, values=values) if values else None


def _is_choice(dimension: Categorical, value: Value) -> bool:
    return any(is_same_value(value, choice) for choice in dimension.choices)
