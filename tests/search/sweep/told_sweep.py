"""Events of a made-up sweep, to tell a tracker of."""

from collections.abc import Mapping
from pathlib import Path

from core.space import Value
from search.ledger.events import SweepStatus
from search.ledger.files import reference_file
from search.ledger.trial import EpochReport, FileReference, TrialResult, TrialState
from search.sweep.observer import EpochEnded, SweepEnded, SweepStarted, TrialEnded, TrialStarted, TrialSummary

SWEEP = SweepStarted(
    sweep_id="toy-1",
    name="toy",
    config={"name": "toy", "seed": 3},
    version="0.1.0",
    git_commit="abc1234",
    seed=3,
    objective="val/loss",
    direction="minimize",
    created_ms=1_700_000_000_000,
    launched_ms=1_700_000_000_000,
    n_launches=1,
)
POINT: Mapping[str, Value] = {"n_blocks": 3, "learning_rate": 0.001, "batch_norm": True, "pooling": "max"}


def started(number: int, attempt: int = 1, point: Mapping[str, Value] = POINT) -> TrialStarted:
    at_ms = SWEEP.created_ms + 60_000 * number
    return TrialStarted(number, attempt, point, 100 + number, 0, 3, 3, 1, "float32", at_ms, at_ms)


def epoch(number: int, epoch_number: int, attempt: int = 1, is_pause: bool = False) -> EpochEnded:
    metrics = {"train/loss": 2.0 / epoch_number, "val/loss": 3.0 / epoch_number, "system/rss_mb": 300.0}
    report = EpochReport(epoch_number, metrics, n_patches=100, duration_s=2.0)
    return EpochEnded(number, attempt, report, is_pause, SWEEP.created_ms + 60_000 * number + 1000 * epoch_number)


def summary(number: int, state: TrialState, value: float | None, attempts: int = 1) -> TrialSummary:
    metrics = {} if value is None else {"val/loss": value, "val/image_top1": 0.5}
    return TrialSummary(number, state, value, metrics, POINT, 100 + number, 3, 300, 6.0, attempts, 0, "")


def ended(
    number: int,
    state: TrialState = TrialState.COMPLETED,
    value: float | None = None,
    model: Path | None = None,
    artifacts: Mapping[str, Path] | None = None,
) -> TrialEnded:
    if state is TrialState.COMPLETED and value is None:
        value = 1.0 + number
    failed = state is TrialState.FAILED
    told = summary(number, state, value)
    result = TrialResult(
        state,
        value=value,
        metrics=told.metrics,
        artifacts={name: reference_file(path) for name, path in (artifacts or {}).items()},
        model=None if model is None else _reference(model),
        n_parameters=12,
        reason="the loss is not a number" if failed else "",
        traceback="Traceback (most recent call last):\n  ..." if failed else "",
    )
    at_ms = SWEEP.created_ms + 60_000 * number
    return TrialEnded(number, result, told, at_ms, at_ms + 30_000)


def sweep_ended(status: SweepStatus, *trials: TrialSummary, best: int | None = None) -> SweepEnded:
    return SweepEnded(status, "the budget is used up", trials, best, SWEEP.created_ms + 3_600_000)


def _reference(folder: Path) -> FileReference:
    return reference_file(folder) if folder.exists() else FileReference(folder, "0" * 64, 0)
