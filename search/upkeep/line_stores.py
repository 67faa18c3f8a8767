"""Line stores and pools of lines that no sweep of the project needs any more."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from core.lines.pool import Pool
from core.lines.view import LIST
from search.experiment.workspace import Workspace
from search.sweep.known_sweeps import KnownSweep

POOL_PREFIX = "pool-"
_KEY = re.compile(r"[0-9a-f]{16,}")  # nothing that somebody else put there


@dataclass(frozen=True)
class UnusedLines:
    """A pool or a list of lines that can go; both are built again when they are needed.

    Attributes:
        path: its folder.
        reason: in words.
    """

    path: Path
    reason: str


def find_unused_lines(workspace: Workspace, sweeps: list[KnownSweep]) -> list[UnusedLines]:
    """List the pools of ink settings that no sweep has, and the lists that need such a pool, or are of another format.

    A pool that somebody adds to just now is left out. A list whose pool stays is small, and stays too.

    Args:
        workspace: where the stores are.
        sweeps: all of the project.
    """
    folder = workspace.line_stores
    used = {Pool(folder, sweep.experiment.ink).folder.name for sweep in sweeps}
    unused: list[UnusedLines] = []
    for path in sorted(path for path in folder.glob("*") if path.is_dir()):
        if path.name.startswith(POOL_PREFIX):
            if path.name not in used and not _is_held(path):
                unused.append(UnusedLines(path, "of ink settings that no sweep has"))
        elif _KEY.fullmatch(path.name):
            pool = _pool_of(path)
            if pool is None:
                unused.append(UnusedLines(path, "of another version, or damaged"))
            elif pool not in used and not _is_held(folder / pool):
                unused.append(UnusedLines(path, "its pool goes, or is gone"))
    return unused


def _pool_of(folder: Path) -> str | None:
    """The name of the pool that a list of lines needs; `None` if it is none that this version can read."""
    try:
        with (folder / LIST).open("rb") as file:
            return str(json.loads(file.readline())["pool"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_held(pool: Path) -> bool:
    """Whether a process is adding records."""
    if not pool.is_dir():
        return False
    try:
        with FileLock(pool / ".lock", timeout=0):
            return False
    except Timeout:
        return True
