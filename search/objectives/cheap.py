"""An objective that costs next to nothing, for tests of the sweep's protocol and measurements of
its cost.

It has all that a real one has (epochs, checkpoints that it must go on from, a value that depends on
the hyperparameters and falls with the epochs, a model folder, failures), and no TensorFlow.
"""

import json
import math
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from core.durable_files import write_atomically
from core.errors import CheckpointError, LineStoreError, TrainingError
from search.ledger.files import reference_file
from search.ledger.trial import (
    CHECKPOINT_FOLDER,
    EpochReport,
    FileReference,
    PruningDecision,
    ReportEpoch,
    TrialResult,
    TrialSpec,
    TrialState,
)

PRELOAD: tuple[str, ...] = ()
"""Modules that a forkserver imports once for all workers, besides this one."""
METRIC = "val/loss"


@dataclass(frozen=True)
class CheapSettings:
    """How the cheap objective behaves.

    Attributes:
        seconds_per_epoch: how long an epoch takes.
        patches_per_epoch: how many it claims to have trained.
        failing: numbers of trials that raise in their second epoch.
        nan: numbers of trials whose value is not a number.
        huge: numbers of trials whose value is 1e300.
        dying: numbers of trials whose worker kills itself in the second epoch of the first attempt.
        always_dying: the same, at every attempt.
        hanging: numbers of trials whose worker falls silent in the second epoch of the first
            attempt.
        hungry: numbers of trials that take `hungry_bytes` of memory in their second epoch.
        hungry_bytes: how many.
        unreadable: a file that stands for damaged data: as long as it is there, no trial gets
            beyond its first epoch.
        keeps_checkpoints: whether epochs leave a checkpoint.
    """

    seconds_per_epoch: float = 0.0
    patches_per_epoch: int = 100
    failing: frozenset[int] = frozenset()
    nan: frozenset[int] = frozenset()
    huge: frozenset[int] = frozenset()
    dying: frozenset[int] = frozenset()
    always_dying: frozenset[int] = frozenset()
    hanging: frozenset[int] = frozenset()
    hungry: frozenset[int] = frozenset()
    hungry_bytes: int = 0
    unreadable: Path | None = None
    keeps_checkpoints: bool = True


def train_cheaply(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Follow the protocol of `search.ledger.trial.Objective` on an analytic function.

    The loss after an epoch is the loss before plus a term of point, seed and epoch, so that only a
    trial that goes on from its true last state ends at the value of an uninterrupted one.
    """
    settings = _settings(spec)
    loss = _read_checkpoint(spec)
    for epoch in range(spec.start_epoch + 1, spec.until_epoch + 1):
        started_s = time.monotonic()
        time.sleep(settings.seconds_per_epoch)
        _misbehave(spec, epoch)
        loss += _loss_step(spec, epoch)
        metrics = {METRIC: math.nan if spec.number in settings.nan else loss, "train/loss": 2 * loss}
        checkpoint = _write_checkpoint(spec, epoch, loss) if settings.keeps_checkpoints else None
        duration_s = time.monotonic() - started_s
        decision = report_epoch(EpochReport(epoch, metrics, settings.patches_per_epoch, duration_s, checkpoint))
        if decision is PruningDecision.PAUSE:
            return TrialResult(state=TrialState.PAUSED, metrics=metrics)
        if decision is PruningDecision.STOP:
            return TrialResult(state=TrialState.PRUNED, metrics=metrics, reason="stopped by the engine")
    if spec.until_epoch < spec.horizon_epochs:
        return TrialResult(state=TrialState.PAUSED, metrics={METRIC: loss})
    value = math.nan if spec.number in settings.nan else 1e300 if spec.number in settings.huge else loss
    return TrialResult(TrialState.COMPLETED, value, {METRIC: value}, model=_write_model(spec, loss), n_parameters=1)


def _settings(spec: TrialSpec) -> CheapSettings:
    """Those of the spec, or the defaults where an experiment file names this objective."""
    return spec.settings if isinstance(spec.settings, CheapSettings) else CheapSettings()


def _loss_step(spec: TrialSpec, epoch: int) -> float:
    distance = sum((value - 0.3) ** 2 for value in spec.hyperparameters.values() if isinstance(value, int | float))
    return (distance + 1e-6 * (spec.seed % 1000)) / epoch


def _misbehave(spec: TrialSpec, epoch: int) -> None:
    settings = _settings(spec)
    if epoch != 2:
        return
    if spec.number in settings.failing:
        raise TrainingError(f"The loss must be a number, but trial {spec.number} was told to fail in {epoch=}.")
    if settings.unreadable is not None and settings.unreadable.exists():
        raise LineStoreError(f"Lines must be readable, but {settings.unreadable} is there.")
    if spec.number in settings.hungry:
        bytearray(b"x") * settings.hungry_bytes  # written to, so that it is really taken
    if spec.number in settings.hanging and spec.attempt == 1:
        time.sleep(3600)
    if spec.number in settings.always_dying or (spec.number in settings.dying and spec.attempt == 1):
        print("about to die", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


def _read_checkpoint(spec: TrialSpec) -> float:
    if spec.checkpoint is None:
        return 0.0
    held = json.loads(spec.checkpoint.path.read_text())
    if held["epoch"] != spec.start_epoch:
        raise CheckpointError(f"The checkpoint must be of epoch {spec.start_epoch}, but got {held['epoch']}.")
    return float(held["loss"])


def _write_checkpoint(spec: TrialSpec, epoch: int, loss: float) -> FileReference:
    path = spec.work_dir / CHECKPOINT_FOLDER / f"epoch-{epoch}.json"
    return _write_json(path, {"epoch": epoch, "loss": loss, "pid": os.getpid()})


def _write_model(spec: TrialSpec, loss: float) -> FileReference:
    write_atomically(spec.work_dir / "model" / "MLmodel", b"flavors: {}\n")
    _write_json(spec.work_dir / "model" / "model.json", {"loss": loss})
    return reference_file(spec.work_dir / "model")


def _write_json(path: Path, content: dict[str, float]) -> FileReference:
    write_atomically(path, json.dumps(content).encode())
    return reference_file(path)
