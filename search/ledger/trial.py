"""What travels between the sweep's driver and its workers: small, picklable, with no framework
inside.

Tells apart what made a trial fail, as far as it decides what happens next.
"""

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from core.errors import CorpusError, ImageError, LineStoreError, SplitError
from core.space import Point

CHECKPOINT_FOLDER = "checkpoints"
"""In an attempt's folder; deleted with all that is in it when the trial has ended and is
tracked.
"""


class PruningDecision(StrEnum):
    """The answer to an epoch's report."""

    GO = "go"  # train the next epoch
    PAUSE = "pause"  # end here; the trial may go on from its checkpoint later
    STOP = "stop"  # end here for good: pruned


class TrialState(StrEnum):
    """Where a trial stands."""

    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    PRUNED = "pruned"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the trial."""
        return self in (TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED)


class FailureKind(StrEnum):
    """What made a trial fail, as far as it decides what happens next."""

    ERROR = "error"  # its own: a loss that is no number, a network that cannot be built; it counts as failed
    WORKER_LOST = "worker lost"  # tried again from the checkpoint, a few times
    NODE_LOST = "node lost"  # tried again from the checkpoint elsewhere: no fault of the trial's
    OUT_OF_MEMORY = "out of memory"  # counts as failed at once: it would need as much again
    BAD_DATA = "bad data"  # concerns all trials: the sweep stops, and this trial goes on at the next launch
    DISK_FULL = "disk full"  # the sweep, or the node, waits for room, and this trial goes on then


@dataclass(frozen=True)
class FileReference:
    """A file or folder that a worker left behind, named by what is in it.

    Attributes:
        path: where it lies; a folder for a saved model.
        sha256: of the bytes; for a folder, of its files' relative names and bytes in sorted order.
        size_bytes: of all files together.
    """

    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class EpochReport:
    """What one epoch gave.

    Attributes:
        epoch: counted from 1; `epoch` epochs are done and in `checkpoint`.
        metrics: scores by name, such as `val/image_logloss`.
        n_patches: trained in this epoch.
        duration_s: of training and validation of this epoch.
        checkpoint: the exact state after this epoch; `None` for objectives that have none.
        seconds: by what they went into: `steps`, `validation` and `checkpoint`, as far as the
            objective divides its epoch; `start` before an attempt's first epoch; `waiting` for the
            answer to the epoch before. Empty in ledgers of version 0.1.
    """

    epoch: int
    metrics: Mapping[str, float]
    n_patches: int
    duration_s: float
    checkpoint: FileReference | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialSpec:
    """All that a worker must know to train a trial, or a further part of it.

    Attributes:
        sweep_id: the sweep.
        number: the trial's number in the sweep, from 0; ours, not the engine's.
        attempt: counted from 1, one more at every start of a worker: after a pause, a loss, a
            resumed sweep.
        objective: import path `module:name` of a callable that fits `Objective`.
        hyperparameters: every hyperparameter, the fixed ones and the defaults among them.
        seed: of this trial; the same for all its attempts.
        start_epoch: epochs already done, held in `checkpoint`; 0 where no intact checkpoint is
            left.
        until_epoch: stop (as PAUSED) when this many epochs are done, unless it is the horizon. May
            equal `start_epoch` after a loss: then no epoch is trained, and only the end is still to
            be made.
        horizon_epochs: the full length of the fit; the learning-rate schedule runs over it.
        threads: of TensorFlow's inner operations.
        precision: `float32` or `mixed_bfloat16`.
        checkpoint: to go on from; `None` at the start.
        work_dir: where this attempt may write; the path contains trial and attempt.
        settings: what the objective needs besides: a frozen, picklable dataclass of its own.
        history: the scores of the epochs done, in order, as far as they are known: a trial may go
            on where no file of its earlier attempts lies.
    """

    sweep_id: str
    number: int
    attempt: int
    objective: str
    hyperparameters: Point
    seed: int
    start_epoch: int
    until_epoch: int
    horizon_epochs: int
    threads: int
    precision: str
    checkpoint: FileReference | None
    work_dir: Path
    settings: Any
    history: tuple[Mapping[str, float], ...] = ()

    @classmethod
    def of_task(
        cls, objective: str, settings: Any, work_dir: Path, *, precision: str, seed: int, threads: int
    ) -> "TrialSpec":
        """Work for a worker outside of any sweep, with no epochs to report. Arguments as the
        attributes.
        """
        return cls(
            sweep_id="task",
            number=0,
            attempt=1,
            objective=objective,
            hyperparameters={},
            seed=seed,
            start_epoch=0,
            until_epoch=0,
            horizon_epochs=0,
            threads=threads,
            precision=precision,
            checkpoint=None,
            work_dir=work_dir,
            settings=settings,
        )


@dataclass(frozen=True)
class TrialResult:
    """How a worker's part of a trial ended.

    Attributes:
        state: COMPLETED (the horizon, or early stopping, was reached), PAUSED, PRUNED or FAILED.
        value: the objective's value, lower or higher is better as the experiment says; `None`
            unless COMPLETED.
        metrics: final scores by name.
        artifacts: files for the tracking store, by artifact path (such as `confusion/matrix.png`).
        model: folder of the saved MLflow model; `None` where none was made.
        n_parameters: trainable weights of the model, 0 where that has no meaning.
        reason: for FAILED, one line; for COMPLETED before the horizon, why.
        traceback: for FAILED, where there is one.
        failure: for FAILED, of what kind.
        seconds: after the last epoch, by what they went into: `scores`, `pictures`, `saving`, and
            `waiting` for the last answer.
    """

    state: TrialState
    value: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: Mapping[str, FileReference] = field(default_factory=dict)
    model: FileReference | None = None
    n_parameters: int = 0
    reason: str = ""
    traceback: str = ""
    failure: FailureKind | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


ReportEpoch = Callable[[EpochReport], PruningDecision]
"""Hands a report to the driver and waits for its answer."""


class Objective(Protocol):
    """Trains one trial. Runs in a worker process of its own.

    A function with this signature; on a verdict other than GO it returns at once with the matching
    state. What it raises as a `WhosehandError` or as anything else is recorded as FAILED with the
    traceback.
    """

    def __call__(self, spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
        """Train from `spec.start_epoch` to `spec.until_epoch`, with one report after every
        epoch.
        """
        ...


DATA_ERRORS = (CorpusError, ImageError, LineStoreError, SplitError)
"""What concerns all trials alike: corpus, line store and split are the same for each."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_OUT_OF_MEMORY = ("MemoryError", "ResourceExhaustedError")  # Python's, NumPy's (a subclass), TensorFlow's


def kind_of(error: BaseException) -> FailureKind:
    """Say what kind of failure an exception is, by itself or by what caused it."""
    chain = list(_chain(error))
    if any(is_disk_full(each) for each in chain):
        return FailureKind.DISK_FULL
    if any(base.__name__ in _OUT_OF_MEMORY for each in chain for base in type(each).__mro__):
        return FailureKind.OUT_OF_MEMORY
    if any(isinstance(each, DATA_ERRORS) for each in chain):
        return FailureKind.BAD_DATA
    return FailureKind.ERROR


def is_disk_full(error: BaseException) -> bool:
    """Whether a write failed because the disk, or the user's quota, is used up."""
    return (isinstance(error, OSError) and error.errno in _FULL) or "No space left on device" in str(error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those that it came from."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__
