"""Our dimensions in Optuna's words, and its values in ours."""

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from core.errors import EngineError
from core.space import Categorical, Dimension, Integer, SearchSpace, Value

_LARGEST_INTEGER = 2**53  # Optuna keeps integers as floats, which are exact up to here


def distributions_of(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Optuna's distribution of each dimension.

    Raises:
        EngineError: if an integer is too large for Optuna.
    """
    return {dimension.name: _distribution_of(dimension) for dimension in space.dimensions}


def to_optuna(dimension: Dimension, value: Value) -> Any:
    """A value as Optuna's distribution of that dimension holds it."""
    return _words(dimension)[_place_of(dimension, value)] if isinstance(dimension, Categorical) else value


def from_optuna(dimension: Dimension, value: Any) -> Value:
    """A value of that dimension, with the exact type, from one of Optuna's."""
    if isinstance(dimension, Categorical):
        words = _words(dimension)
        return dimension.choices[next(place for place, word in enumerate(words) if word == value)]
    if isinstance(dimension, Integer):
        return int(value)
    if dimension.step is None:
        return min(max(float(value), dimension.low), dimension.high)
    # Optuna adds up steps: 0.30000000000000004 would end in tables
    on_grid = dimension.low + dimension.step * round((float(value) - dimension.low) / dimension.step)
    return min(max(float(f"{on_grid:.12g}"), dimension.low), dimension.high)


def _distribution_of(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Categorical):
        return CategoricalDistribution(_words(dimension))
    if isinstance(dimension, Integer):
        if max(abs(dimension.low), abs(dimension.high)) > _LARGEST_INTEGER:
            raise EngineError(
                f"{dimension.name}: Optuna's integers must lie within +-2**53, but got "
                f"[{dimension.low}, {dimension.high}]. Search its logarithm, or make it a real dimension."
            )
        return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _words(dimension: Categorical) -> tuple[Value, ...]:
    """The choices, or texts for them where Optuna could not tell them apart (`True == 1 == 1.0`)."""
    if len(set(dimension.choices)) == len(dimension.choices):
        return dimension.choices
    return tuple(f"{type(choice).__name__} {choice!r}" for choice in dimension.choices)


def _place_of(dimension: Categorical, value: Value) -> int:
    return next(
        place for place, choice in enumerate(dimension.choices) if type(choice) is type(value) and choice == value
    )
