"""Workers that leave and join while a sweep runs: nodes are lost, rest, or are not there at all."""

import io
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console

from search.engines.base import Proposal, Wait
from search.executors.base import Message, WorkerEnded, WorkerLost, WorkerPlace
from search.executors.local.executor import LocalExecutor, modules_to_preload
from search.experiment.settings import BudgetSettings
from search.ledger.ledger import read_ledger
from search.ledger.state import TrialRecord
from search.ledger.trial import FailureKind, TrialResult, TrialSpec, TrialState
from search.objectives.cheap import CheapSettings
from search.sweep.live_table import render
from search.sweep.loop import run_sweep
from search.sweep.plan import SweepOutcome
from search.sweep.status import hosts_of, trial_as_json
from search.sweep.sweep_view import SweepView
from tests.search.cheap_sweep import CHEAP, CheapSweep, KeepingProgress, ScriptedEngine, propose_by_number


class ChangingExecutor(LocalExecutor):
    """Workers of this machine, of which a test says how many there are and what is made of what
    they say.
    """

    def __init__(
        self,
        n_workers: int = 1,
        count: Callable[[int], int] = lambda n: n,
        change: Callable[[Message], Message] = lambda message: message,
    ) -> None:
        super().__init__(n_workers, 1, preload=modules_to_preload(CHEAP))
        self.count, self.change = count, change
        self.specs: list[TrialSpec] = []

    @property
    def n_workers(self) -> int:
        return self.count(super().n_workers)

    def start(self, spec: TrialSpec) -> WorkerPlace:
        self.specs.append(spec)
        return super().start(spec)

    def poll(self, timeout_s: float) -> list[Message]:
        return [self.change(message) for message in super().poll(timeout_s)]


@pytest.fixture
def sweep(tmp_path: Path) -> CheapSweep:
    return CheapSweep(tmp_path / "cheap", budget=BudgetSettings(trials=2))


def launch(sweep: CheapSweep, executor: ChangingExecutor, engine: ScriptedEngine | None = None) -> SweepOutcome:
    with sweep.open() as ledger:
        return run_sweep(ledger, sweep.plan(), engine or ScriptedEngine(), executor, progress=sweep.progress)


def test_a_sweep_without_workers_waits_says_so_and_goes_on_when_there_are_some(sweep: CheapSweep) -> None:
    began_s = time.monotonic()
    executor = ChangingExecutor(count=lambda n: n if time.monotonic() - began_s > 0.3 else 0)
    assert launch(sweep, executor).n_by_state == {TrialState.COMPLETED: 2}
    said = "\n".join(sweep.progress.lines)
    assert said.count("No worker is there. The sweep waits") == 1
    assert said.count("Workers are there: 1. Going on.") == 1


def test_a_proposal_waits_when_the_last_worker_left_after_the_ask(sweep: CheapSweep) -> None:
    left_s = 0.0

    def leave_on_ask(number: int) -> Proposal:
        nonlocal left_s
        left_s = left_s or time.monotonic()
        return propose_by_number(number)

    executor = ChangingExecutor(count=lambda n: 0 if left_s and time.monotonic() - left_s < 0.3 else n)
    engine = ScriptedEngine(on_ask=leave_on_ask)
    assert launch(sweep, executor, engine).n_by_state == {TrialState.COMPLETED: 2}
    assert engine.asked == [0, 1]


def _as_node_loss(message: Message) -> Message:
    return replace(message, failure=FailureKind.NODE_LOST) if isinstance(message, WorkerLost) else message


def test_lost_nodes_do_not_use_up_the_attempts_of_a_trial(sweep: CheapSweep) -> None:
    sweep.settings = CheapSettings(dying=frozenset({0}))
    with sweep.open() as ledger:
        plan = replace(sweep.plan(), max_attempts=1)
        outcome = run_sweep(ledger, plan, ScriptedEngine(), ChangingExecutor(change=_as_node_loss))
    trial = read_ledger(sweep.folder).trials[0]
    assert outcome.n_by_state == {TrialState.COMPLETED: 2}
    assert (trial.n_lost, trial.nodes_lost_at, trial.n_attempts) == (0, (1,), 2)


