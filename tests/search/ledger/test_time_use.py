"""Worker time by what it went into: sums to all of it, also where a ledger does not divide it."""

import pytest

from search.ledger.events import (
    AttemptLost,
    AttemptStarted,
    EpochReported,
    Launched,
    LedgerEvent,
    SegmentEnded,
    SweepClosed,
    SweepCreated,
    TrialProposed,
)
from search.ledger.state import SweepState
from search.ledger.time_use import NO_TRIAL, OTHER, UNDIVIDED, read_time_use, trial_time
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialState

BEGINNING: tuple[LedgerEvent, ...] = (
    SweepCreated(0, "id", "sweep", {}, "", "0.2.0", ""),
    Launched(0, "host", 1, n_workers=2, threads=1, precision="float32"),
    TrialProposed(0, 0, {}, {}, 1, None, 2),
    AttemptStarted(1_000, 0, 1, 0, 2, 1, "float32", 7),
)


def reported(at_ms: int, epoch: int, attempt: int = 1, **seconds: float) -> EpochReported:
    report = EpochReport(epoch, {"loss": 1.0}, 100, 10.0, seconds=seconds)
    return EpochReported(at_ms, 0, attempt, report, PruningDecision.GO)


def ended(at_ms: int, attempt: int = 1, **seconds: float) -> SegmentEnded:
    return SegmentEnded(at_ms, 0, attempt, TrialResult(TrialState.COMPLETED, 1.0, seconds=seconds))


def closed(at_ms: int) -> SweepClosed:
    return SweepClosed(at_ms, "completed", "")


def test_parts_of_all_workers_sum_to_their_time() -> None:
    first = reported(13_000, 1, start=2.0, steps=8.0, validation=1.5, checkpoint=0.5)
    second = reported(23_200, 2, waiting=0.2, steps=8.0, validation=1.5, checkpoint=0.5)
    end = ended(25_000, scores=1.0, pictures=0.4, saving=0.2, waiting=0.1)
    use = read_time_use(SweepState.fold((*BEGINNING, first, second, end, closed(30_000))))
    assert use.is_recorded
    assert use.trials[0] == pytest.approx(
        {
            "start": 2.0,
            "steps": 16.0,
            "validation": 3.0,
            "checkpoint": 1.0,
            "waiting": 0.3,
            "scores": 1.0,
            "pictures": 0.4,
            "saving": 0.2,
            OTHER: 0.1,
        }
    )
    assert use.total[NO_TRIAL] == pytest.approx(2 * 30 - 24)
    assert sum(use.total.values()) == pytest.approx(60)
    assert str(use).startswith("no trial 60 %, steps 27 %, validation 5.0 %")


def test_a_ledger_of_before_says_that_its_epochs_are_not_divided() -> None:
    use = read_time_use(SweepState.fold((*BEGINNING, reported(13_000, 1), reported(23_000, 2), ended(25_000))))
    assert not use.is_recorded
    assert use.trials[0] == pytest.approx({UNDIVIDED: 20.0, OTHER: 4.0})
    assert "not recorded" in str(use)


def test_the_time_of_a_lost_worker_counts_up_to_its_loss_or_its_last_report() -> None:
    lost = AttemptLost(16_000, 0, 1, None, "killed")
    again = AttemptStarted(20_000, 0, 2, 1, 2, 1, "float32", 8)
    state = SweepState.fold((*BEGINNING, reported(13_000, 1), lost, again, reported(31_000, 2, 2), ended(32_000, 2)))
    assert state.trials[0].worker_s == pytest.approx(15 + 12)
    state = SweepState.fold((*BEGINNING, reported(13_000, 1), again, reported(31_000, 2, 2), ended(32_000, 2)))
    assert state.trials[0].worker_s == pytest.approx(12 + 12), "a killed launch says nothing of its workers' end"


def test_before_there_is_a_trial_nothing_is_said() -> None:
    assert str(read_time_use(SweepState())) == ""
    assert str(trial_time(SweepState.fold(BEGINNING).trials[0])) == ""
