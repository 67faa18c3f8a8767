"""Reads an experiment file: YAML to plain values, overrides laid over, the line of every key kept for messages."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.errors import ConfigError
from core.mistakes import Keys


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


def read_value(text: str, place: str) -> Any:
    """One value as an experiment file would have it: `1e-4` is a number, `true` a truth value.

    Args:
        text: in YAML.
        place: where it stands, for the message.

    Raises:
        ConfigError: if it is no YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(_yaml_message(place, error)) from error


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
    value, group = read_value(text, f"--set {override}"), tree
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
