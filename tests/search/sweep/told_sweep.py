"""Events of a made-up sweep with the trials that they belong to, to tell a tracker of."""

from collections.abc import Mapping
from pathlib import Path

from core.space import Value
from search.ledger.events import (
    AttemptStarted,
    EpochReported,
    LedgerEvent,
    SegmentEnded,
    SweepClosed,
    SweepCreated,
    SweepStatus,
    TrialProposed,
)
from search.ledger.files import reference_file
from search.ledger.state import SweepState, TrialRecord
from search.ledger.trial import EpochReport, FileReference, PruningDecision, TrialResult, TrialState

CREATED = SweepCreated(1_700_000_000_000, "toy-1", "toy", {"name": "toy", "seed": 3}, "", "0.1.0", "abc1234")
POINT: Mapping[str, Value] = {"n_blocks": 3, "learning_rate": 0.001, "batch_norm": True, "pooling": "max"}
N_EPOCHS = 3


def record(
    number: int,
    state: TrialState = TrialState.COMPLETED,
    value: float | None = None,
    attempts: int = 1,
    result: TrialResult | None = None,
) -> TrialRecord:
    """A trial of three epochs after its last one."""
    metrics = {} if value is None else {"val/loss": value, "val/image_top1": 0.5}
    at_ms = CREATED.at_ms + 60_000 * number
    ended = SegmentEnded(at_ms + 30_000, number, attempts, result or TrialResult(state, value, metrics))
    return TrialRecord(
        TrialProposed(at_ms, number, POINT, POINT, 100 + number, None, N_EPOCHS),
        until_epoch=None,
        state=state,
        starts=tuple(_start(number, attempt, N_EPOCHS) for attempt in range(1, attempts + 1)),
        reports=tuple(_report(number, epoch, 1, PruningDecision.GO) for epoch in range(1, N_EPOCHS + 1)),
        ended=None if state is TrialState.RUNNING else ended,
    )


def started(number: int, attempt: int = 1) -> tuple[AttemptStarted, TrialRecord]:
    """The start of an attempt."""
    trial = record(number, TrialState.RUNNING, attempts=attempt)
    return trial.starts[-1], trial


def epoch(
    number: int, epoch_number: int, attempt: int = 1, is_pause: bool = False
) -> tuple[list[EpochReported], TrialRecord]:
    """The end of an epoch, after which the trial may wait."""
    event = _report(number, epoch_number, attempt, PruningDecision.PAUSE if is_pause else PruningDecision.GO)
    return [event], record(number, TrialState.RUNNING, attempts=attempt)


def ended(
    number: int,
    state: TrialState = TrialState.COMPLETED,
    value: float | None = None,
    model: Path | None = None,
    artifacts: Mapping[str, Path] | None = None,
) -> tuple[SegmentEnded, TrialRecord]:
    """The end of a trial."""
    if state is TrialState.COMPLETED and value is None:
        value = 1.0 + number
    failed = state is TrialState.FAILED
    result = TrialResult(
        state,
        value=value,
        metrics={} if value is None else {"val/loss": value, "val/image_top1": 0.5},
        artifacts={name: reference_file(path) for name, path in (artifacts or {}).items()},
        model=None if model is None else _reference(model),
        n_parameters=12,
        reason="the loss is not a number" if failed else "",
        traceback="Traceback (most recent call last):\n  ..." if failed else "",
    )
    trial = record(number, state, value, result=result)
    assert trial.ended is not None
    return trial.ended, trial


def sweep_state(*trials: TrialRecord) -> SweepState:
    """A sweep with these trials, whose numbers count up from 0."""
    events: list[LedgerEvent] = [CREATED]
    for trial in trials:
        events += [trial.proposed, *trial.starts, *trial.reports, *([trial.ended] if trial.ended else [])]
    return SweepState.fold(events)


def closed(status: SweepStatus) -> SweepClosed:
    """The end of a launch."""
    return SweepClosed(CREATED.at_ms + 3_600_000, status, "the budget is used up")


def _start(number: int, attempt: int, until_epoch: int) -> AttemptStarted:
    return AttemptStarted(CREATED.at_ms + 60_000 * number, number, attempt, 0, until_epoch, 1, "float32", 1)


def _report(number: int, epoch_number: int, attempt: int, decision: PruningDecision) -> EpochReported:
    metrics = {"train/loss": 2.0 / epoch_number, "val/loss": 3.0 / epoch_number, "system/rss_mb": 300.0}
    report = EpochReport(epoch_number, metrics, n_patches=100, duration_s=2.0)
    return EpochReported(CREATED.at_ms + 60_000 * number + 1000 * epoch_number, number, attempt, report, decision)


def _reference(folder: Path) -> FileReference:
    return reference_file(folder) if folder.exists() else FileReference(folder, "0" * 64, 0)
