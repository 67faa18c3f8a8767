import shutil
import time
from pathlib import Path

import pytest

from core.errors import EngineError, LedgerError
from search.engines.base import Continue, Exhausted, Proposal, Start, Wait
from search.experiment.settings import BudgetSettings
from search.ledger.events import AttemptLost, AttemptStarted, EpochReported, SegmentEnded, SweepClosed, TrialProposed
from search.ledger.ledger import read_ledger
from search.ledger.trial import EpochReport, PruningDecision, TrialState
from search.objectives.cheap import METRIC, CheapSettings
from search.sweep.plan import trial_rng_seed
from tests.search.cheap_sweep import CheapSweep, KeepingTracker, ScriptedEngine


@pytest.fixture
def sweep(tmp_path: Path) -> CheapSweep:
    return CheapSweep(tmp_path / "cheap")


def test_a_sweep_runs_its_budget_of_trials_and_names_the_best(sweep: CheapSweep) -> None:
    engine = ScriptedEngine()
    outcome = sweep.launch(engine)
    values = {number: result.value for number, result in engine.told}
    assert outcome.status == "completed"
    assert outcome.n_by_state == {TrialState.COMPLETED: 3}
    assert outcome.best is not None
    assert values[outcome.best.number] == min(value for value in values.values() if value is not None)
    assert engine.asked == [0, 1, 2]
    assert engine.reported == [(number, epoch) for number in range(3) for epoch in (1, 2, 3)]


def test_reports_carry_the_worker_s_memory_and_processor_time(sweep: CheapSweep) -> None:
    sweep.launch()
    metrics = read_ledger(sweep.folder).trials[0].reports[0].report.metrics
    assert metrics["system/rss_mb"] > 1
    assert metrics["system/cpu_percent"] >= 0


def test_trials_have_seeds_of_their_own_that_depend_on_the_sweep_s(sweep: CheapSweep) -> None:
    sweep.launch()
    seeds = [trial.proposed.seed for trial in read_ledger(sweep.folder).trials.values()]
    assert seeds == [trial_rng_seed(7, number) for number in range(3)]
    assert len({*seeds, trial_rng_seed(8, 0)}) == 4


def test_several_workers_run_each_trial_once(sweep: CheapSweep) -> None:
    sweep.n_workers, sweep.budget = 3, BudgetSettings(trials=7)
    outcome = sweep.launch()
    trials = read_ledger(sweep.folder).trials
    assert outcome.n_by_state == {TrialState.COMPLETED: 7}
    assert all(trial.n_attempts == 1 and trial.n_epochs == 3 for trial in trials.values())


def test_a_finished_sweep_goes_on_when_its_budget_is_raised(sweep: CheapSweep) -> None:
    sweep.launch()
    assert sweep.launch(ScriptedEngine()).n_by_state.total() == 3
    sweep.budget = BudgetSettings(trials=5)
    engine = ScriptedEngine()
    assert sweep.launch(engine).n_by_state == {TrialState.COMPLETED: 5}
    assert engine.asked == [3, 4]


def test_a_resumed_engine_is_given_the_whole_history_in_order(sweep: CheapSweep) -> None:
    sweep.budget = BudgetSettings(trials=1)
    sweep.launch()
    engine = ScriptedEngine()
    sweep.launch(engine)
    assert [type(event) for event in engine.history] == [TrialProposed, *[EpochReported] * 3, SegmentEnded]
    first = engine.history[0]
    assert isinstance(first, TrialProposed)
    assert (first.number, first.point, first.until_epoch) == (0, {"x": 0.5}, None)


def test_a_changed_experiment_is_refused(sweep: CheapSweep) -> None:
    sweep.launch()
    sweep.config = {"name": "cheap", "seed": 8}
    with pytest.raises(LedgerError, match="begun with"):
        sweep.launch()


