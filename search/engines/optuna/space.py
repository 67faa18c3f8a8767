"""Our dimensions in Optuna's words, and its values in ours."""

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from core.errors import EngineError
from core.space import Categorical, Dimension, Integer, SearchSpace, Value
from core.space.adapters import on_grid, words_of

_LARGEST_INTEGER = 2**53  # Optuna keeps integers as floats, which are exact up to here


def distributions_of(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Optuna's distribution of each dimension.

    Raises:
        EngineError: if an integer is too large for Optuna.
    """
    return {dimension.name: _distribution_of(dimension) for dimension in space.dimensions}


def to_optuna(dimension: Dimension, value: Value) -> Any:
    """A value as Optuna's distribution of that dimension holds it."""
    return words_of(dimension)[_place_of(dimension, value)] if isinstance(dimension, Categorical) else value


def from_optuna(dimension: Dimension, value: Any) -> Value:
    """A value of that dimension, with the exact type, from one of Optuna's."""
    if isinstance(dimension, Categorical):
        words = words_of(dimension)
        return dimension.choices[next(place for place, word in enumerate(words) if word == value)]
    return on_grid(dimension, value)


def _distribution_of(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Categorical):
        return CategoricalDistribution(words_of(dimension))
    if isinstance(dimension, Integer):
        if max(abs(dimension.low), abs(dimension.high)) > _LARGEST_INTEGER:
            raise EngineError(
                f"{dimension.name}: Optuna's integers must lie within +-2**53, but got "
                f"[{dimension.low}, {dimension.high}]. Search its logarithm, or make it a real dimension."
            )
        return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _place_of(dimension: Categorical, value: Value) -> int:
    return next(
        place for place, choice in enumerate(dimension.choices) if type(choice) is type(value) and choice == value
    )
