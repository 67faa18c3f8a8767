"""Our dimensions in KerasTuner's words, and its values in ours.

KerasTuner counts the steps of a float by `//`, in which 0.6 // 0.1 is 5, so that the upper end
never comes; it takes a step as a factor where sampling is logarithmic; it turns a choice of bools
into one of integers, and may return `max_value + 1`. So choices and numbers with steps go over as
places, 0 to n - 1, and only true ranges as ranges; what comes back is clipped to the range.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import keras_tuner

from core.space import Categorical, Dimension, Integer, Point, Real, SearchSpace, Value, is_same_value
from core.space.search_space import list_values


class KerasTunerSpace:
    """One space in both languages."""

    def __init__(self, space: SearchSpace, grid_values: int | None = None) -> None:
        """Find KerasTuner's words.

        Args:
            space: ours.
            grid_values: how many values of each number there shall be at most, for a grid (those
                that a condition names come on top); `None` for all.
        """
        self._space = space
        self._forms = {d.name: _form_of(d, space, grid_values) for d in space.dimensions}

    def hyperparameters(self) -> Any:
        """The space as `keras_tuner.HyperParameters`, conditions as conditional scopes, at its
        default values.
        """
        hp = keras_tuner.HyperParameters()
        for dimension in self._space.dimensions:
            with ExitStack() as scopes:
                self._enter_scopes(hp, dimension, scopes)
                self._forms[dimension.name].declare(hp, dimension.name)
        return hp

    def to_keras(self, point: Point) -> dict[str, Value]:
        """KerasTuner's values of a point of the space."""
        return {name: self._forms[name].to_keras(value) for name, value in point.items()}

    def from_keras(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """The point of the space that KerasTuner's values stand for; its own entries
        (`tuner/epochs`) are left out.
        """
        return {name: self._forms[name].from_keras(values[name]) for name in self._space.names if name in values}

    def _enter_scopes(self, hp: Any, dimension: Dimension, scopes: ExitStack) -> None:
        """Open the scope of each condition that the dimension hangs on, the outermost first."""
        when = dimension.when
        if when is None:
            return
        self._enter_scopes(hp, self._space[when.parent], scopes)
        values = [self._forms[when.parent].to_keras(value) for value in when.values]
        scopes.enter_context(hp.conditional_scope(when.parent, values))


@dataclass(frozen=True)
class _Listed:
    """Values that KerasTuner knows by their place in a list."""

    values: tuple[Value, ...]

    def declare(self, hp: Any, name: str) -> None:
        if len(self.values) == 1:
            hp.Fixed(name, 0)
        else:
            hp.Choice(name, list(range(len(self.values))))

    def to_keras(self, value: Any) -> Value:
        return next(place for place, known in enumerate(self.values) if is_same_value(known, value))

    def from_keras(self, value: Any) -> Value:
        return self.values[int(value)]


@dataclass(frozen=True)
class _Stepped:
    """Numbers at equal distances, known by the number of steps from the lowest."""

    dimension: Integer | Real

    @property
    def n_values(self) -> int:
        return self.dimension.n_values or 1

    def declare(self, hp: Any, name: str) -> None:
        hp.Int(name, 0, self.n_values - 1)

    def to_keras(self, value: Any) -> Value:
        if isinstance(self.dimension, Integer):
            return int(value - self.dimension.low) // self.dimension.step  # a float would round a large one
        return round((value - self.dimension.low) / (self.dimension.step or 1.0))

    def from_keras(self, value: Any) -> Value:
        place = min(max(int(value), 0), self.n_values - 1)
        if isinstance(self.dimension, Integer):
            return self.dimension.low + self.dimension.step * place
        return self.dimension.at((place + 0.5) / self.n_values)


@dataclass(frozen=True)
class _Ranged:
    """Numbers from a range."""

    dimension: Integer | Real

    def declare(self, hp: Any, name: str) -> None:
        number = hp.Int if isinstance(self.dimension, Integer) else hp.Float
        sampling = "log" if self.dimension.log else "linear"
        number(name, self.dimension.low, self.dimension.high, sampling=sampling)

    def to_keras(self, value: Any) -> Value:
        return value

    def from_keras(self, value: Any) -> Value:
        typed = int(value) if isinstance(self.dimension, Integer) else float(value)
        return min(max(typed, self.dimension.low), self.dimension.high)


def _form_of(dimension: Dimension, space: SearchSpace, grid_values: int | None) -> _Listed | _Stepped | _Ranged:
    if isinstance(dimension, Categorical):
        return _Listed(dimension.choices)
    if dimension.n_values == 1:
        return _Listed((dimension.at(0.0),))
    if grid_values is not None:
        return _Listed(_grid_of(dimension, space, grid_values))
    return _Ranged(dimension) if dimension.log or dimension.step is None else _Stepped(dimension)


def _grid_of(dimension: Integer | Real, space: SearchSpace, grid_values: int) -> tuple[Value, ...]:
    """Values spread evenly from low to high, and those that a condition names: else its child would
    never be tried.
    """
    if dimension.n_values is not None and dimension.n_values <= grid_values:
        return tuple(list_values(dimension))
    even = [dimension.at(place / (grid_values - 1)) for place in range(grid_values)]
    children = [d.when for d in space.dimensions if d.when is not None and d.when.parent == dimension.name]
    named = [value for when in children for value in when.values if not isinstance(value, str)]
    return tuple(sorted({*even, *named}))