def test_a_killed_worker_s_trial_goes_on_from_its_last_epoch(sweep: CheapSweep, tmp_path: Path) -> None:
    undisturbed = CheapSweep(tmp_path / "undisturbed")
    undisturbed.launch()
    sweep.settings = CheapSettings(dying=frozenset({1}))
    engine = ScriptedEngine()
    outcome = sweep.launch(engine)
    trial = read_ledger(sweep.folder).trials[1]
    assert outcome.n_by_state == {TrialState.COMPLETED: 3}
    assert [start.start_epoch for start in trial.starts] == [0, 1]
    assert trial.n_lost == 1
    assert trial.value == read_ledger(undisturbed.folder).trials[1].value
    assert engine.reported.count((1, 1)) == 1
    assert any("SIGKILL" in line for line in sweep.progress.lines)


def test_a_trial_whose_workers_always_die_fails_with_the_end_of_the_log(sweep: CheapSweep) -> None:
    sweep.settings = CheapSettings(always_dying=frozenset({0}))
    outcome = sweep.launch()
    trial = read_ledger(sweep.folder).trials[0]
    assert outcome.n_by_state == {TrialState.FAILED: 1, TrialState.COMPLETED: 2}
    assert trial.n_attempts == trial.n_lost == 3
    assert trial.result is not None
    assert "SIGKILL" in trial.result.reason
    assert "about to die" in trial.result.traceback


def test_a_failing_trial_is_recorded_with_its_traceback_and_the_sweep_goes_on(sweep: CheapSweep) -> None:
    sweep.settings = CheapSettings(failing=frozenset({0}))
    engine = ScriptedEngine()
    outcome = sweep.launch(engine)
    result = read_ledger(sweep.folder).trials[0].result
    assert outcome.n_by_state == {TrialState.FAILED: 1, TrialState.COMPLETED: 2}
    assert result is not None
    assert result.reason.startswith("TrainingError: The loss must be a number")
    assert "_misbehave" in result.traceback
    assert engine.told[0] == (0, result)


def test_a_value_that_is_not_a_number_fails_the_trial(sweep: CheapSweep) -> None:
    sweep.settings = CheapSettings(nan=frozenset({1}))
    outcome = sweep.launch()
    trial = read_ledger(sweep.folder).trials[1]
    assert outcome.n_by_state == {TrialState.FAILED: 1, TrialState.COMPLETED: 2}
    assert trial.result is not None
    assert "finite" in trial.result.reason
    assert all(event.report.metrics[METRIC] != event.report.metrics[METRIC] for event in trial.reports)


def test_an_objective_that_is_not_reported_fails_the_trial(sweep: CheapSweep) -> None:
    sweep.metric, sweep.budget = "val/other", BudgetSettings(trials=1)
    assert sweep.launch().n_by_state == {TrialState.FAILED: 1}
    result = read_ledger(sweep.folder).trials[0].result
    assert result is not None
    assert "'val/other'" in result.reason
    assert METRIC in result.reason


def test_many_failures_of_one_kind_end_the_sweep_with_the_reason(sweep: CheapSweep) -> None:
    sweep.settings = CheapSettings(failing=frozenset(range(100)))
    sweep.budget = BudgetSettings(trials=50)
    outcome = sweep.launch()
    assert outcome.status == "failed"
    assert "5 trials in a row" in outcome.reason
    assert "TrainingError" in outcome.reason
    assert outcome.n_by_state == {TrialState.FAILED: 5}


def test_pause_and_continue_keep_one_trial_and_end_as_an_uninterrupted_one(sweep: CheapSweep, tmp_path: Path) -> None:
    def halving(number: int) -> Proposal:
        script: list[Proposal] = [Start({"x": 0.1}, 1), Start({"x": 0.2}, 1), Continue(1, 2), Continue(1), Exhausted()]
        return script[len(engine.asked) - 1]

    engine = ScriptedEngine(on_ask=halving)
    outcome = sweep.launch(engine)
    trials = read_ledger(sweep.folder).trials
    whole = CheapSweep(tmp_path / "whole")
    whole.launch(ScriptedEngine(on_ask=lambda number: Start({"x": 0.1 * (number + 1)})))
    assert outcome.n_by_state == {TrialState.PAUSED: 1, TrialState.COMPLETED: 1}
    assert engine.asked == [0, 1, 2, 2, 2]
    assert [result.state for number, result in engine.told if number == 1] == ["paused", "paused", "completed"]
    assert [(start.start_epoch, start.until_epoch) for start in trials[1].starts] == [(0, 1), (1, 2), (2, 3)]
    assert trials[1].value == read_ledger(whole.folder).trials[1].value


