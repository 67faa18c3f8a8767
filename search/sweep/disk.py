"""The disk: a sweep whose disk is full waits instead of failing, and what a sweep takes is
measured.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from core.errors import DiskError
from search.tracking import MODELS_FOLDER

_CHECK_EVERY_S = 1.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 2.0, 300.0
_CHECKPOINTS, _MODEL = "checkpoints", "model"


class DiskSpaceGuard:
    """Open while there is room; shut when free space is below the limit, or when a write has
    failed.

    After a failed write it opens again when the limit is met and some seconds have passed, each
    time twice as many: a quota, or an epoch that needs more than the limit, cannot be seen
    beforehand.
    """

    def __init__(self, folder: Path, min_free_bytes: int, say: Callable[[str], None]) -> None:
        """Watch the disk that a folder is on.

        Args:
            folder: of the sweep.
            min_free_bytes: must be free for a segment of a trial to start; 0 for no limit.
            say: takes what the user should know.
        """
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._say = say
        self._is_open = True
        self._look_again_at_s = 0.0
        self._wait_s = _FIRST_WAIT_S

    def is_open(self) -> bool:
        """Whether something may start; looks at the disk at most once a second."""
        now_s = time.monotonic()
        if now_s >= self._look_again_at_s:
            self._look_again_at_s = now_s + _CHECK_EVERY_S
            has_room = free_bytes(self._folder) >= self._min_free_bytes
            if has_room and not self._is_open:
                self._say("There is room on the disk again; going on.")
                self._is_open = True
            elif not has_room:
                self._close(f"{free_bytes(self._folder) / 1e6:.0f} MB are left")
        return self._is_open

    def shut(self, reason: str) -> None:
        """Close it, because a write failed."""
        self._close(reason)
        self._look_again_at_s = time.monotonic() + self._wait_s
        self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S)

    def note_progress(self) -> None:
        """An epoch was written: the next failed write is a new one."""
        self._wait_s = _FIRST_WAIT_S

    def _close(self, reason: str) -> None:
        if self._is_open:
            needed = f"{self._min_free_bytes / 1e6:.0f} MB are free" if self._min_free_bytes else "there is room"
            self._say(
                f"The disk of {self._folder} is full ({reason}). The sweep is paused, and nothing is lost; it goes on "
                f"by itself when {needed}. Ctrl-C ends it, resumable."
            )
        self._is_open = False


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write to the disk that a folder is on."""
    return shutil.disk_usage(folder).free


def check_disk_space(folder: Path, min_free_bytes: int) -> None:
    """See that there is room before anything starts.

    Raises:
        DiskError: if there is not.
    """
    free = free_bytes(folder)
    if free < min_free_bytes:
        raise DiskError(
            f"`executor.min_free_mb` must be free before a sweep starts: {min_free_bytes / 1e6:,.0f} MB, but {folder} "
            f"has {free / 1e6:,.0f} MB. Make room (old sweeps' folders, models), or lower that key."
        )


@dataclass(frozen=True)
class DiskUse:
    """What a sweep takes of the disk.

    Attributes:
        models_bytes: of the trained models, in the sweep's folder and in MLflow's together.
        checkpoints_bytes: of trials that could go on.
        other_bytes: of ledger, split, pictures, tables and logs.
    """

    models_bytes: int
    checkpoints_bytes: int
    other_bytes: int

    @property
    def total_bytes(self) -> int:
        """Of all together."""
        return self.models_bytes + self.checkpoints_bytes + self.other_bytes

    def __str__(self) -> str:
        """One line.

        >>> str(DiskUse(models_bytes=12_000_000, checkpoints_bytes=0, other_bytes=345_000))
        '12.3 MB on the disk: models 12.0 MB, other files 345.0 kB'
        """
        parts = {"models": self.models_bytes, "checkpoints": self.checkpoints_bytes, "other files": self.other_bytes}
        shown = ", ".join(f"{name} {decimal(size)}" for name, size in parts.items() if size)
        return f"{decimal(self.total_bytes)} on the disk" + (f": {shown}" if shown else "")


def measure_disk(folder: Path, artifacts: Path | None) -> DiskUse:
    """Measure a sweep whose folders are known.

    Args:
        folder: the sweep's, with ledger and trials.
        artifacts: where MLflow keeps the files of its experiment; `None` if that is elsewhere.
    """
    seen: set[tuple[int, int]] = set()
    sizes = {"model": 0, "checkpoint": 0, "other": 0}
    for root in (folder, artifacts):
        for path, status in _files_below(root) if root is not None else ():
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                sizes[_kind(path, is_mlflows=root is artifacts)] += status.st_size
    return DiskUse(sizes["model"], sizes["checkpoint"], sizes["other"])


class FreedBytes:
    """Counts what deleting folders frees: a file with several names, when the last of them goes.

    >>> FreedBytes().add([Path("not there")])
    0
    """

    def __init__(self) -> None:
        self._gone: dict[tuple[int, int], set[str]] = {}

    def add(self, folders: Iterable[Path]) -> int:
        """What deleting these folders frees, once those given before are deleted."""
        n_bytes = 0
        for folder in folders:
            for parts, status in _files_below(folder):
                gone = self._gone.setdefault((status.st_dev, status.st_ino), set())
                before = len(gone)
                gone.add(str(folder.joinpath(*parts)))
                if len(gone) == status.st_nlink > before:
                    n_bytes += status.st_size
        return n_bytes


def folder_bytes(folder: Path) -> int:
    """The size of all files below a folder; 0 if there is none."""
    return sum(status.st_size for _, status in _files_below(folder))


def _files_below(root: Path) -> Iterator[tuple[tuple[str, ...], os.stat_result]]:
    """The parts of each file's way below `root`, and its status; what vanishes meanwhile is left
    out.
    """
    waiting: list[tuple[str, tuple[str, ...]]] = [(str(root), ())]
    while waiting:
        folder, parts = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            below = (*parts, entry.name)
            if entry.is_dir(follow_symlinks=False):
                waiting.append((entry.path, below))
            else:
                try:
                    yield below, entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue


def _kind(parts: tuple[str, ...], is_mlflows: bool) -> str:
    if is_mlflows:
        return "model" if parts[0] == MODELS_FOLDER else "other"
    if _CHECKPOINTS in parts:
        return "checkpoint"
    return "model" if _MODEL in parts[:-1] else "other"
