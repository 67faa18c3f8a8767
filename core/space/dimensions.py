"""One dimension of a search space: an integer, a real or a categorical one, and when it counts.

Every dimension can check a value, say how many values it has, and map a quantile to a value (`at`),
which is all that sampling, evenly spread designs and grids need.

Dimensions as plain dicts, the form in which an experiment file states them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import SpaceError

Value = bool | int | float | str
"""One hyperparameter's value."""
_TOLERANCE = 1e-9  # of a step: 0.1 + 0.2 has to count as 0.3


def is_same_value(left: Value, right: Value) -> bool:
    """Whether two values are equal and of one type: in Python `True == 1 == 1.0`, in a space they
    are three values.
    """
    return type(left) is type(right) and left == right


@dataclass(frozen=True)
class Condition:
    """A dimension counts only where its parent has one of these values.

    Attributes:
        parent: name of an integer or categorical dimension that stands before the child in the
            space.
        values: the parent's values for which the child is active.
    """

    parent: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        """Check the rules."""
        if not isinstance(self.values, tuple | list) or not self.values:
            raise SpaceError(f"A condition must list one value of {self.parent!r} or more, but got {self.values!r}.")
        object.__setattr__(self, "values", tuple(self.values))

    def is_met_by(self, value: Value) -> bool:
        """Whether the parent's value switches the child on."""
        return any(is_same_value(value, wanted) for wanted in self.values)


