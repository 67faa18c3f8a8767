"""The space in the words of Optuna's trials and KerasTuner's hyperparameters, for code that drives
those itself.

Both are known here by their methods alone, so that nothing of theirs is imported. Names and values
are the space's own, wherever the library can hold them. KerasTuner turns a choice among values of
several types into one of texts, so that it gets places (0, 1, ...) for that; and it does not reach
the upper end of a float with a step, so that it gets a list.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Protocol

from core.space.dimensions import Categorical, Dimension, Integer, Real, Value, is_same_value


class Space(Protocol):
    """What is needed of a `SearchSpace`: this file does not import it, because it is imported
    there.
    """

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """All dimensions, every parent before its children."""
        ...

    def active(self, point: Mapping[str, Value]) -> tuple[str, ...]:
        """The names that count at a point."""
        ...


class SuggestingTrial(Protocol):
    """What is needed of an `optuna.Trial`."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number."""
        ...

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number."""
        ...

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """One of the choices."""
        ...


class DeclaringHyperParameters(Protocol):
    """What is needed of a `keras_tuner.HyperParameters`."""

    def Int(self, name: str, min_value: int, max_value: int, **options: Any) -> Any:  # noqa: N802
        """A whole number."""
        ...

    def Float(self, name: str, min_value: float, max_value: float, **options: Any) -> Any:  # noqa: N802
        """A number."""
        ...

    def Choice(self, name: str, values: Any, **options: Any) -> Any:  # noqa: N802
        """One of the values."""
        ...

    def Boolean(self, name: str, **options: Any) -> Any:  # noqa: N802
        """True or False."""
        ...

    def Fixed(self, name: str, value: Any) -> Any:  # noqa: N802
        """A constant."""
        ...

    def conditional_scope(self, parent_name: str, parent_values: Any) -> AbstractContextManager[Any]:
        """Where what is declared counts only for these values of the parent."""
        ...


def suggest(space: Space, trial: SuggestingTrial) -> dict[str, Value]:
    """Let an Optuna trial choose a point; see `SearchSpace.suggest`."""
    point: dict[str, Value] = {}
    for dimension in space.dimensions:
        if dimension.name in space.active(point | {dimension.name: dimension.at(0.0)}):
            point[dimension.name] = _suggested(dimension, trial)
    return point


def declare(space: Space, hp: DeclaringHyperParameters) -> dict[str, Value]:
    """Declare the space to KerasTuner, and read the present point; see
    `SearchSpace.to_keras_tuner`.
    """
    values: dict[str, Value] = {}
    for dimension in space.dimensions:
        with ExitStack() as scopes:
            _enter_scopes(space, dimension, hp, scopes)
            value = _declared(dimension, hp)
        if value is not None:  # it is where a scope is closed
            values[dimension.name] = _from_keras(dimension, value)
    return {name: values[name] for name in space.active(values)}


def words_of(dimension: Categorical) -> tuple[Value, ...]:
    """The choices, or texts for them where a library could not tell them apart (`True == 1 ==
    1.0`).
    """
    if len(set(dimension.choices)) == len(dimension.choices):
        return dimension.choices
    return tuple(f"{type(choice).__name__} {choice!r}" for choice in dimension.choices)


def on_grid(dimension: Integer | Real, value: float) -> Value:
    """The dimension's value next to a number that a library made by adding up steps, with the exact
    type.
    """
    if isinstance(dimension, Integer):
        return int(value)
    low, high, step = dimension.low, dimension.high, dimension.step
    if step is not None:  # 0.30000000000000004 would end in tables
        value = float(f"{low + step * round((float(value) - low) / step):.12g}")
    return min(max(float(value), low), high)


def _suggested(dimension: Dimension, trial: SuggestingTrial) -> Value:
    if isinstance(dimension, Categorical):
        words = words_of(dimension)
        chosen = trial.suggest_categorical(dimension.name, words)
        return dimension.choices[next(place for place, word in enumerate(words) if is_same_value(word, chosen))]
    if isinstance(dimension, Integer):
        low, high = dimension.low, dimension.high
        return on_grid(dimension, trial.suggest_int(dimension.name, low, high, step=dimension.step, log=dimension.log))
    number = trial.suggest_float(dimension.name, dimension.low, dimension.high, step=dimension.step, log=dimension.log)
    return on_grid(dimension, number)


def _enter_scopes(space: Space, dimension: Dimension, hp: DeclaringHyperParameters, scopes: ExitStack) -> None:
    """Open the scope of each condition that the dimension hangs on, the outermost first."""
    when = dimension.when
    if when is None:
        return
    parent = next(parent for parent in space.dimensions if parent.name == when.parent)
    _enter_scopes(space, parent, hp, scopes)
    scopes.enter_context(hp.conditional_scope(parent.name, [_to_keras(parent, value) for value in when.values]))


def _declared(dimension: Dimension, hp: DeclaringHyperParameters) -> Any:
    name = dimension.name
    if dimension.n_values == 1:
        return hp.Fixed(name, _to_keras(dimension, dimension.at(0.0)))
    if isinstance(dimension, Categorical):
        if _is_boolean(dimension):
            return hp.Boolean(name)
        return hp.Choice(name, [_to_keras(dimension, choice) for choice in dimension.choices], ordered=False)
    sampling = "log" if dimension.log else "linear"
    if isinstance(dimension, Integer):
        step = {} if dimension.log else {"step": dimension.step}
        return hp.Int(name, dimension.low, dimension.high, sampling=sampling, **step)
    if dimension.step is not None:
        places = range(dimension.n_values or 1)
        return hp.Choice(name, [on_grid(dimension, dimension.low + place * dimension.step) for place in places])
    return hp.Float(name, dimension.low, dimension.high, sampling=sampling)


def _is_boolean(dimension: Categorical) -> bool:
    return {type(choice) for choice in dimension.choices} == {bool}


def _has_places(dimension: Categorical) -> bool:
    """Whether KerasTuner must know the choices by their places: it holds those of one type only."""
    return len({type(choice) for choice in dimension.choices}) > 1


def _to_keras(dimension: Dimension, value: Value) -> Value:
    if isinstance(dimension, Categorical) and _has_places(dimension):
        return next(place for place, choice in enumerate(dimension.choices) if is_same_value(choice, value))
    return value


def _from_keras(dimension: Dimension, value: Any) -> Value:
    if isinstance(dimension, Categorical):
        if _has_places(dimension):
            return dimension.choices[int(value)]
        return next(choice for choice in dimension.choices if choice == value)
    if isinstance(dimension, Integer):
        return min(max(int(value), dimension.low), dimension.high)
    return on_grid(dimension, value)
