"""Dimensions as plain dicts, the form in which an experiment file states them."""

from collections.abc import Mapping
from typing import Any

from core.errors import SpaceError
from core.space.dimensions import Categorical, Condition, Dimension, Integer, Real

_KEYS = {
    "integer": ("low", "high", "step", "log", "when"),
    "real": ("low", "high", "step", "log", "when"),
    "categorical": ("choices", "when"),
}
_NEEDED = {"integer": ("low", "high"), "real": ("low", "high"), "categorical": ("choices",)}


def dimension_from_plain(name: str, keys: Mapping[str, Any]) -> Dimension:
    """Build a dimension from its keys in an experiment file.

    Numbers of a real dimension may be strings, since YAML reads `1e-4` (without a point) as a string.

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
