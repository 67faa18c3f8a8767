"""What a sweep tells whoever keeps or shows its record, such as the MLflow tracker."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from core.space import Point
from search.ledger.events import SweepStatus
from search.ledger.trial import EpochReport, TrialResult, TrialState


@dataclass(frozen=True)
class SweepStarted:
    """A sweep was launched, for the first time or again.

    Attributes:
        sweep_id: unique, also among sweeps that had the same name.
        name: as the user calls it.
        config: the whole experiment as plain values, as it was when the sweep was created.
        version: of whosehand, at creation.
        git_commit: at creation; empty outside a repository.
        seed: of the sweep.
        objective: name of the metric that is searched for.
        direction: whether low or high values are better.
        created_ms: Unix time of the creation, the same at every launch.
        launched_ms: Unix time of this launch.
        n_launches: counted with this one.
    """

    sweep_id: str
    name: str
    config: Mapping[str, Any]
    version: str
    git_commit: str
    seed: int
    objective: str
    direction: Literal["minimize", "maximize"]
    created_ms: int
    launched_ms: int
    n_launches: int


@dataclass(frozen=True)
class TrialStarted:
    """A worker started on a trial, or on a further part of it.

    Attributes:
        number: the trial's number in the sweep.
        attempt: counted from 1, one more at every start: after a pause, a lost worker or a resumed sweep.
        hyperparameters: every hyperparameter, the fixed ones and the defaults among them.
        seed: of the trial.
        start_epoch: epochs already done.
        until_epoch: where this part ends at the latest.
        horizon_epochs: the full length of the fit.
        threads: of TensorFlow's inner operations.
        precision: `float32` or `mixed_bfloat16`.
        first_started_ms: Unix time of the first attempt's start.
        at_ms: Unix time of this attempt's start.
    """

    number: int
    attempt: int
    hyperparameters: Point
    seed: int
    start_epoch: int
    until_epoch: int
    horizon_epochs: int
    threads: int
    precision: str
    first_started_ms: int
    at_ms: int


@dataclass(frozen=True)
class EpochEnded:
    """An epoch's report and the answer to it.

    Attributes:
        number: the trial's number in the sweep.
        attempt: in which the epoch was trained.
        report: as the worker sent it.
        is_pause: whether the trial now waits: the engine said so, or its part ends here and the trial does not.
        at_ms: Unix time at which the ledger took it down; use it as the metrics' timestamp.
    """

    number: int
    attempt: int
    report: EpochReport
    is_pause: bool
    at_ms: int


@dataclass(frozen=True)
class TrialSummary:
    """Where a trial stands, for leaderboards.

    Attributes:
        number: the trial's number in the sweep.
        state: RUNNING for one that an interrupted sweep left to go on.
        value: the objective's value; `None` unless COMPLETED.
        metrics: the final scores, or the last epoch's where there are none.
        hyperparameters: every hyperparameter.
        seed: of the trial.
        n_epochs: done.
        n_patches: trained.
        duration_s: of all its epochs together.
        attempts: starts so far.
        n_lost: workers that died on it.
        reason: of the end, one line.
    """

    number: int
    state: TrialState
    value: float | None
    metrics: Mapping[str, float]
    hyperparameters: Point
    seed: int
    n_epochs: int
    n_patches: int
    duration_s: float
    attempts: int
    n_lost: int
    reason: str


@dataclass(frozen=True)
class TrialEnded:
    """A trial is COMPLETED, PRUNED or FAILED, and nothing more will happen to it.

    Attributes:
        number: the trial's number in the sweep.
        result: as the worker sent it; made by the driver for a trial whose workers were lost.
        summary: the trial over all its attempts.
        first_started_ms: Unix time of the first attempt's start.
        at_ms: Unix time of the end.
    """

    number: int
    result: TrialResult
    summary: TrialSummary
    first_started_ms: int
    at_ms: int


@dataclass(frozen=True)
class SweepEnded:
    """A launch of the sweep is over.

    Attributes:
        status: how.
        reason: one line, such as the budget that is used up.
        trials: all of the sweep, by number; those of earlier launches among them.
        best: number of the best COMPLETED trial; `None` where there is none.
        at_ms: Unix time.
    """

    status: SweepStatus
    reason: str
    trials: tuple[TrialSummary, ...]
    best: int | None
    at_ms: int


class SweepObserver(Protocol):
    """Keeps the record of a sweep somewhere else. All methods are idempotent.

    Called from one thread of its own, in the ledger's order, after workers got their answers: a slow observer delays
    nobody. A `WhosehandError` from `start_sweep` ends the sweep before any trial starts; from the other methods it
    becomes a warning, and what was not kept is told again at the end of the launch and at the next one.
    """

    def start_sweep(self, event: SweepStarted) -> None:
        """Make the sweep's record, or find it and mark it running again."""
        ...

    def trial_started(self, event: TrialStarted) -> None:
        """Make the trial's record, or find it and mark it running again."""
        ...

    def epoch_ended(self, event: EpochEnded) -> None:
        """Add an epoch's metrics."""
        ...

    def trial_ended(self, event: TrialEnded) -> None:
        """Add scores, files and model, and close the trial's record. When this returns, the trial is tracked."""
        ...

    def end_sweep(self, event: SweepEnded) -> None:
        """Bring the sweep's own record up to date and close it.

        Trials that are PAUSED or still RUNNING (they go on at the next launch) have open records.
        """
        ...


class NullObserver:
    """Keeps nothing."""

    def start_sweep(self, event: SweepStarted) -> None:
        """Do nothing."""

    def trial_started(self, event: TrialStarted) -> None:
        """Do nothing."""

    def epoch_ended(self, event: EpochEnded) -> None:
        """Do nothing."""

    def trial_ended(self, event: TrialEnded) -> None:
        """Do nothing."""

    def end_sweep(self, event: SweepEnded) -> None:
        """Do nothing."""