@pytest.mark.parametrize("pauses_by", ["until_epoch", "verdict"])
def test_who_watches_hears_at_once_that_a_trial_waits(sweep: CheapSweep, pauses_by: str) -> None:
    def halving(number: int) -> Proposal:
        until_epoch = 1 if pauses_by == "until_epoch" else None
        script: list[Proposal] = [Start({"x": 0.1}, until_epoch), Continue(0), Exhausted()]
        return script[len(engine.asked) - 1]

    def judge(number: int, report: EpochReport) -> PruningDecision:
        return PruningDecision.PAUSE if pauses_by == "verdict" and report.epoch == 1 else PruningDecision.GO

    engine, tracker = ScriptedEngine(on_ask=halving, on_report=judge), KeepingTracker()
    sweep.launch(engine, tracker)
    epochs, trial = tracker.of(EpochReported), tracker.trials[0]
    assert [(event.report.epoch, trial.waits_after(event)) for event in epochs] == [(1, True), (2, False), (3, False)]


def test_the_engine_s_verdicts_pause_and_stop_trials(sweep: CheapSweep) -> None:
    def judge(number: int, report: EpochReport) -> PruningDecision:
        return (
            {0: PruningDecision.STOP, 1: PruningDecision.PAUSE}.get(number, PruningDecision.GO)
            if report.epoch == 2
            else PruningDecision.GO
        )

    engine = ScriptedEngine(on_report=judge)
    outcome = sweep.launch(engine)
    assert outcome.n_by_state == {TrialState.PRUNED: 1, TrialState.PAUSED: 1, TrialState.COMPLETED: 1}
    assert [trial.n_epochs for trial in read_ledger(sweep.folder).trials.values()] == [2, 2, 3]


def test_an_engine_may_let_paused_trials_go_on_when_the_budget_of_trials_is_used_up(sweep: CheapSweep) -> None:
    def start_then_promote(number: int) -> Proposal:
        return Continue(len(engine.told) - 2) if len(engine.told) >= 2 else Start({"x": 0.1}, 1)

    sweep.budget = BudgetSettings(trials=2)
    engine = ScriptedEngine(on_ask=start_then_promote)
    assert sweep.launch(engine).n_by_state == {TrialState.COMPLETED: 2}


def test_wait_is_asked_again_after_news(sweep: CheapSweep) -> None:
    def one_at_a_time(number: int) -> Proposal:
        return Start({"x": 0.1}) if len(engine.told) == number else Wait()

    sweep.n_workers = 2
    engine = ScriptedEngine(on_ask=one_at_a_time)
    assert sweep.launch(engine).n_by_state == {TrialState.COMPLETED: 3}


def test_waiting_for_nothing_is_an_error(sweep: CheapSweep) -> None:
    with pytest.raises(EngineError, match="Wait"):
        sweep.launch(ScriptedEngine(on_ask=lambda number: Wait()))


@pytest.mark.parametrize("proposal", [Continue(0), Continue(9), Start({"x": 0.1}, 4), Start({"x": 0.1}, 0)])
def test_a_proposal_against_the_protocol_is_an_error(sweep: CheapSweep, proposal: Proposal) -> None:
    first: Proposal = Start({"x": 0.1})
    with pytest.raises(EngineError):
        sweep.launch(ScriptedEngine(on_ask=lambda number: first if number == 0 else proposal))
    assert read_ledger(sweep.folder).trials[0].state is TrialState.COMPLETED


def test_an_engine_that_fails_leaves_a_ledger_that_goes_on(sweep: CheapSweep) -> None:
    def fail(number: int) -> Proposal:
        raise KeyError("its own mistake")

    with pytest.raises(EngineError, match=r"`ask`.*KeyError.*its own mistake"):
        sweep.launch(ScriptedEngine(on_ask=lambda number: Start({"x": 0.1}) if number < 2 else fail(number)))
    assert sweep.launch().n_by_state == {TrialState.COMPLETED: 3}


