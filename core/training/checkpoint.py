"""The exact state of a fit after an epoch, as one file: from it a fit goes on as if it had never
stopped.
"""

import contextlib
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.crash_points import crash_point
from core.durable_files import sync_folder
from core.errors import CheckpointError

FORMAT = 1
N_KEPT = 2  # the latest, and the one before in case the machine dies while the ledger learns of the latest
_GROUPS = ("model", "optimizer", "best", "average")
_NAME = re.compile(r"epoch-\d{5,}\.npz")


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint on disk, named by what is in it.

    Attributes:
        path: of the file.
        sha256: of its bytes, in hex.
        size_bytes: its length.
    """

    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True, eq=False)
class FitState:
    """All that a fit must know to go on bit-equal, at the same number of threads and precision.

    Attributes:
        fit_id: hash of what defines the fit, see `fit_identity`.
        epoch: epochs done; the next batch is the first one of the feed's epoch of this number,
            counted from 0.
        seed: of the fit.
        threads: of TensorFlow's inner operations when this was written.
        precision: `float32` or `mixed_bfloat16` when this was written.
        model: all variables of the network, the random state of dropout among them.
        optimizer: all variables of the optimizer, the number of steps among them.
        best: the network's variables after the best epoch, their mean where that is kept; empty
            before the first.
        best_epoch: counted from 1; 0 before the first.
        best_metrics: of that epoch.
        n_epochs_without_better: since the best epoch.
        average: the running mean of the network's variables; empty where none is kept.
    """

    fit_id: str
    epoch: int
    seed: int
    threads: int
    precision: str
    model: Sequence[NDArray[Any]]
    optimizer: Sequence[NDArray[Any]]
    best: Sequence[NDArray[Any]] = ()
    best_epoch: int = 0
    best_metrics: Mapping[str, float] = field(default_factory=dict)
    n_epochs_without_better: int = 0
    average: Sequence[NDArray[Any]] = ()


def fit_identity(definition: Mapping[str, Any]) -> str:
    """Hash what defines a fit: a JSON-able mapping of hyperparameters, seeds, horizon and so on."""
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()


def save_checkpoint(state: FitState, folder: Path) -> CheckpointFile:
    """Write `epoch-<n>.npz`, whole or not at all, and remove all but the latest two of the folder.

    Raises:
        CheckpointError: if the folder cannot be written.
    """
    path = folder / f"epoch-{state.epoch:05d}.npz"
    part = path.with_suffix(f".{os.getpid()}.part")
    arrays = {f"{group}/{i:04d}": array for group in _GROUPS for i, array in enumerate(getattr(state, group))}
    plain = {f.name: getattr(state, f.name) for f in fields(state) if f.name not in _GROUPS}
    plain |= {"format": FORMAT, "best_metrics": dict(state.best_metrics)}
    header = np.frombuffer(json.dumps(plain).encode(), dtype=np.uint8)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("w+b") as file:
            np.savez(file, allow_pickle=False, state=header, **arrays)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        crash_point("file-written-aside")
        part.replace(path)
        crash_point("file-renamed")
        sync_folder(folder)
        _remove_older(folder, state.epoch)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise CheckpointError(f"A checkpoint must be written to {folder}, but that failed: {error}.") from error
    return CheckpointFile(path, sha256, path.stat().st_size)


def load_checkpoint(path: Path, sha256: str | None = None) -> FitState:
    """Read a checkpoint.

    Args:
        path: of the file.
        sha256: its expected hash, where it is known.

    Raises:
        CheckpointError: if the file is missing, damaged, of another content or format.
    """
    try:
        if sha256 is not None:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != sha256:
                raise CheckpointError(f"{path} must have the hash {sha256}, but has {found}; it was changed.")
        with np.load(path, allow_pickle=False) as archive:  # zip's own checksums find damage
            plain = json.loads(archive["state"].tobytes())
            if plain.pop("format", None) != FORMAT:
                raise CheckpointError(f"{path} must be a checkpoint of format {FORMAT}; it is of another version.")
            groups: dict[str, Any] = {group: _arrays(archive, group) for group in _GROUPS}
        return FitState(**plain, **groups)
    except FileNotFoundError:
        raise CheckpointError(f"A checkpoint must exist, but {path} does not.") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is damaged ({error}); go on from an earlier checkpoint.") from error


def _arrays(archive: Mapping[str, NDArray[Any]], group: str) -> list[NDArray[Any]]:
    return [archive[name] for name in sorted(archive) if name.startswith(f"{group}/")]


def latest_checkpoint(folder: Path) -> Path | None:
    """That of the highest epoch in a folder; `None` where there is none."""
    return max(_checkpoints(folder), key=_epoch_of, default=None)


def _checkpoints(folder: Path) -> list[Path]:
    """In the order of their epochs."""
    return sorted((path for path in folder.glob("epoch-*.npz") if _NAME.fullmatch(path.name)), key=_epoch_of)


def _epoch_of(path: Path) -> int:
    return int(path.stem.removeprefix("epoch-"))


def _remove_older(folder: Path, epoch: int) -> None:
    for path in _checkpoints(folder):
        if _epoch_of(path) <= epoch - N_KEPT:
            path.unlink(missing_ok=True)
    for path in folder.glob("epoch-*.part"):  # of a process that was killed while it wrote
        path.unlink(missing_ok=True)
