from search.ledger.events import EpochReported, SegmentEnded, TrialProposed
from search.ledger.state import TrialRecord
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialState
from search.sweep.engine_share import WINDOW, EngineShare


def trial(number: int, ask_s: float, trial_s: float = 10.0, state: TrialState = TrialState.COMPLETED) -> TrialRecord:
    report = EpochReport(1, {"val/loss": 1.0}, n_patches=100, duration_s=trial_s)
    return TrialRecord(
        TrialProposed(0, number, {}, {}, 0, None, 1, ask_s),
        None,
        state,
        reports=(EpochReported(0, number, 1, report, PruningDecision.GO),),
        ended=SegmentEnded(0, number, 1, TrialResult(state)),
        ask_s=ask_s,
    )


def share_of(*trials: TrialRecord) -> EngineShare | None:
    return EngineShare.of({each.number: each for each in trials})


def test_nothing_is_said_of_too_few_trials_or_of_running_ones() -> None:
    assert share_of(trial(0, 9.0), trial(1, 9.0)) is None
    running = [trial(number, 9.0, state=TrialState.RUNNING) for number in range(5)]
    assert share_of(*running) is None


def test_the_latest_trials_count_and_not_the_average_of_all() -> None:
    early, late = [trial(k, 0.01) for k in range(50)], [trial(50 + k, 2.0) for k in range(WINDOW)]
    assert share_of(*early, *late) == EngineShare(ask_s=2.0, trial_s=10.0, early_ask_s=0.01)


def test_a_tenth_of_the_trial_time_is_the_limit() -> None:
    assert not EngineShare(ask_s=1.0, trial_s=10.0, early_ask_s=1.0).is_large
    assert EngineShare(ask_s=1.01, trial_s=10.0, early_ask_s=1.0).is_large


def test_asks_that_nobody_can_notice_are_not_told_however_short_the_trials_are() -> None:
    assert not EngineShare(ask_s=0.05, trial_s=0.001, early_ask_s=0.0).is_large


def test_the_mend_is_told_only_where_asking_has_grown() -> None:
    assert "random search" in str(EngineShare(ask_s=5.0, trial_s=20.0, early_ask_s=0.5))
    assert str(EngineShare(ask_s=5.0, trial_s=20.0, early_ask_s=4.0)) == (
        "asking the engine takes 5 s a trial, 25 % of the trial time"
    )
    assert "more than all" in str(EngineShare(ask_s=5.0, trial_s=0.0, early_ask_s=4.0))
