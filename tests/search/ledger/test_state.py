from collections import Counter

import pytest

from core.errors import LedgerError
from search.ledger.events import (
    AttemptLost,
    AttemptStarted,
    EpochReported,
    Launched,
    LedgerEvent,
    SegmentEnded,
    SweepClosed,
    SweepCreated,
    TrialContinued,
    TrialProposed,
    TrialTracked,
)
from search.ledger.state import SweepState
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialState

CREATED = SweepCreated(0, "s-1", "s", {}, "", "", "")


def launched(at_ms: int) -> Launched:
    return Launched(at_ms, "host", 1, 1, 1, "float32")


def proposed(number: int) -> TrialProposed:
    return TrialProposed(0, number, {"x": 1}, {"x": 1}, 0, None, 4)


def reported(
    number: int, epoch: int, attempt: int = 1, decision: PruningDecision = PruningDecision.GO
) -> EpochReported:
    return EpochReported(0, number, attempt, EpochReport(epoch, {"loss": epoch}, 10, 2.0), decision)


def started(number: int, attempt: int, start_epoch: int = 0) -> AttemptStarted:
    return AttemptStarted(0, number, attempt, start_epoch, 4, 1, "float32", 1)


def ended(number: int, value: float | None = None, state: TrialState = TrialState.COMPLETED) -> SegmentEnded:
    return SegmentEnded(0, number, 1, TrialResult(state, value))


def test_elapsed_time_leaves_out_the_pauses_between_launches() -> None:
    events: list[LedgerEvent] = [CREATED, launched(1_000), SweepClosed(5_000, "interrupted", ""), launched(100_000)]
    state = SweepState.fold(events)
    assert state.elapsed_s(at_ms=103_000) == 7


def test_elapsed_time_can_be_asked_for_any_moment_of_the_past() -> None:
    events: list[LedgerEvent] = [CREATED, launched(1_000), SweepClosed(5_000, "interrupted", ""), launched(100_000)]
    state = SweepState.fold(events)
    moments_ms = (500, 2_500, 5_000, 60_000, 100_000, 101_000)
    assert [state.elapsed_s(at_ms) for at_ms in moments_ms] == [0, 1.5, 4, 4, 4, 5]
    assert SweepState.fold([CREATED]).elapsed_s(9_000) == 0


def test_the_time_of_asking_is_summed_over_a_trial_s_parts() -> None:
    pause: list[LedgerEvent] = [reported(0, 1, decision=PruningDecision.PAUSE), ended(0, None, TrialState.PAUSED)]
    proposal = TrialProposed(0, 0, {"x": 1}, {"x": 1}, 0, 1, 4, ask_s=1.5)
    state = SweepState.fold([CREATED, proposal, started(0, 1), *pause, TrialContinued(0, 0, None, ask_s=0.25)])
    assert state.trials[0].ask_s == 1.75


def test_the_best_trial_is_by_direction_and_the_lower_number_wins_a_tie() -> None:
    values = (0.5, 0.2, 0.9, 0.2, 0.9, None)
    events: list[LedgerEvent] = [CREATED]
    for number, value in enumerate(values):
        end = ended(number, value, TrialState.FAILED if value is None else TrialState.COMPLETED)
        events += [proposed(number), started(number, 1), end]
    state = SweepState.fold(events)
    lowest, highest = state.best("minimize"), state.best("maximize")
    assert lowest is not None
    assert highest is not None
    assert (lowest.number, highest.number) == (1, 2)
    assert SweepState().best("minimize") is None


def test_a_part_s_pause_does_not_end_the_next_part() -> None:
    pause: list[LedgerEvent] = [reported(0, 1, decision=PruningDecision.PAUSE), ended(0, None, TrialState.PAUSED)]
    events: list[LedgerEvent] = [CREATED, proposed(0), started(0, 1), *pause, TrialContinued(0, 0, None)]
    state = SweepState.fold(events)
    assert state.trials[0].state is TrialState.RUNNING
    assert state.trials[0].pending_decision is PruningDecision.GO
    for event in (started(0, 2, 1), AttemptLost(0, 0, 2, -9, "killed"), started(0, 3, 1)):
        state.apply(event)
        assert state.trials[0].pending_decision is PruningDecision.GO
    state.apply(reported(0, 2, attempt=3, decision=PruningDecision.STOP))
    trial = state.trials[0]
    assert trial.pending_decision is PruningDecision.STOP


def test_the_history_has_what_the_engine_saw_and_nothing_of_attempts() -> None:
    events: list[LedgerEvent] = [
        CREATED,
        proposed(0),
        started(0, 1),
        reported(0, 1),
        AttemptLost(0, 0, 1, -9, ""),
        started(0, 2, 1),
        ended(0, 0.5),
    ]
    history = SweepState.fold(events).history
    assert [type(event) for event in history] == [TrialProposed, EpochReported, SegmentEnded]


def test_sums_are_over_all_attempts() -> None:
    events: list[LedgerEvent] = [CREATED, proposed(0), started(0, 1), reported(0, 1), started(0, 2), reported(0, 2, 2)]
    state = SweepState.fold(events)
    trial = state.trials[0]
    assert (trial.n_epochs, trial.n_patches, trial.duration_s, trial.n_attempts) == (2, 20, 4.0, 2)
    assert state.n_patches == 20


def test_an_epoch_cannot_be_reported_twice() -> None:
    state = SweepState.fold([CREATED, proposed(0), started(0, 1), reported(0, 1)])
    with pytest.raises(LedgerError, match="epochs count up"):
        state.apply(reported(0, 1))


def test_counts_follow_the_trials_through_their_states() -> None:
    state = SweepState.fold([CREATED, *(proposed(number) for number in range(4))])
    assert (state.counts, state.unfinished) == (Counter({TrialState.RUNNING: 4}), {0, 1, 2, 3})
    for number, end in enumerate((TrialState.COMPLETED, TrialState.PRUNED, TrialState.PAUSED)):
        state.apply(ended(number, 1.0 if end is TrialState.COMPLETED else None, end))
    for event in (started(3, 1), reported(3, 1), TrialTracked(0, 0), TrialContinued(0, 2, None)):
        state.apply(event)
    assert {each: state.count(each) for each in TrialState if state.count(each)} == {
        TrialState.COMPLETED: 1,
        TrialState.PRUNED: 1,
        TrialState.RUNNING: 2,
    }
    assert state.unfinished == {2, 3}
    best = state.best("minimize")
    assert best is not None
    assert best.is_tracked
