"""Reads an experiment file: YAML to plain values, overrides laid over, the line of every key kept
for messages.
"""

import re
import stat
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.errors import ConfigError
from core.mistakes import Keys
from core.passwords import address_without_password


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
        """Where a value was written, for a message: the override, or the file with the nearest
        line.
        """
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
        ConfigError: if the file is none, is too large, is not YAML, names a key twice, or an
            override is not `key=value`. It takes little time and memory to find out, whatever lies
            there.
    """
    text = _read_text(path)
    node, tree = _parse(text, str(path))
    if not isinstance(tree, dict) or not tree:
        raise ConfigError(f"{path}: an experiment file must hold keys and values, such as `name: first-try`.")
    laid: dict[Keys, str] = {}
    for override in overrides:
        laid[_lay_over(tree, override)] = address_without_password(override)
    return ExperimentFile(path, tree, dict(_lines_of(node, ())), laid)


def read_value(text: str, place: str) -> Any:
    """One value as an experiment file would have it: `1e-4` is a number, `true` a truth value.

    Args:
        text: in YAML.
        place: where it stands, for the message.

    Raises:
        ConfigError: if it is no YAML.
    """
    return _parse(text, place)[1]


def _read_text(path: Path) -> str:
    """The text of a regular file of bounded size; a pipe or a device is not waited for."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise ConfigError(f"{path} is a folder, but an experiment is one YAML file.")
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{path} is no regular file (a pipe, a device or the like), but an experiment is a file.")
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such experiment file.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: an experiment file must be readable, but: {error}.") from error
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{path}: an experiment file has at most {_MOST_BYTES:,} bytes, but this one has more.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: an experiment file must be readable UTF-8 text, but byte {error.start + 1} is none of it. "
            "Save it as UTF-8."
        ) from error


_MOST_BYTES = 1_000_000
_MOST_VALUES = 20_000  # with what aliases repeat
_DEEPEST = 20  # levels of groups and lists


class _Loader(yaml.SafeLoader):
    """Plain YAML with `1e-4` as a number and repeated keys refused."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            kind = str(node.tag).rpartition(":")[2]
            raise _mistake(f"{_cut(node.value)} cannot be read as a {kind}", node) from error
        if isinstance(value, str):
            _check_letters(value, node)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _mistake("a key must be one word", key_node)
            if key_node.tag not in _KEY_TAGS:
                raise _mistake(f"a key must be a word, but got {_cut(key_node.value)}", key_node)
            if key_node.value in seen:
                first = seen[key_node.value]
                raise _mistake(f"the key {_cut(key_node.value)} is there twice, first in line {first}", key_node)
            seen[key_node.value] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)


_KEY_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "bool", "merge")}


def _mistake(problem: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_letters(text: str, node: yaml.Node) -> None:
    """Refuse what no name, path or terminal can bear: control characters and halves of
    characters.
    """
    for letter in text:
        if (unicodedata.category(letter) in ("Cc", "Cs")) and letter not in "\n\t":
            raise _mistake(f"the character {letter.encode('unicode_escape').decode()} is not allowed in a text", node)


def _construct_exponent(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int | float:
    """`1e-4` is a float; `5e6` is an integer, so that it can also be a count."""
    value = float(node.value)
    return int(value) if value.is_integer() and "-" not in node.value[1:] else value


# YAML 1.1, which PyYAML reads, wants a point and a sign in `1.0e-4`; YAML 1.2 and everybody's hand
# do not.
_Loader.add_implicit_resolver("!exponent", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_constructor("!exponent", _construct_exponent)


def _parse(text: str, place: str) -> tuple[yaml.Node | None, Any]:
    """The nodes of a YAML text with their lines, and what they hold.

    Raises:
        ConfigError: names the place, line and column.
    """
    try:
        _check_depth(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            _count(node, {})
            return node, None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        before, letter = text[: error.position], text[error.position : error.position + 1]
        where = f"line {before.count(chr(10)) + 1}"
        shown = letter.encode("unicode_escape").decode()
        raise ConfigError(f"{place}, {where}: the character {shown} is not allowed in a text.") from error
    except yaml.YAMLError as error:
        raise ConfigError(_yaml_message(place, error)) from error


def _check_depth(text: str) -> None:
    """Refuse groups in groups in groups before anything walks through them."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            problem = f"groups and lists may be {_DEEPEST} levels deep, but these are more than {_DEEPEST} levels deep"
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _count(node: yaml.Node | None, known: dict[int, int]) -> int:
    """How many values there would be if every alias were written out; refused beyond
    `_MOST_VALUES`.
    """
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        if not known[id(node)]:
            raise _mistake("a value must not hold itself, but this anchor's holds itself", node)
        return known[id(node)]
    known[id(node)] = 0
    children = node.value if isinstance(node, yaml.SequenceNode) else [each for pair in node.value for each in pair]
    n = 1 + sum(_count(child, known) for child in children)
    if n > _MOST_VALUES:
        raise _mistake(f"aliases repeat what they name, and so this holds more than {_MOST_VALUES:,} values", node)
    known[id(node)] = n
    return n


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
    shown = address_without_password(override)
    shown = shown if len(shown) <= 100 else f"{shown[:97]}..."
    value, group = read_value(text, f"--set {shown}"), tree
    for depth, key in enumerate(keys[:-1], start=1):
        if group.get(key) is None:
            group[key] = {}
        group = group[key]
        if not isinstance(group, dict):
            raise ConfigError(f"--set {shown}: {'.'.join(keys[:depth])} is a single value and has no keys below it.")
    group[keys[-1]] = value
    return keys


def _yaml_message(place: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
    start, context = getattr(error, "context_mark", None), getattr(error, "context", None)
    around = f" ({context} that begins in line {start.line + 1})" if start and context else ""
    return f"{place}{where}: {problem}{around}."