def test_a_verdict_that_fails_does_not_lose_the_epoch(sweep: CheapSweep) -> None:
    def fail(number: int, report: EpochReport) -> PruningDecision:
        raise ValueError("no verdict")

    with pytest.raises(EngineError, match="`report`"):
        sweep.launch(ScriptedEngine(on_report=fail))
    assert read_ledger(sweep.folder).trials[0].n_epochs == 1
    assert sweep.launch().n_by_state == {TrialState.COMPLETED: 3}
    assert read_ledger(sweep.folder).trials[0].starts[-1].start_epoch == 1


def test_a_slow_ask_does_not_hold_up_the_answers_to_reports(sweep: CheapSweep) -> None:
    def slow(number: int) -> Proposal:
        time.sleep(1.5 if number == 1 else 0)
        return Start({"x": 0.1})

    sweep.n_workers, sweep.budget = 2, BudgetSettings(trials=2)
    sweep.launch(ScriptedEngine(on_ask=slow))
    trials = read_ledger(sweep.folder).trials
    assert trials[0].ended is not None
    assert trials[0].ended.at_ms < trials[1].proposed.at_ms


def test_a_verdict_that_came_late_counts_at_the_next_report(sweep: CheapSweep) -> None:
    def slow(number: int) -> Proposal:
        time.sleep(0.8 if number == 1 else 0)
        return Start({"x": 0.1})

    def stop_first(number: int, report: EpochReport) -> PruningDecision:
        return PruningDecision.STOP if (number, report.epoch) == (0, 1) else PruningDecision.GO

    sweep.n_workers, sweep.budget, sweep.horizon_epochs = 2, BudgetSettings(trials=2), 14
    sweep.settings = CheapSettings(seconds_per_epoch=0.1)
    sweep.launch(ScriptedEngine(on_ask=slow, on_report=stop_first))
    trial = read_ledger(sweep.folder).trials[0]
    assert trial.state is TrialState.PRUNED
    assert 1 < trial.n_epochs < 14


def test_a_budget_of_patches_ends_the_sweep_and_finishes_what_runs(sweep: CheapSweep) -> None:
    sweep.budget = BudgetSettings(patches=500)
    outcome = sweep.launch()
    assert outcome.n_by_state == {TrialState.COMPLETED: 2}
    assert "600 of 500 patches" in outcome.reason


def test_a_budget_of_time_holds_over_all_launches(sweep: CheapSweep) -> None:
    sweep.budget = BudgetSettings(minutes=0.3 / 60)
    sweep.settings = CheapSettings(seconds_per_epoch=0.05)
    outcome = sweep.launch()
    n_trials = outcome.n_by_state.total()
    assert 1 <= n_trials <= 3
    assert sweep.launch().n_by_state.total() == n_trials


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(sweep: CheapSweep, tmp_path: Path) -> None:
    sweep.budget = BudgetSettings(trials=1)
    sweep.launch(ScriptedEngine(on_ask=lambda number: Start({"x": 0.5}, 2)))
    checkpoint = read_ledger(sweep.folder).trials[0].checkpoints[0][1]
    checkpoint.path.write_text("{}")
    engine = ScriptedEngine(on_ask=lambda number: Continue(0))
    sweep.launch(engine)
    trial = read_ledger(sweep.folder).trials[0]
    assert trial.state is TrialState.COMPLETED
    assert trial.starts[-1].start_epoch == 1
    assert engine.reported == [(0, 3)]
    assert any("damaged" in line for line in sweep.progress.lines)


def test_a_moved_sweep_finds_its_checkpoints(sweep: CheapSweep, tmp_path: Path) -> None:
    sweep.budget = BudgetSettings(trials=1)
    sweep.launch(ScriptedEngine(on_ask=lambda number: Start({"x": 0.5}, 2)))
    sweep.folder = sweep.folder.rename(tmp_path / "elsewhere")
    sweep.launch(ScriptedEngine(on_ask=lambda number: Continue(0)))
    assert read_ledger(sweep.folder).trials[0].starts[-1].start_epoch == 2


def test_an_objective_without_checkpoints_begins_anew_and_reports_no_epoch_twice(sweep: CheapSweep) -> None:
    sweep.settings = CheapSettings(dying=frozenset({0}), keeps_checkpoints=False)
    sweep.budget = BudgetSettings(trials=1)
    engine = ScriptedEngine()
    assert sweep.launch(engine).n_by_state == {TrialState.COMPLETED: 1}
    assert engine.reported == [(0, 1), (0, 2), (0, 3)]


