"""Commands from other terminals, given in the middle of sweeps that run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from search.engines.base import Proposal, Start
from search.experiment.experiment import Experiment
from search.experiment.settings import BudgetSettings
from search.ledger.events import BudgetChanged, BudgetLimits, Launched, StopRequested
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.state import SweepState
from search.ledger.trial import EpochReport, PruningDecision, TrialState
from search.objectives.cheap import CheapSettings
from search.sweep.control import (
    CONTROL_NAME,
    BudgetCommand,
    Command,
    ControlFile,
    EnqueueCommand,
    StopCommand,
    new_command,
    send_command,
)
from search.sweep.plan import budget_by_ledger
from search.sweep.status import look_at_sweep
from tests.chaos.experiments import write_cheap
from tests.search.cheap_sweep import CheapSweep, ScriptedEngine


@pytest.fixture
def sweep(tmp_path: Path) -> CheapSweep:
    return CheapSweep(tmp_path / "sweep")


def sending(sweep: CheapSweep, *commands: Command, at: tuple[int, int] = (0, 1)) -> ScriptedEngine:
    """An engine during whose judgement of a trial's epoch the user gives commands."""

    def send(number: int, report: EpochReport) -> PruningDecision:
        if (number, report.epoch) == at:
            for command in commands:
                send_command(sweep.folder, replace(command, at_ms=new_command()[1]))
        return PruningDecision.GO

    return ScriptedEngine(on_report=send)


def stop(trial: int | None, is_urgent: bool = False) -> StopCommand:
    return StopCommand(*new_command(), trial, is_urgent)


def budget(**changes: str) -> BudgetCommand:
    return BudgetCommand(*new_command(), changes)


def kinds(sweep: CheapSweep) -> list[str]:
    return [json.loads(line)["kind"] for line in (sweep.folder / LEDGER_NAME).read_text().splitlines()]


def said(sweep: CheapSweep, words: str) -> bool:
    return any(words in line for line in sweep.progress.lines)


class TestStop:
    def test_a_trial_ends_with_its_next_report_and_the_others_go_on(self, sweep: CheapSweep) -> None:
        sweep.horizon_epochs = 5
        sweep.settings = CheapSettings(seconds_per_epoch=0.2)
        engine = sending(sweep, stop(0))
        outcome = sweep.launch(engine)
        assert outcome.n_by_state == {TrialState.PRUNED: 1, TrialState.COMPLETED: 2}
        trial = read_ledger(sweep.folder).trials[0]
        assert (trial.reason, trial.n_epochs, trial.n_attempts) == ("stopped by the user", 2, 1)
        assert trial.reports[-1].decision is PruningDecision.STOP
        assert "stop requested" in kinds(sweep)
        assert [result.state for number, result in engine.told if number == 0] == [TrialState.PRUNED]

    def test_at_once_a_trial_does_not_finish_its_epoch(self, sweep: CheapSweep) -> None:
        sweep.settings = CheapSettings(seconds_per_epoch=1.5)
        sweep.budget = BudgetSettings(trials=1)
        outcome = sweep.launch(sending(sweep, stop(0, is_urgent=True)))
        assert outcome.n_by_state == {TrialState.PRUNED: 1}
        trial = read_ledger(sweep.folder).trials[0]
        assert (trial.reason, trial.n_epochs, trial.is_tracked) == ("stopped by the user", 1, True)
        assert not trial.has_worker

    def test_the_sweep_stops_resumable_and_is_not_stopped_again(self, sweep: CheapSweep) -> None:
        sweep.settings = CheapSettings(seconds_per_epoch=0.3)
        outcome = sweep.launch(sending(sweep, stop(None)))
        assert outcome.status == "interrupted"
        assert read_ledger(sweep.folder).trials[0].n_epochs == 2
        assert sweep.launch(ScriptedEngine()).n_by_state == {TrialState.COMPLETED: 3}

    def test_a_stop_that_no_driver_read_does_not_stop_the_next_launch(self, sweep: CheapSweep) -> None:
        sweep.folder.mkdir()
        send_command(sweep.folder, StopCommand("old", 1, None, True))
        assert sweep.launch().status == "completed"
        assert said(sweep, "older than this launch")

    def test_what_does_not_run_is_refused_and_not_looked_at_again(self, sweep: CheapSweep) -> None:
        sweep.launch(sending(sweep, stop(7), at=(1, 1)))
        sweep.launch(ScriptedEngine())
        assert kinds(sweep).count("command refused") == 1
        assert said(sweep, "trial 7 is not there")

    def test_a_driver_killed_after_it_took_a_stop_down_ends_the_trial_at_the_next_launch(
        self, sweep: CheapSweep
    ) -> None:
        class KilledError(Exception):
            pass

        def die(number: int, report: EpochReport) -> PruningDecision:
            raise KilledError

        sweep.budget = BudgetSettings(trials=1)
        with pytest.raises(Exception, match="KilledError"):
            sweep.launch(ScriptedEngine(on_report=die))
        with sweep.open() as ledger:
            ledger.append(StopRequested, "c", 0, False)
        sweep.launch(ScriptedEngine())
        trial = read_ledger(sweep.folder).trials[0]
        assert (trial.state, trial.reason, trial.n_attempts) == (TrialState.PRUNED, "stopped by the user", 1)


