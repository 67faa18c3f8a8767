"""What an experiment file says about the search space: a base, changes to it, fixed values, points to try first."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from core.errors import SpaceError
from core.mistakes import WrongKeysError
from core.networks.hyperparameters import Hyperparameters, default_space, seed_recipe
from core.settings import Settings
from core.space import Categorical, SearchSpace, Value
from core.space.dimensions import dimension_from_plain

HYPERPARAMETERS = tuple(field.name for field in fields(Hyperparameters))
Entry = Literal["seed_recipe"] | dict[str, Value]


class SpaceSettings(Settings):
    """Where the search looks for good hyperparameters.

    A hyperparameter that is neither in the base, nor in `dimensions`, nor in `fixed` has its default in every trial.
    """

    base: Literal["default", "none"] = "default"
    """Start from the default space, or from an empty one."""

    dimensions: dict[str, Any] = Field(default_factory=dict)
    """Dimensions to add, or to put in the place of the base's, by hyperparameter: `{type: integer, low: 2, high: 5}`,
    `{type: real, low: 1e-4, high: 1e-2, log: true}`, `{type: categorical, choices: [max, average]}`; with `step` and
    with `when: {parent: [values]}` where wanted."""

    fixed: dict[str, Value] = Field(default_factory=dict)
    """Hyperparameters that have this one value in every trial."""

    enqueue: tuple[Entry, ...] = ("seed_recipe",)
    """Points to try first, in this order: `seed_recipe`, or some hyperparameters by name (the others have their fixed
    value or their default). A point may lie outside of the space: it is trained and ranked, but teaches the search
    nothing."""

    @field_validator("dimensions")
    @classmethod
    def _dimensions_are_possible(cls, dimensions: dict[str, Any]) -> dict[str, Any]:
        _check_each(dimensions, _check_dimension)
        return dimensions

    @field_validator("fixed")
    @classmethod
    def _fixed_values_are_possible(cls, fixed: dict[str, Value]) -> dict[str, Value]:
        _check_each(fixed, _check_value)
        return fixed

    @field_validator("enqueue", mode="before")
    @classmethod
    def _entries_are_possible(cls, entries: Any) -> Any:
        complaints: dict[tuple[str | int, ...], str] = {}
        for place, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
            if isinstance(entry, Mapping):
                complaints |= {(place, *keys): text for keys, text in _complaints(entry, _check_value).items()}
            elif entry != "seed_recipe":
                complaints[(place,)] = f"must be seed_recipe or a group of hyperparameters, but got {entry!r}"
        if complaints:
            raise WrongKeysError(complaints)
        return tuple(entries) if isinstance(entries, list) else entries  # strict validation wants the very type

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        try:
            self.search_space()
        except SpaceError as error:
            raise WrongKeysError({(): f"{error}"}) from error
        return self

    def search_space(self) -> SearchSpace:
        """The space; a fixed hyperparameter is in it with one choice, so that every point says its value.

        Raises:
            SpaceError: if the dimensions do not make a space.
        """
        base = default_space().to_dict() if self.base == "default" else {}
        plain = base | self.dimensions
        if not plain and self.fixed:
            return SearchSpace(tuple(Categorical(name, (value,)) for name, value in self.fixed.items()))
        return SearchSpace.from_dict(plain).with_fixed(self.fixed)

    def enqueued_points(self) -> tuple[dict[str, Value], ...]:
        """The points to try first, in order.

        One that lies in the space has exactly the names that are active there; one outside has all hyperparameters.
        """
        space = self.search_space()
        return tuple(_place(self._completed(entry), space) for entry in self.enqueue)

    def _completed(self, entry: Entry) -> dict[str, Value]:
        if isinstance(entry, str):
            return seed_recipe().as_dict()
        return Hyperparameters.from_point({**self.fixed, **entry}).as_dict()


def _place(full: dict[str, Value], space: SearchSpace) -> dict[str, Value]:
    """The point as the space writes it, or as it is if the space does not hold it."""
    try:
        point = space.restrict(full)
        completed = Hyperparameters.from_point(point).as_dict()
    except SpaceError:
        return full
    unlike = {name for name, value in completed.items() if value != full[name]}
    # What is inactive has no effect; anything else that no other trial of this space can have makes an outsider.
    return full if unlike - set(space.names) else point


def _check_each(values: Mapping[str, Any], check: Callable[[str, Any], None]) -> None:
    complaints = _complaints(values, check)
    if complaints:
        raise WrongKeysError(complaints)


def _complaints(values: Mapping[str, Any], check: Callable[[str, Any], None]) -> dict[tuple[str | int, ...], str]:
    complaints: dict[tuple[str | int, ...], str] = {}
    for name, value in values.items():
        try:
            _check_name(name)
            check(name, value)
        except SpaceError as error:
            complaints[(name,)] = str(error).removeprefix(f"{name}: ").removeprefix(f"{name} ")
    return complaints


def _check_name(name: str) -> None:
    if name not in HYPERPARAMETERS:
        near = get_close_matches(name, HYPERPARAMETERS, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise SpaceError(f"is not a hyperparameter; {hint}Allowed are {', '.join(HYPERPARAMETERS)}")


def _check_dimension(name: str, plain: Any) -> None:
    dimension = dimension_from_plain(name, plain)
    ends = dimension.choices if isinstance(dimension, Categorical) else (dimension.low, dimension.high)
    for value in ends:
        _check_value(name, value)


def _check_value(name: str, value: Any) -> None:
    Hyperparameters.from_point({name: value})
