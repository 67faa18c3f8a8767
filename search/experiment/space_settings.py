"""What an experiment file says about the search space: a base, changes to it, fixed values, points
to try first.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from core.errors import SpaceError
from core.mistakes import WrongKeysError
from core.networks.hyperparameters import TRAINING_HYPERPARAMETERS, Hyperparameters
from core.networks.presets import find_preset, seed_recipe
from core.settings import Settings
from core.space import Categorical, Dimension, SearchSpace, Value
from core.space.dimensions import dimension_from_plain, dimension_to_plain
from search.experiment.mlflow_names import check_param
from search.experiment.settings import is_recorded

HYPERPARAMETERS = tuple(field.name for field in fields(Hyperparameters))
PresetName = Literal["recipe", "small", "standard", "large", "pooled"]
OURS_ALONE = "ours alone"
"""Key of the validation context: whether names must be hyperparameters of whosehand's."""
Entry = Literal["seed_recipe"] | dict[str, Value]
Keys = tuple[str | int, ...]
Complete = Callable[[Mapping[str, Value]], dict[str, Value]]


class SpaceSettings(Settings):
    """Where the search looks for good hyperparameters.

    A hyperparameter that is neither in the base, nor in `dimensions`, nor in `fixed` has its
    default in every trial.
    """

    preset: PresetName = "standard"
    """Which space: `recipe` (the published recipe with its numbers free), or networks whose first
    convolution has a stride of 4 px, `small` for sweeps of some minutes on two cores, `standard`
    for half an hour, `large` for many hours or many cores; or `pooled`, the default space of
    version 0.1, which is meant by a file that says something of the space and names no preset, or
    that has a `model` of its own."""

    base: Literal["default", "training", "none"] = "default"
    """Start from the preset's space, from its part that concerns the training alone, or from an
    empty one. With a `model` of your own it is `training`, with an `objective` of your own `none`,
    if nothing is said."""

    dimensions: dict[str, Any] = Field(default_factory=dict)
    """Dimensions to add, or to put in the place of the base's, by hyperparameter (with a `model` or
    `objective` of your own also under names of your own): `{type: integer, low: 2, high: 5}`,
    `{type: real, low: 1e-4, high: 1e-2, log: true}`, `{type: categorical, choices: [max,
    average]}`; with `step` and with `when: {parent: [values]}` where wanted."""

    fixed: dict[str, Value] = Field(default_factory=dict)
    """Hyperparameters that have this one value in every trial."""

    enqueue: tuple[Entry, ...] = ("seed_recipe",)
    """Points to try first, in this order: `seed_recipe`, or some hyperparameters by name (the
    others have their fixed value or the preset's, so that `{}` is the preset's middle). If nothing
    is said, `small`, `standard` and `large` begin with their middle and the recipe. A point may lie
    outside of the space: it is trained and ranked, but teaches the search nothing."""

    @field_validator("dimensions", mode="before")
    @classmethod
    def _typed_dimensions_as_plain_ones(cls, dimensions: Any) -> Any:
        """Python may give `Integer`, `Real` and `Categorical` themselves, by name or as a list."""
        if isinstance(dimensions, list | tuple) and all(isinstance(each, Dimension) for each in dimensions):
            dimensions = {dimension.name: dimension for dimension in dimensions}
        if not isinstance(dimensions, Mapping):
            return dimensions
        return {
            name: dimension_to_plain(each) if isinstance(each, Dimension) and each.name == name else each
            for name, each in dimensions.items()
        }

    @field_validator("dimensions")
    @classmethod
    def _dimensions_are_possible(cls, dimensions: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        _check_each(dimensions, _check_dimension, info)
        return dimensions

    @field_validator("fixed")
    @classmethod
    def _fixed_values_are_possible(cls, fixed: dict[str, Value], info: ValidationInfo) -> dict[str, Value]:
        _check_each(fixed, _check_value, info)
        return fixed

    @field_validator("enqueue", mode="before")
    @classmethod
    def _entries_are_possible(cls, entries: Any, info: ValidationInfo) -> Any:
        complaints: dict[tuple[str | int, ...], str] = {}
        for place, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
            if isinstance(entry, Mapping):
                complaints |= {(place, *keys): text for keys, text in _complaints(entry, _check_value, info).items()}
            elif entry != "seed_recipe":
                complaints[(place,)] = f"must be seed_recipe or a group of hyperparameters, but got {entry!r}"
        if complaints:
            raise WrongKeysError(complaints)
        return tuple(entries) if isinstance(entries, list) else entries  # strict validation wants the very type

    @model_validator(mode="before")
    @classmethod
    def _of_an_old_ledger(cls, values: Any, info: ValidationInfo) -> Any:
        """Version 0.1 had no presets: what it recorded is its own space."""
        if not is_recorded(info) or not isinstance(values, Mapping) or values.get("base") == "none":
            return values
        return {"preset": "pooled", **values}

    @model_validator(mode="after")
    def _say_what_is_unsaid(self, info: ValidationInfo) -> Self:
        said = self.model_fields_set
        if is_recorded(info):
            return self
        if said and "preset" not in said and self.base != "none":
            object.__setattr__(self, "preset", "pooled")
        if "enqueue" not in said and self.base == "default" and self.preset in ("small", "standard", "large"):
            object.__setattr__(self, "enqueue", ({}, "seed_recipe"))
        return self

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        try:
            self.search_space()
        except SpaceError as error:
            raise WrongKeysError({(): f"{error}"}) from error
        return self

    def search_space(self) -> SearchSpace:
        """The space; a fixed hyperparameter is in it with one choice, so that every point says its
        value.

        Raises:
            SpaceError: if the dimensions do not make a space.
        """
        plain = self._base() | self.dimensions
        if not plain and self.fixed:
            return SearchSpace(tuple(Categorical(name, (value,)) for name, value in self.fixed.items()))
        return SearchSpace.from_dict(plain).with_fixed(self.fixed)

    def enqueued_points(self, complete: Complete | None = None) -> tuple[dict[str, Value], ...]:
        """The points to try first, in order.

        One that lies in the space has exactly the names that are active there; one outside has all
        hyperparameters.

        Args:
            complete: makes all values of a trial of a point's; by default those of whosehand's own
                network.
        """
        space, complete = self.search_space(), complete or self.complete
        entries = (seed_recipe().as_dict() if isinstance(entry, str) else complete(entry) for entry in self.enqueue)
        return tuple(_place(entry, space, complete) for entry in entries)

    def complete(self, point: Mapping[str, Value]) -> dict[str, Value]:
        """All hyperparameters of whosehand's own network: the point's values, the fixed ones, the
        defaults.

        Raises:
            SpaceError: if a value is none that its hyperparameter can have.
        """
        usual = find_preset(self.preset).middle.as_dict() if self.base == "default" else {}
        return Hyperparameters.from_point({**usual, **self.fixed, **point}).as_dict()

    def complete_training(self, point: Mapping[str, Value]) -> dict[str, Value]:
        """The same for a network of the user's own: our defaults are those of the training
        alone.
        """
        defaults = Hyperparameters().as_dict()
        return {**{name: defaults[name] for name in TRAINING_HYPERPARAMETERS}, **self.fixed, **point}

    def _base(self) -> dict[str, Any]:
        if self.base == "none":
            return {}
        plain = find_preset(self.preset).space.to_dict()
        return plain if self.base == "default" else {k: v for k, v in plain.items() if k in TRAINING_HYPERPARAMETERS}

    def own_names(self) -> dict[Keys, str]:
        """Where names stand that are no hyperparameters of whosehand's, and what is said of
        them.
        """
        entries = [
            (("enqueue", place), entry) for place, entry in enumerate(self.enqueue) if not isinstance(entry, str)
        ]
        groups = [(("dimensions",), self.dimensions), (("fixed",), self.fixed), *entries]
        return {
            (*keys, name): _not_ours(name) for keys, group in groups for name in group if name not in HYPERPARAMETERS
        }


def _place(full: dict[str, Value], space: SearchSpace, complete: Complete) -> dict[str, Value]:
    """The point as the space writes it, or as it is if the space does not hold it."""
    try:
        point = space.restrict(full)
        completed = complete(point)
    except SpaceError:
        return full
    unlike = {name for name, value in completed.items() if value != full.get(name, value)}
    # What is inactive has no effect; anything else that no other trial of this space can have makes
    # an outsider.
    return full if unlike - set(space.names) else point


def _check_each(values: Mapping[str, Any], check: Callable[[str, Any], None], info: ValidationInfo) -> None:
    complaints = _complaints(values, check, info)
    if complaints:
        raise WrongKeysError(complaints)


def _complaints(values: Mapping[str, Any], check: Callable[[str, Any], None], info: ValidationInfo) -> dict[Keys, str]:
    """What is wrong with values by name; a name of the user's own counts as wrong where the file
    uses no own code.
    """
    complaints: dict[Keys, str] = {}
    for name, value in values.items():
        try:
            if name not in HYPERPARAMETERS and (info.context or {}).get(OURS_ALONE):
                raise SpaceError(_not_ours(name))
            if not str(name).isidentifier():
                raise SpaceError("must be a name of letters, digits and `_`")
            check(name, value)
        except (SpaceError, ValueError) as error:
            complaints[(name,)] = str(error).removeprefix(f"{name}: ").removeprefix(f"{name} ")
    return complaints


def _not_ours(name: str) -> str:
    near = get_close_matches(name, HYPERPARAMETERS, n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return (
        f"is not a hyperparameter; {hint}Allowed are {', '.join(HYPERPARAMETERS)}, and names of your own with `model: "
        "module:function` or an `objective` of your own"
    )


def _check_dimension(name: str, plain: Any) -> None:
    dimension = dimension_from_plain(name, plain)
    ends = dimension.choices if isinstance(dimension, Categorical) else (dimension.low, dimension.high)
    for value in ends:
        _check_value(name, value)


def _check_value(name: str, value: Any) -> None:
    check_param(name, value)
    if name in HYPERPARAMETERS:
        Hyperparameters.from_point({name: value})