@dataclass(frozen=True)
class Integer:
    """Whole numbers from `low` to `high`, both included.

    Attributes:
        name: the hyperparameter.
        low: smallest value.
        high: largest value, reachable from `low` by steps.
        step: distance of two neighbours.
        log: sample evenly in the logarithm; then `step` must be 1 and `low` positive.
        when: the condition under which the dimension counts; `None` for always.

    Raises:
        SpaceError: if a rule is broken.
    """

    name: str
    low: int
    high: int
    step: int = 1
    log: bool = False
    when: Condition | None = None

    def __post_init__(self) -> None:
        """Check the rules."""
        _check_name(self.name)
        for key in ("low", "high", "step"):
            if type(getattr(self, key)) is not int:
                raise SpaceError(f"{self.name}: `{key}` must be an integer, but got {getattr(self, key)!r}.")
        _check_range(self.name, self.low, self.high, self.log)
        if self.step <= 0:
            raise SpaceError(f"{self.name}: `step > 0` must hold, but got step={self.step}.")
        if self.log and self.step != 1:
            raise SpaceError(f"{self.name}: `step` and `log` exclude each other, but got step={self.step}, log=True.")
        if (self.high - self.low) % self.step:
            raise SpaceError(_unreachable(self.name, self.low, self.high, self.step))

    @property
    def n_values(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1

    def check(self, value: Value) -> None:
        """Refuse a value that is not one of this dimension's.

        Raises:
            SpaceError: with the rule and the value.
        """
        if type(value) is not int:
            raise SpaceError(f"{self.name} must be an integer, but got {value!r} ({type(value).__name__}).")
        if not self.low <= value <= self.high or (value - self.low) % self.step:
            by_step = f" in steps of {self.step}" if self.step != 1 else ""
            raise SpaceError(f"{self.name} must lie in [{self.low}, {self.high}]{by_step}, but got {value}.")

    def at(self, quantile: float) -> int:
        """The value at a quantile in [0, 1]; quantiles spread evenly give values spread evenly (in
        the logarithm).
        """
        if self.log:
            # half a unit more at both ends, so that the end values are as likely as their
            # neighbours
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return min(max(round(math.exp(low + quantile * (high - low))), self.low), self.high)
        return self.low + self.step * min(int(quantile * self.n_values), self.n_values - 1)


@dataclass(frozen=True)
class Real:
    """Real numbers from `low` to `high`, both included.

    Attributes:
        name: the hyperparameter.
        low: smallest value.
        high: largest value, reachable from `low` by steps where there are steps.
        step: distance of two neighbours; `None` for a continuum.
        log: sample evenly in the logarithm; then there is no `step`, and `low` is positive.
        when: the condition under which the dimension counts; `None` for always.

    Raises:
        SpaceError: if a rule is broken.
    """

    name: str
    low: float
    high: float
    step: float | None = None
    log: bool = False
    when: Condition | None = None

    def __post_init__(self) -> None:
        """Check the rules."""
        _check_name(self.name)
        for key in ("low", "high", "step"):
            value = getattr(self, key)
            if key == "step" and value is None:
                continue
            if type(value) not in (int, float) or not math.isfinite(value):
                raise SpaceError(f"{self.name}: `{key}` must be a finite number, but got {value!r}.")
            object.__setattr__(self, key, float(value))
        _check_range(self.name, self.low, self.high, self.log)
        if self.step is None:
            return
        if self.step <= 0:
            raise SpaceError(f"{self.name}: `step > 0` must hold, but got step={self.step}.")
        if self.log:
            raise SpaceError(f"{self.name}: `step` and `log` exclude each other, but got step={self.step}, log=True.")
        if not _is_on_grid(self.high, self.low, self.step):
            raise SpaceError(_unreachable(self.name, self.low, self.high, self.step))

    @property
    def n_values(self) -> int | None:
        """How many values there are; `None` for a continuum."""
        if self.low == self.high:
            return 1
        return None if self.step is None else round((self.high - self.low) / self.step) + 1

    def check(self, value: Value) -> None:
        """Refuse a value that is not one of this dimension's.

        Raises:
            SpaceError: with the rule and the value.
        """
        if type(value) is not float:
            raise SpaceError(f"{self.name} must be a float, but got {value!r} ({type(value).__name__}).")
        on_grid = self.step is None or (math.isfinite(value) and _is_on_grid(value, self.low, self.step))
        if not self.low <= value <= self.high or not on_grid:
            by_step = "" if self.step is None else f" in steps of {self.step}"
            raise SpaceError(f"{self.name} must lie in [{self.low}, {self.high}]{by_step}, but got {value}.")

    def at(self, quantile: float) -> float:
        """The value at a quantile in [0, 1]; quantiles spread evenly give values spread evenly (in
        the logarithm).
        """
        n_values = self.n_values
        if self.step is not None and n_values is not None:
            value = self.low + self.step * min(int(quantile * n_values), n_values - 1)
            value = float(f"{value:.12g}")  # 0.3, not 0.30000000000000004: it ends in tables
        elif self.log:
            value = math.exp(math.log(self.low) + quantile * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + quantile * (self.high - self.low)
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Categorical:
    """One of some choices without an order.

    Attributes:
        name: the hyperparameter.
        choices: the values; `True`, `1` and `1.0` are three different ones.
        when: the condition under which the dimension counts; `None` for always.

    Raises:
        SpaceError: if there is no choice, one is there twice, or one is neither a string, number
            nor bool.
    """

    name: str
    choices: tuple[Value, ...]
    when: Condition | None = None

    def __post_init__(self) -> None:
        """Check the rules."""
        _check_name(self.name)
        if isinstance(self.choices, str) or not isinstance(self.choices, tuple | list):
            raise SpaceError(f"{self.name}: `choices` must be a list, but got {self.choices!r}.")
        object.__setattr__(self, "choices", tuple(self.choices))
        if not self.choices:
            raise SpaceError(f"{self.name}: `choices` must hold one value or more, but it is empty.")
        for place, choice in enumerate(self.choices):
            is_nan = isinstance(choice, float) and math.isnan(choice)
            if type(choice) not in (bool, int, float, str) or is_nan:
                raise SpaceError(f"{self.name}: `choices` must be strings, numbers or bools, but got {choice!r}.")
            if any(is_same_value(choice, earlier) for earlier in self.choices[:place]):
                raise SpaceError(f"{self.name}: `choices` must differ, but {choice!r} is there twice.")

    @property
    def n_values(self) -> int:
        """How many values there are."""
        return len(self.choices)

    def check(self, value: Value) -> None:
        """Refuse a value that is not one of this dimension's.

        Raises:
            SpaceError: with the rule and the value.
        """
        if not any(is_same_value(value, choice) for choice in self.choices):
            allowed = ", ".join(repr(choice) for choice in self.choices)
            raise SpaceError(f"{self.name} must be one of {allowed}, but got {value!r} ({type(value).__name__}).")

    def at(self, quantile: float) -> Value:
        """The choice at a quantile in [0, 1]."""
        return self.choices[min(int(quantile * len(self.choices)), len(self.choices) - 1)]


Dimension = Integer | Real | Categorical
"""Any of the three kinds."""


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise SpaceError(f"A dimension's name must be a word such as `learning_rate`, but got {name!r}.")


def _check_range(name: str, low: float, high: float, log: bool) -> None:
    if type(log) is not bool:
        raise SpaceError(f"{name}: `log` must be true or false, but got {log!r}.")
    if low > high:
        raise SpaceError(f"{name}: `low <= high` must hold, but got {low=}, {high=}.")
    if log and low <= 0:
        raise SpaceError(f"{name}: `log` needs `low > 0`, but got {low=}.")


def _is_on_grid(value: float, low: float, step: float) -> bool:
    n_steps = (value - low) / step
    return abs(n_steps - round(n_steps)) <= _TOLERANCE * max(1.0, abs(n_steps))


def _unreachable(name: str, low: float, high: float, step: float) -> str:
    nearest = float(f"{low + math.floor((high - low) / step) * step:.12g}")
    fix = int(nearest) if isinstance(low, int) else nearest
    return f"{name}: `high` must be reachable from `low` by steps, but got {low=}, {high=}, {step=}; take high={fix}."


_KEYS = {
    "integer": ("low", "high", "step", "log", "when"),
    "real": ("low", "high", "step", "log", "when"),
    "categorical": ("choices", "when"),
}
_NEEDED = {"integer": ("low", "high"), "real": ("low", "high"), "categorical": ("choices",)}


def dimension_from_plain(name: str, keys: Mapping[str, Any]) -> Dimension:
    """Build a dimension from its keys in an experiment file.

    Numbers of a real dimension may be strings, since YAML reads `1e-4` (without a point) as a
    string.

    Raises:
        SpaceError: names the dimension, the key and what is allowed.
    """
    if not isinstance(keys, Mapping):
        raise SpaceError(f"{name}: a dimension must be a mapping with a `type`, but got {keys!r}.")
    kind = keys.get("type")
    if not isinstance(kind, str) or kind not in _KEYS:
        raise SpaceError(f"{name}: `type` must be one of {', '.join(_KEYS)}, but got {kind!r}.")
    for key in keys:
        if key != "type" and key not in _KEYS[kind]:
            raise SpaceError(f"{name}: the keys of type {kind} are {', '.join(_KEYS[kind])}, not {key!r}.")
    for key in _NEEDED[kind]:
        if key not in keys:
            raise SpaceError(f"{name}: a dimension of type {kind} must have `{key}`, but it is missing.")
    when = _condition_from_plain(name, keys.get("when"))
    log = keys.get("log", False)
    if kind == "categorical":
        return Categorical(name, keys["choices"], when)
    if kind == "integer":
        return Integer(name, keys["low"], keys["high"], keys.get("step", 1), log, when)
    step = keys.get("step")
    low, high = (_number(name, key, keys[key]) for key in ("low", "high"))
    return Real(name, low, high, None if step is None else _number(name, "step", step), log, when)


def in_words(dimension: Dimension) -> str:
    """Where a dimension is searched, for people.

    >>> in_words(Integer("dense_1", 128, 512, 128, when=Condition("n_dense", (1, 2))))
    '128 to 512 in steps of 128, where n_dense is 1 or 2'
    >>> in_words(Real("learning_rate", 3e-4, 1e-2, log=True)), in_words(Categorical("batch_norm", (True, False)))
    ('0.0003 to 0.01, logarithmic', 'true or false')
    """  # noqa: W505
    if isinstance(dimension, Categorical):
        text = _alternatives(dimension.choices)
    else:
        is_stepped = dimension.step is not None and not (isinstance(dimension, Integer) and dimension.step == 1)
        text = f"{dimension.low:g} to {dimension.high:g}" + (f" in steps of {dimension.step:g}" if is_stepped else "")
        text += ", logarithmic" if dimension.log else ""
    when = dimension.when
    return text if when is None else f"{text}, where {when.parent} is {_alternatives(when.values)}"


def _alternatives(values: tuple[Value, ...]) -> str:
    *others, last = (str(value).lower() if isinstance(value, bool) else str(value) for value in values)
    return f"{', '.join(others)} or {last}" if others else last


def dimension_to_plain(dimension: Dimension) -> dict[str, Any]:
    """The keys that `dimension_from_plain` reads; those at their defaults are left out."""
    plain: dict[str, Any]
    if isinstance(dimension, Categorical):
        plain = {"type": "categorical", "choices": list(dimension.choices)}
    else:
        kind = "integer" if isinstance(dimension, Integer) else "real"
        plain = {"type": kind, "low": dimension.low, "high": dimension.high}
        if dimension.step is not None and not (kind == "integer" and dimension.step == 1):
            plain["step"] = dimension.step
        if dimension.log:
            plain["log"] = True
    if dimension.when is not None:
        plain["when"] = {dimension.when.parent: list(dimension.when.values)}
    return plain


def _condition_from_plain(name: str, when: object) -> Condition | None:
    if when is None:
        return None
    if not isinstance(when, Mapping) or len(when) != 1:
        raise SpaceError(
            f"{name}: `when` must name one parent and its values, such as {{n_dense: [1, 2]}}, not {when}."
        )
    ((parent, values),) = when.items()
    return Condition(str(parent), tuple(values) if isinstance(values, list | tuple) else (values,))


def _number(name: str, key: str, value: object) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise SpaceError(f"{name}: `{key}` must be a number, but got {value!r}.") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpaceError(f"{name}: `{key}` must be a number, but got {value!r}.")
    return float(value)