class TestBudget:
    def test_a_raised_limit_holds_at_once_and_after_a_restart_until_the_file_changes(self, sweep: CheapSweep) -> None:
        sweep.budget = BudgetSettings(trials=2)
        assert sweep.launch(sending(sweep, budget(trials="4"))).n_by_state == {TrialState.COMPLETED: 4}
        assert said(sweep, "budget: 4 trials from now on")
        sweep.progress.lines.clear()
        assert sweep.launch(ScriptedEngine()).n_by_state == {TrialState.COMPLETED: 4}
        assert said(sweep, "budget: 4 trials, as set by `whosehand budget`; the experiment's (2 trials)")
        sweep.budget = BudgetSettings(trials=5)
        sweep.progress.lines.clear()
        assert sweep.launch(ScriptedEngine()).n_by_state == {TrialState.COMPLETED: 5}
        assert said(sweep, "budget: 5 trials, as the experiment says now; before: 4 trials.")
        sweep.budget = BudgetSettings(trials=2)  # changed once more, back to what it was at first
        sweep.launch(ScriptedEngine())
        changed = read_ledger(sweep.folder).budget_changed
        assert isinstance(changed, BudgetChanged)
        assert changed.limits == BudgetLimits(2, None, None)

    def test_without_a_command_the_last_launch_says_which_budget_holds(self, sweep: CheapSweep) -> None:
        experiment = Experiment.load(write_cheap(sweep.folder.parent, "cheap", {"budget": {"trials": 3}}))
        sweep.config = experiment.snapshot()
        sweep.budget = BudgetSettings(trials=1)  # as by `--set budget.trials=1`
        sweep.launch()
        assert look_at_sweep(sweep.folder, 0).budget == "1 of 1 trial"
        assert not said(sweep, "budget:")
        sweep.budget = BudgetSettings(trials=2)
        sweep.launch()
        assert look_at_sweep(sweep.folder, 0).budget == "2 of 2 trials"
        assert said(sweep, "budget: 2 trials, as the experiment says now; before: 1 trial.")

    def test_launches_of_version_0_1_have_no_budget_so_that_the_first_experiment_counts(self) -> None:
        old = Launched(1, "host", 1, 1, 1, "float32")
        first = BudgetSettings(trials=7)
        assert budget_by_ledger(SweepState(launches=[old]), first) == first

    def test_limits_are_raised_added_and_taken_away(self, sweep: CheapSweep) -> None:
        changes = (budget(trials="+2"), budget(minutes="+30"), budget(trials="none", patches="100000"))
        sweep.budget = BudgetSettings(trials=2)
        sweep.launch(sending(sweep, *changes, stop(None)))
        changed = read_ledger(sweep.folder).budget_changed
        assert changed is not None
        assert changed.limits.trials is None
        assert changed.limits.patches == 100_000
        assert changed.limits.minutes == pytest.approx(30, abs=1)

    @pytest.mark.parametrize("changes", [{"trials": "none"}, {"trials": "many"}, {"trials": "-9"}, {"hours": "3"}])
    def test_what_is_no_budget_is_refused_and_changes_nothing(self, sweep: CheapSweep, changes: dict[str, str]) -> None:
        outcome = sweep.launch(sending(sweep, BudgetCommand(*new_command(), changes)))
        assert outcome.n_by_state == {TrialState.COMPLETED: 3}
        assert "command refused" in kinds(sweep)
        assert read_ledger(sweep.folder).budget_changed is None


class TestEnqueue:
    def test_a_point_is_tried_next_with_its_defaults_and_counts_in_the_budget(self, sweep: CheapSweep) -> None:
        outcome = sweep.launch(sending(sweep, EnqueueCommand(*new_command(), {"x": 0.123})))
        assert outcome.n_by_state.total() == 3
        trials = read_ledger(sweep.folder).trials
        proposed = trials[1].proposed if trials[1].proposed.is_enqueued else trials[2].proposed
        assert proposed.is_enqueued
        assert (proposed.point, proposed.hyperparameters) == ({"x": 0.123}, {"x": 0.123, "fixed": 1})

    def test_a_point_beyond_the_budget_waits_for_the_next_launch(self, sweep: CheapSweep) -> None:
        sweep.budget = BudgetSettings(trials=1)
        sweep.launch(sending(sweep, EnqueueCommand(*new_command(), {"x": 0.123})))
        assert [dict(point) for point in read_ledger(sweep.folder).enqueued] == [{"x": 0.123}]
        sweep.budget = BudgetSettings(trials=2)
        sweep.launch(ScriptedEngine())
        state = read_ledger(sweep.folder)
        assert state.trials[1].proposed.point == {"x": 0.123}
        assert state.enqueued == []

    def test_an_engine_that_has_nothing_more_to_propose_still_takes_it_up(self, sweep: CheapSweep) -> None:
        def propose_one(number: int) -> Proposal:
            from search.engines.base import Exhausted

            return Start({"x": 0.5}) if number == 0 else Exhausted()

        engine = sending(sweep, EnqueueCommand(*new_command(), {"x": 0.123}), at=(0, 3))
        engine.on_ask = propose_one
        assert sweep.launch(engine).n_by_state == {TrialState.COMPLETED: 2}


class TestControlFile:
    def test_it_is_its_owners_alone_and_one_that_others_could_write_is_left_alone(self, tmp_path: Path) -> None:
        send_command(tmp_path, stop(None))
        path = tmp_path / CONTROL_NAME
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o666)
        lines: list[str] = []
        assert ControlFile(tmp_path).read(lines.append) == []
        assert "could have been written by others" in lines[0]

    def test_each_whole_line_is_read_once_and_what_is_no_command_is_left_out(self, tmp_path: Path) -> None:
        first, second = stop(3), budget(trials="5")
        lines: list[str] = []
        control = ControlFile(tmp_path)
        assert control.read(lines.append) == []
        send_command(tmp_path, first)
        with (tmp_path / CONTROL_NAME).open("ab") as file:
            file.write(b'{"command": "explode"}\n{"command": "stop", "command_i')
        assert control.read(lines.append) == [first]
        assert len(lines) == 1
        send_command(tmp_path, second)
        assert control.read(lines.append) == [second]
        assert control.read(lines.append) == []
