"""Reads an experiment file: YAML to plain values, the line of every key kept for messages, overrides laid over.

What validators of an experiment's groups raise when they know which keys below them are wrong.

Turns what pydantic finds wrong in an experiment into messages: file and line, key, value, what is allowed.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from core.errors import ConfigError


class WrongKeysError(ValueError):
    """Several mistakes at once, each at its own key.

    Attributes:
        complaints: by the keys below the group that is validated, what is wrong there; `()` is the group itself.
    """

    def __init__(self, complaints: Mapping[tuple[str | int, ...], str]) -> None:
        super().__init__("; ".join(complaints.values()))
        self.complaints = dict(complaints)


Keys = tuple[str | int, ...]
"""The way to a value: the keys of the groups around it and its own."""


@dataclass(frozen=True)
class ExperimentFile:
    """An experiment as it was written, not yet checked against any rule.

    Attributes:
        path: the file.
        tree: its groups and values, the overrides laid over.
        lines: the line of each key, counted from 1.
        overrides: the `key=value` text of each overridden key.
    """

    path: Path
    tree: dict[str, Any]
    lines: Mapping[Keys, int]
    overrides: Mapping[Keys, str]

    def place_of(self, keys: Keys) -> str:
        """Where a value was written, for a message: the override, or the file with the nearest line."""
        around = [keys[:length] for length in range(len(keys), 0, -1)]
        below = [other for other in self.overrides if keys not in self.lines and other[: len(keys)] == keys]
        for overridden in (*around, *below):
            if overridden in self.overrides:
                return f"--set {self.overrides[overridden]}"
        for written in around:
            if written in self.lines:
                return f"{self.path}, line {self.lines[written]}"
        return str(self.path)


def read_experiment_file(path: Path, overrides: Sequence[str] = ()) -> ExperimentFile:
    """Read the file and lay the overrides over it.

    Args:
        path: of a YAML file with one mapping at its top.
        overrides: `a.b=value` texts, the value in YAML.

    Raises:
        ConfigError: if the file cannot be read, is not YAML, names a key twice, or an override is not `key=value`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such experiment file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: an experiment file must be readable UTF-8 text, but: {error}.") from error
    tree, lines = _parse(path, text)
    laid: dict[Keys, str] = {}
    for override in overrides:
        laid[_lay_over(tree, override)] = override
    return ExperimentFile(path, tree, lines, laid)


class _Loader(yaml.SafeLoader):
    """Plain YAML with `1e-4` as a number and repeated keys refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be one word", key_node.start_mark)
            if key_node.value in seen:
                problem = f"the key {key_node.value!r} is there twice, first in line {seen[key_node.value]}"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen[key_node.value] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)


def _construct_exponent(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int | float:
    """`1e-4` is a float; `5e6` is an integer, so that it can also be a count."""
    value = float(node.value)
    return int(value) if value.is_integer() and "-" not in node.value[1:] else value


# YAML 1.1, which PyYAML reads, wants a point and a sign in `1.0e-4`; YAML 1.2 and everybody's hand do not.
_Loader.add_implicit_resolver("!exponent", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_constructor("!exponent", _construct_exponent)


def _parse(path: Path, text: str) -> tuple[dict[str, Any], dict[Keys, int]]:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        tree = {} if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ConfigError(_yaml_message(str(path), error)) from error
    finally:
        loader.dispose()
    if not isinstance(tree, dict) or not tree:
        raise ConfigError(f"{path}: an experiment file must hold keys and values, such as `name: first-try`.")
    return tree, dict(_lines_of(node, ()))


def _lines_of(node: yaml.Node | None, keys: Keys) -> list[tuple[Keys, int]]:
    found: list[tuple[Keys, int]] = []
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            below = (*keys, key_node.value)
            found += [(below, key_node.start_mark.line + 1), *_lines_of(value_node, below)]
    elif isinstance(node, yaml.SequenceNode):
        for place, value_node in enumerate(node.value):
            below = (*keys, place)
            found += [(below, value_node.start_mark.line + 1), *_lines_of(value_node, below)]
    return found


def _lay_over(tree: dict[str, Any], override: str) -> Keys:
    dotted, equals, text = override.partition("=")
    keys = tuple(dotted.strip().split("."))
    if not equals or not all(keys):
        raise ConfigError(f"--set {override}: an override must look like `budget.trials=5`.")
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(_yaml_message(f"--set {override}", error)) from error
    group = tree
    for depth, key in enumerate(keys[:-1], start=1):
        if group.get(key) is None:
            group[key] = {}
        group = group[key]
        if not isinstance(group, dict):
            raise ConfigError(f"--set {override}: {'.'.join(keys[:depth])} is a single value and has no keys below it.")
    group[keys[-1]] = value
    return keys


def _yaml_message(place: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
    start, context = getattr(error, "context_mark", None), getattr(error, "context", None)
    around = f" ({context} that begins in line {start.line + 1})" if start and context else ""
    return f"{place}{where}: {problem}{around}."


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


def explain(error: ValidationError, model: type[BaseModel], file: ExperimentFile) -> str:
    """Say all that is wrong, one mistake a line, in the order of the file's lines.

    Args:
        error: from validating `file.tree` as `model`.
        model: the whole experiment.
        file: what was read.
    """
    complaints: dict[Keys, list[str]] = {}
    for details in error.errors(include_url=False):
        for keys, complaint in _complaints(details, model, file):
            complaints.setdefault(keys, []).append(complaint)
    in_order = sorted(complaints, key=lambda keys: file.lines.get(keys, 0))
    return "\n".join(f"{file.place_of(keys)}: {_joined(keys, complaints[keys])}." for keys in in_order)


def _complaints(details: ErrorDetails, model: type[BaseModel], file: ExperimentFile) -> Iterator[tuple[Keys, str]]:
    keys = _keys_of(details, file.tree)
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
            description = group.model_fields[str(details["loc"][-1])].description or ""
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
    """The other members of the union around a key that have it, each by what a file says to choose it."""
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
    """Both branches of a union complain: `must be 'all', but got 'x'` and `must be an integer, but got 'x'`."""
    *others, last = dict.fromkeys(complaints)
    text = " or ".join(
        [*(other.rsplit(", but got ", 1)[0] for other in others), last.removeprefix("must be ") if others else last]
    )
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
    """The groups that a location can stand for: one, or several where a union is not decided by its tag."""
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
