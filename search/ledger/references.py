"""Paths in our own records: written relative to the folder that they belong to, so that it can be
moved.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

_KEYS = {"path", "sha256", "size_bytes"}  # of a `FileReference` as plain values


def with_relative_paths(values: Any, folder: Path) -> Any:
    """Plain values with the paths of all file references relative to `folder`, where they lie
    below it.
    """
    root = folder.absolute()
    return _map_paths(values, lambda given: _relative(Path(given).absolute(), root))


def with_absolute_paths(values: Any, folder: Path) -> Any:
    """Plain values with the paths of all file references as they are now that `folder` is here.

    Version 0.1 wrote some of them absolute: such a path is looked for below `folder`, wherever that
    was then.
    """
    return _map_paths(values, lambda stored: _present(stored, folder))


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _present(written: str, folder: Path) -> str:
    if not os.path.isabs(written):  # noqa: PTH117  (a long ledger has 100,000 of them, and `Path` takes ten times as long)
        return os.path.join(folder, written)  # noqa: PTH118
    return str(_found(Path(written), folder))


def _found(stored: Path, folder: Path) -> Path:
    if stored.is_relative_to(folder) or folder.name not in stored.parts:
        return stored
    place = len(stored.parts) - stored.parts[::-1].index(folder.name)
    moved = folder.joinpath(*stored.parts[place:])
    return moved if moved.exists() else stored


def _map_paths(values: Any, change: Callable[[str], str]) -> Any:
    """Apply `change` to the path of every file reference in plain values."""
    if isinstance(values, dict):
        changed = {
            key: _map_paths(value, change) if isinstance(value, dict | list) else value for key, value in values.items()
        }
        if changed.keys() == _KEYS:
            changed["path"] = change(changed["path"])
        return changed
    if isinstance(values, list):
        return [_map_paths(value, change) for value in values]
    return values