def test_the_tracker_is_told_everything_in_order_with_the_ledger_s_times(sweep: CheapSweep) -> None:
    tracker = KeepingTracker()
    sweep.launch(tracker=tracker)
    trials = read_ledger(sweep.folder).trials
    assert [event.number for event in tracker.of(SegmentEnded)] == [0, 1, 2]
    assert [event.at_ms for event in tracker.of(EpochReported)] == [
        event.at_ms for trial in trials.values() for event in trial.reports
    ]
    assert tracker.trials[0].hyperparameters == {"x": 0.5, "fixed": 1}
    assert tracker.of(SweepClosed)[0].status == "completed"
    assert list(tracker.trials) == [0, 1, 2]
    assert all(trial.is_tracked for trial in trials.values())


def test_tracked_trials_are_not_told_again(sweep: CheapSweep) -> None:
    sweep.launch()
    tracker = KeepingTracker()
    sweep.launch(tracker=tracker)
    assert tracker.of(AttemptStarted) == []


def test_what_a_store_that_was_down_missed_is_told_at_the_next_launch(sweep: CheapSweep) -> None:
    down = KeepingTracker(is_down=True)
    assert sweep.launch(tracker=down).status == "completed"
    assert any("could not be tracked" in line for line in sweep.progress.lines)
    assert not any(trial.is_tracked for trial in read_ledger(sweep.folder).trials.values())
    tracker = KeepingTracker()
    sweep.launch(tracker=tracker)
    assert [event.number for event in tracker.of(SegmentEnded)] == [0, 1, 2]
    assert len(tracker.of(EpochReported)) == 9
    assert all(trial.is_tracked for trial in read_ledger(sweep.folder).trials.values())


def test_a_sweep_cut_off_after_any_line_of_its_ledger_ends_the_same(sweep: CheapSweep, tmp_path: Path) -> None:
    def stop_first(number: int, report: EpochReport) -> PruningDecision:
        return PruningDecision.STOP if (number, report.epoch) == (0, 2) else PruningDecision.GO

    def ends(folder: Path) -> list[tuple[TrialState, float | None, int, bool]]:
        trials = read_ledger(folder).trials.values()
        return [(trial.state, trial.value, trial.n_epochs, trial.is_tracked) for trial in trials]

    sweep.budget = BudgetSettings(trials=2)
    sweep.launch(ScriptedEngine(on_report=stop_first))
    lines = (sweep.folder / "ledger.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 16
    for n_kept in range(1, len(lines)):
        cut = CheapSweep(tmp_path / f"cut-{n_kept}", budget=sweep.budget)
        shutil.copytree(sweep.folder, cut.folder)
        (cut.folder / "ledger.jsonl").write_text("".join(lines[:n_kept]) + lines[n_kept][:20])
        engine = ScriptedEngine(on_report=stop_first)
        cut.launch(engine)
        assert ends(cut.folder) == ends(sweep.folder), f"cut after {n_kept} lines"
        n_reported = sum('"kind": "reported"' in line for line in lines[:n_kept])
        assert len(engine.reported) == 5 - n_reported


def test_a_lost_worker_after_the_verdict_stop_is_not_started_again(sweep: CheapSweep) -> None:
    sweep.budget = BudgetSettings(trials=1)
    with sweep.open() as ledger:
        pass
    sweep.launch(ScriptedEngine(on_report=lambda number, report: PruningDecision.STOP))
    lines = (sweep.folder / "ledger.jsonl").read_text().splitlines(keepends=True)
    n_kept = next(i for i, line in enumerate(lines) if '"kind": "ended"' in line)
    (sweep.folder / "ledger.jsonl").write_text("".join(lines[:n_kept]))
    engine = ScriptedEngine()
    sweep.launch(engine)
    trial = read_ledger(sweep.folder).trials[0]
    assert trial.state is TrialState.PRUNED
    assert trial.n_attempts == 1
    assert [number for number, _ in engine.told] == [0]
    assert ledger.trimmed_bytes == 0
    assert not any(isinstance(event, AttemptLost) for event in engine.history)