def test_a_trial_that_ends_one_node_after_the_other_has_failed(sweep: CheapSweep) -> None:
    sweep.settings = CheapSettings(always_dying=frozenset({0}))
    launch(sweep, ChangingExecutor(change=_as_node_loss))
    trial = read_ledger(sweep.folder).trials[0]
    assert trial.result is not None
    assert (trial.result.failure, trial.nodes_lost_at) == (FailureKind.NODE_LOST, (1,) * 10)
    assert trial.reason.startswith("NodeLost: 10 nodes in a row")


def test_a_full_disk_of_a_node_rests_the_node_and_not_the_sweep(sweep: CheapSweep) -> None:
    full = TrialResult(TrialState.FAILED, reason="No space left on device", failure=FailureKind.DISK_FULL)
    ends: list[WorkerEnded] = []

    def fill_once(message: Message) -> Message:
        if isinstance(message, WorkerEnded):
            ends.append(message)
            return message if len(ends) > 1 else replace(message, result=full, resting="node b")
        return message

    assert launch(sweep, ChangingExecutor(change=fill_once)).n_by_state == {TrialState.COMPLETED: 2}
    said = "\n".join(sweep.progress.lines)
    assert "the disk of node b is full; it rests" in said
    assert "The sweep is paused" not in said


def test_an_engine_may_wait_for_a_trial_whose_worker_was_lost_meanwhile(sweep: CheapSweep) -> None:
    sweep.settings = CheapSettings(dying=frozenset({0}))
    is_lost = threading.Event()

    def wait_for_trial_0(number: int) -> Proposal:
        if number == 1 and not is_lost.is_set():
            is_lost.wait(10)
            return Wait()
        return propose_by_number(number)

    class Executor(ChangingExecutor):
        def poll(self, timeout_s: float) -> list[Message]:
            messages = super().poll(timeout_s)
            if any(isinstance(message, WorkerLost) for message in messages):
                is_lost.set()
                time.sleep(0.1)  # so that the engine's answer is there before the loop's next turn
            return messages

    assert launch(sweep, Executor(2), ScriptedEngine(on_ask=wait_for_trial_0)).n_by_state == {TrialState.COMPLETED: 2}


def test_a_trial_that_goes_on_is_told_the_scores_of_its_earlier_epochs(sweep: CheapSweep) -> None:
    sweep.settings = CheapSettings(dying=frozenset({0}))
    executor = ChangingExecutor()
    launch(sweep, executor)
    histories = [(spec.number, spec.attempt, len(spec.history)) for spec in executor.specs]
    assert histories == [(0, 1, 0), (0, 2, 1), (1, 1, 0)]
    first = read_ledger(sweep.folder).trials[0].reports[0].report.metrics
    assert _without_load(first) == executor.specs[1].history[0]
    assert any(name.startswith("system/") for name in first)


def _without_load(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith("system/")}


def test_the_ledger_says_where_each_attempt_ran(sweep: CheapSweep) -> None:
    launch(sweep, ChangingExecutor())
    state = read_ledger(sweep.folder)
    (start,) = state.trials[0].starts
    assert start.host == state.launches[0].host
    assert start.cpu
    assert hosts_of(state.trials[0]) == (start.host,)


class ElsewhereExecutor(ChangingExecutor):
    def start(self, spec: TrialSpec) -> WorkerPlace:
        return replace(super().start(spec), host="node-b", pid=0)


class KeepingViews(KeepingProgress):
    views: ClassVar[list[SweepView]] = []

    def epoch_ended(self, view: SweepView, trial: TrialRecord) -> None:
        self.views.append(view)


def test_the_table_says_where_a_trial_runs_if_that_is_not_here(sweep: CheapSweep) -> None:
    sweep.progress = KeepingViews()
    drawn: list[str] = []
    for executor in (ChangingExecutor(), ElsewhereExecutor()):
        sweep.budget = BudgetSettings(trials=1 + len(drawn))
        launch(sweep, executor)
        console = Console(file=io.StringIO(), width=120)
        console.print(render(KeepingViews.views[-1]))
        assert isinstance(console.file, io.StringIO)
        drawn.append(console.file.getvalue())
    assert ["host" in text for text in drawn] == [False, True]
    assert "node-b" in drawn[1]
    state = read_ledger(sweep.folder)
    assert trial_as_json(state.trials[1])["hosts"] == ["node-b"]
