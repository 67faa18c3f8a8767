"""Says what is wrong with settings: key, value, and what is allowed.

Validators of a group raise `WrongKeysError` where they know which keys below them are wrong;
pydantic finds the rest. `explain` turns both into sentences, for a file and for a constructor
alike.
"""

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Keys = tuple[str | int, ...]
"""The way to a value: the keys of the groups around it and its own."""


class WrongKeysError(ValueError):
    """Several mistakes at once, each at its own key.

    Attributes:
        complaints: by the keys below the group that is validated, what is wrong there; `()` is the
            group itself.
    """

    def __init__(self, complaints: Mapping[Keys, str]) -> None:
        super().__init__("; ".join(_at(keys, complaint) for keys, complaint in complaints.items()))
        self.complaints = dict(complaints)


def explain(error: ValidationError, model: type[BaseModel], tree: Mapping[str, Any]) -> dict[Keys, str]:
    """Say all that is wrong, a sentence for each key.

    Args:
        error: from validating `tree` as `model`.
        model: the group of settings.
        tree: its keys and values as they were given.

    Returns:
        By the keys where it is wrong, `key: what is wrong`, without a full stop.
    """
    complaints: dict[Keys, list[str]] = {}
    for details in error.errors(include_url=False):
        for keys, complaint in _complaints(details, model, tree):
            complaints.setdefault(keys, []).append(complaint)
    return {keys: _joined(keys, found) for keys, found in complaints.items()}


_RULES = {
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "dict_type": "must be a group of keys",
    "model_type": "must be a group of keys",
    "model_attributes_type": "must be a group of keys",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
}
_TAG_ERRORS = ("union_tag_invalid", "union_tag_not_found")


def _complaints(details: ErrorDetails, model: type[BaseModel], tree: Mapping[str, Any]) -> Iterator[tuple[Keys, str]]:
    keys = _keys_of(details, tree)
    if details["type"] == "value_error":
        error = details["ctx"]["error"]
        found = error.complaints if isinstance(error, WrongKeysError) else {(): str(error)}
        for below, complaint in found.items():
            yield (*keys, *below), " ".join(complaint.split()).rstrip(".")
    else:
        yield keys, _complaint(details, model)


def _complaint(details: ErrorDetails, model: type[BaseModel]) -> str:
    group = next(iter(_groups(model, details["loc"][:-1])), model)
    match details["type"]:
        case "extra_forbidden":
            return _unknown_key(details["loc"], group, model)
        case "missing":
            field = group.model_fields.get(str(details["loc"][-1]))  # none where the user's own names look like ours
            description = (field.description if field is not None else "") or ""
            return f"is missing. {' '.join(description.split())}".rstrip(". ")
        case "union_tag_invalid" | "union_tag_not_found":
            tags = (_tag(choice, _discriminator(details)) for choice in _groups(model, details["loc"]))
            got = f"got {_shown(details['ctx']['tag'])}" if "tag" in details["ctx"] else "it is missing"
            return f"must be one of {', '.join(tags)}, but {got}"
        case "string_pattern_mismatch":
            rule = f"must match the pattern {details['ctx']['pattern']}"
        case kind:
            rule = _RULES.get(kind) or details["msg"].replace("Input should", "must").replace("String should", "must")
    return f"{rule}, but got {_shown(details['input'])}"


def _unknown_key(loc: Keys, group: type[BaseModel], model: type[BaseModel]) -> str:
    key, allowed = str(loc[-1]), list(group.model_fields)
    elsewhere = [way for way in _all_keys(model) if way.endswith(f".{key}") and way.split(".")[0] != loc[0]]
    owners = _owners(loc, model)
    near = elsewhere[:2] or get_close_matches(key, allowed, n=1)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    hint = f"it belongs to {' or '.join(owners[:3])}. " if owners else hint
    return f"is not a key of an experiment; {hint}Allowed here: {', '.join(allowed)}"


def _owners(loc: Keys, model: type[BaseModel]) -> list[str]:
    """The other members of the union around a key that have it, each by what a file says to choose
    it.
    """
    owners = []
    for group in _groups(model, loc[:-2]) if len(loc) > 2 else ():
        if loc[-1] in group.model_fields and loc[-2] not in _tags(group):
            owners += [
                f"`{name}: {get_args(field.annotation)[0]}`"
                for name, field in group.model_fields.items()
                if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
            ]
    return owners


def _joined(keys: Keys, complaints: list[str]) -> str:
    """Both branches of a union complain: `must be 'all', but got 'x'` and `must be an integer, but
    got 'x'`.
    """
    *others, last = dict.fromkeys(complaints)
    text = " or ".join(
        [*(other.rsplit(", but got ", 1)[0] for other in others), last.removeprefix("must be ") if others else last]
    )
    return _at(keys, text)


def _at(keys: Keys, text: str) -> str:
    """A complaint with the dotted key that it is about."""
    key = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")
    return f"{key}: {text}" if key else text


def _keys_of(details: ErrorDetails, tree: Any) -> Keys:
    """The user's own keys in pydantic's location, which also holds the names of union branches."""
    keys: list[str | int] = []
    for part in details["loc"]:
        if (isinstance(tree, dict) and part in tree) or (isinstance(tree, list) and isinstance(part, int)):
            keys.append(part)
            tree = tree[part]  # type: ignore[index]  # by name in a group, by place in a list
        elif details["type"] == "missing" and part == details["loc"][-1]:
            keys.append(part)
    if details["type"] in _TAG_ERRORS:
        keys.append(_discriminator(details))
    return tuple(keys)


def _groups(model: type[BaseModel], loc: Keys) -> list[type[BaseModel]]:
    """The groups that a location can stand for: one, or several where a union is not decided by its
    tag.
    """
    groups = [model]
    for part in loc:
        annotations = [group.model_fields[str(part)].annotation for group in groups if part in group.model_fields]
        if annotations:
            groups = list(_models_in(annotations[0]))
        else:
            groups = [group for group in groups if part in _tags(group)] or groups
    return groups


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _tags(group: type[BaseModel]) -> list[Any]:
    """The values by which a member of a union is told from the others."""
    return [tag for field in group.model_fields.values() for tag in get_args(field.annotation)]


def _tag(group: type[BaseModel], discriminator: str) -> str:
    return ", ".join(str(value) for value in get_args(group.model_fields[discriminator].annotation))


def _discriminator(details: ErrorDetails) -> str:
    return str(details["ctx"]["discriminator"]).strip("'")


def _all_keys(model: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{above}{name}"
        for group in _models_in(field.annotation):
            yield from _all_keys(group, f"{above}{name}.")


def _shown(value: Any) -> str:
    """A value as YAML would have it: null and true, not None and True."""
    return repr(value) if isinstance(value, str) else json.dumps(value)
