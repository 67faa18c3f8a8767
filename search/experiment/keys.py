"""Every key and every hyperparameter that an experiment file may have, with its default and
meaning.

Read off the settings and `Hyperparameters` themselves, so that nothing is written twice.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from core.networks.hyperparameters import CHOICES, RANGES, Hyperparameters
from core.networks.presets import standard_preset
from core.settings import Settings
from core.space import in_words
from search.experiment.experiment import Experiment


@dataclass(frozen=True)
class ConfigKey:
    """One key of an experiment file.

    Attributes:
        name: dotted, such as `patches.fraction`; a corpus's own keys carry its layout,
            `corpus[dhsd].root`.
        default: as YAML would have it; `required` where there is none.
        description: what it does, in which unit.
    """

    name: str
    default: str
    description: str


def config_keys() -> tuple[ConfigKey, ...]:
    """All keys, in the order of the settings."""
    return tuple(_keys_of(Experiment, ""))


@dataclass(frozen=True)
class HyperparameterKey:
    """One hyperparameter of whosehand's own networks and their training.

    Attributes:
        name: under which `space.dimensions`, `space.fixed` and `space.enqueue` know it.
        kind: `integer`, `real`, `true or false` or `word`.
        allowed: which values it may have.
        default: what it is where nothing is said and nothing searched.
        searched: where the preset `standard` searches it; empty if it does not.
        meaning: what it does, in which unit.
    """

    name: str
    kind: str
    allowed: str
    default: str
    searched: str
    meaning: str


def hyperparameter_keys() -> tuple[HyperparameterKey, ...]:
    """All hyperparameters, in the order of a network from input to training."""
    searched = {
        dimension.name: in_words(dimension) if dimension.n_values != 1 else ""
        for dimension in standard_preset().space.dimensions
    }
    meanings = _meanings()
    return tuple(
        HyperparameterKey(
            name=field.name,
            kind=_KINDS[field.type],
            allowed=_allowed(field.name),
            default=str(field.default).lower() if field.type is bool else str(field.default),
            searched=searched.get(field.name, ""),
            meaning=meanings.get(field.name, ""),
        )
        for field in fields(Hyperparameters)
    )


def hyperparameter_table() -> str:
    """The table of `docs/hyperparameters.md`, in Markdown."""
    header = ("hyperparameter", "type", "allowed", "default", "preset `standard` searches", "meaning")
    rows = [
        (f"`{key.name}`", key.kind, key.allowed, key.default, key.searched or "not searched", key.meaning)
        for key in hyperparameter_keys()
    ]
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_KINDS: dict[Any, str] = {int: "integer", float: "real", bool: "true or false", str: "word"}


def _allowed(name: str) -> str:
    if name in CHOICES:
        return ", ".join(CHOICES[name])
    if name in RANGES:
        low, high = RANGES[name]
        return f"{low:g} to {high:g}"
    return "true, false"


def _meanings() -> dict[str, str]:
    """What the docstring of `Hyperparameters` says of each of its attributes."""
    attributes = (Hyperparameters.__doc__ or "").partition("Attributes:")[2].partition("Raises:")[0]
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", attributes, re.MULTILINE)
    return {name: _sentence(" ".join(text.split())) for name, text in found}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _keys_of(settings: type[Settings], prefix: str) -> Iterator[ConfigKey]:
    for name, field in settings.model_fields.items():
        groups = _groups(field.annotation)
        for group in groups:
            layout = f"[{_layout(group)}]" if len(groups) > 1 else ""
            yield from _keys_of(group, f"{prefix}{name}{layout}.")
        if not groups:
            yield ConfigKey(prefix + name, _default(field), " ".join((field.description or "").split()))


def _groups(annotation: Any) -> tuple[type[Settings], ...]:
    """The settings classes that an annotation is, or is a union of."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return (annotation,)
    members = tuple(member for member in get_args(annotation) if isinstance(member, type))
    return tuple(member for member in members if issubclass(member, Settings))


def _layout(group: type[Settings]) -> str:
    for field in group.model_fields.values():
        if get_origin(field.annotation) is Literal:
            return str(get_args(field.annotation)[0])
    return group.__name__


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return "required"
    return {"None": "null", "True": "true", "False": "false"}.get(str(default), str(default))
