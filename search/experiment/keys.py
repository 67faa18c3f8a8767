"""Every key that an experiment file may have, with its default and meaning, read off the settings themselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from core.settings import Settings
from search.experiment.experiment import Experiment


@dataclass(frozen=True)
class ConfigKey:
    """One key of an experiment file.

    Attributes:
        name: dotted, such as `patches.fraction`; a corpus's own keys carry its layout, `corpus[dhsd].root`.
        default: as YAML would have it; `required` where there is none.
        description: what it does, in which unit.
    """

    name: str
    default: str
    description: str


def config_keys() -> tuple[ConfigKey, ...]:
    """All keys, in the order of the settings."""
    return tuple(_keys_of(Experiment, ""))


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
