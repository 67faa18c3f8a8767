"""How much of the disk a sweep takes, each file counted once however many names it has."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from search.experiment.workspace import Workspace
from search.sweep.known_sweeps import KnownSweep
from search.tracking.model_folder import MODELS_FOLDER, local_folder
from search.tracking.store import TrackingStore, locate_store

_CHECKPOINTS, _MODEL = "checkpoints", "model"


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


def disk_use(sweep: KnownSweep, workspace: Workspace) -> DiskUse:
    """Measure a sweep's folder and, where MLflow keeps its files on this machine, those too.

    Args:
        sweep: running or not.
        workspace: where its records are.
    """
    store = locate_store(sweep.experiment.tracking, workspace.root)
    return measure_disk(sweep.folder, artifact_folder(store, sweep.experiment.name))


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


def artifact_folder(store: TrackingStore, experiment: str) -> Path | None:
    """Where MLflow keeps the files of an experiment, or `None` if that is not on this machine."""
    location = None if store.is_server else store.artifact_location(experiment)
    return None if location is None else local_folder(location)


class FreedBytes:
    """Counts what deleting folders frees: a file with several names, when the last of them goes.

    >>> FreedBytes().add([Path("not there")])
    0
    """

    def __init__(self) -> None:
        self._gone: dict[tuple[int, int], set[str]] = {}

    def add(self, folders: Iterable[Path]) -> int:
        """What deleting these folders frees, all those before being deleted."""
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
    """The parts of each file's way below `root`, and its status; what vanishes meanwhile is left out."""
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
