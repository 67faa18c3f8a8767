import json
import math
import signal
import time
from pathlib import Path

import pytest

from core.errors import ModelError
from core.space import Real, SearchSpace
from search.engines import open_engine
from search.engines.base import EngineSettings, Proposal
from search.experiment.engine_settings import OptunaSettings
from search.experiment.settings import BudgetSettings
from search.ledger.ledger import LEDGER_NAME
from search.ledger.trial import EpochReport, PruningDecision, TrialSpec, TrialState
from search.sweep.plan import SweepPlan
from search.testing.simulation import SimulatedEpoch, SimulatedSweep, SimulatedWorkers, simulate_sweep
from tests.search.cheap_sweep import ScriptedEngine, propose_by_number

METRIC = "val/loss"
EPOCH_S = 100.0


def fall_towards_x(spec: TrialSpec) -> list[SimulatedEpoch]:
    x = float(spec.hyperparameters["x"])
    return [SimulatedEpoch({METRIC: x + 1 / epoch}, EPOCH_S, 500) for epoch in range(1, spec.horizon_epochs + 1)]


def plan_of(budget: BudgetSettings, horizon_epochs: int = 4) -> SweepPlan:
    return SweepPlan("none", None, METRIC, "minimize", horizon_epochs, 1, "float32", budget, lambda point: point)


def simulate(
    engine: ScriptedEngine | None = None,
    n_workers: int = 1,
    budget: BudgetSettings | None = None,
    folder: Path | None = None,
    start_s: float = 0.0,
    end_s: float = 0.0,
) -> SimulatedSweep:
    workers = SimulatedWorkers(fall_towards_x, n_workers, start_s, end_s)
    budget = budget or BudgetSettings(trials=4)
    return simulate_sweep(plan_of(budget), engine or ScriptedEngine(), workers, folder, counts_engine=False)


def virtual_s(sweep: SimulatedSweep) -> float:
    return (sweep.state.last_ms - sweep.began_ms) / 1000


def test_a_sweep_takes_the_virtual_seconds_of_its_epochs_starts_and_ends() -> None:
    sweep = simulate(start_s=3, end_s=7)
    assert sweep.outcome.status == "completed"
    assert virtual_s(sweep) == pytest.approx(4 * (3 + 4 * EPOCH_S + 7), abs=0.1)
    assert sweep.state.slept_s == 0
    assert sweep.state.trials[1].value == pytest.approx((0.5 + 0.618) % 1.0 + 1 / 4)


def test_workers_train_at_the_same_time() -> None:
    assert virtual_s(simulate(n_workers=4)) == pytest.approx(4 * EPOCH_S, abs=0.1)


def test_a_budget_of_minutes_ends_it_in_virtual_time() -> None:
    sweep = simulate(budget=BudgetSettings(minutes=60))
    assert len(sweep.state.trials) == math.ceil(3600 / (4 * EPOCH_S))


@pytest.mark.long
def test_a_sweep_of_a_thousand_workers_ends() -> None:
    workers = SimulatedWorkers(lambda spec: fall_towards_x(spec)[:1], 1000)
    sweep = simulate_sweep(plan_of(BudgetSettings(trials=1001), 1), ScriptedEngine(), workers, counts_engine=False)
    assert sweep.outcome.n_by_state[TrialState.COMPLETED] == 1001
    assert virtual_s(sweep) == pytest.approx(2 * EPOCH_S, abs=0.1)


def test_the_engine_stops_and_pauses_trials_and_lets_them_go_on() -> None:
    engine = open_engine(
        OptunaSettings(sampler="random", pruner="asha", rung_first_epoch=1),
        EngineSettings(SearchSpace((Real("x", 0.0, 1.0),)), (), 1, METRIC, "minimize", 4, "s"),
    )
    sweep = simulate_sweep(
        plan_of(BudgetSettings(trials=9)), engine, SimulatedWorkers(fall_towards_x), counts_engine=False
    )
    went_on = [trial for trial in sweep.state.trials.values() if trial.n_attempts > 1]
    assert went_on
    for trial in sweep.state.trials.values():
        assert [event.report.epoch for event in trial.reports] == list(range(1, trial.n_epochs + 1))
    n_epochs = sum(trial.n_epochs for trial in sweep.state.trials.values())
    assert virtual_s(sweep) == pytest.approx(n_epochs * EPOCH_S, abs=0.1), "no epoch was trained twice"


def test_a_stopped_trial_is_pruned_and_its_worker_is_free_at_once() -> None:
    def stop_the_first(number: int, report: EpochReport) -> PruningDecision:
        return PruningDecision.STOP if number == 0 else PruningDecision.GO

    sweep = simulate(ScriptedEngine(on_report=stop_the_first), budget=BudgetSettings(trials=2))
    assert sweep.state.trials[0].state is TrialState.PRUNED
    assert virtual_s(sweep) == pytest.approx(5 * EPOCH_S, abs=0.1)


def test_a_trial_whose_epochs_end_early_is_complete_and_one_that_raises_has_failed() -> None:
    def source(spec: TrialSpec) -> list[SimulatedEpoch]:
        if spec.number == 1:
            raise ModelError("No network can be built.")
        return fall_towards_x(spec)[:2]

    workers = SimulatedWorkers(source)
    sweep = simulate_sweep(plan_of(BudgetSettings(trials=2)), ScriptedEngine(), workers, counts_engine=False)
    assert sweep.state.trials[0].state is TrialState.COMPLETED
    assert sweep.state.trials[0].n_epochs == 2
    assert sweep.state.trials[1].reason == "ModelError: No network can be built."


def test_what_an_ask_takes_passes_on_the_virtual_clock() -> None:
    def ask_slowly(number: int) -> Proposal:
        time.sleep(0.02)
        return propose_by_number(number)

    engine = ScriptedEngine(on_ask=ask_slowly)
    workers = SimulatedWorkers(lambda spec: [SimulatedEpoch({METRIC: 1.0}, 0.001, 1)])
    sweep = simulate_sweep(plan_of(BudgetSettings(trials=5), 1), engine, workers)
    assert 0.1 < virtual_s(sweep) < 1.0


def test_reports_are_answered_while_an_ask_takes_long() -> None:
    def ask_slowly(number: int) -> Proposal:
        time.sleep(0.4 if number == 1 else 0)
        return propose_by_number(number)

    workers = SimulatedWorkers(lambda spec: [SimulatedEpoch({METRIC: 1.0}, 0.05, 1)] * 4, n_workers=2)
    engine = ScriptedEngine(on_ask=ask_slowly, on_report=lambda number, report: PruningDecision.STOP)
    sweep = simulate_sweep(plan_of(BudgetSettings(trials=2)), engine, workers)
    first = sweep.state.trials[0]
    assert first.reports[0].decision is PruningDecision.GO, "no decision was there within its patience"
    assert first.reports[1].decision is PruningDecision.STOP
    assert sweep.load.waits_s[0] == pytest.approx(0.25, abs=0.01)


def test_ctrl_c_ends_more_than_the_one_sweep_of_many() -> None:
    def ask(number: int) -> Proposal:
        if number == 2:
            signal.raise_signal(signal.SIGINT)
        return propose_by_number(number)

    with pytest.raises(KeyboardInterrupt):
        simulate(ScriptedEngine(on_ask=ask))


def test_the_same_sweep_has_the_same_ledger(tmp_path: Path) -> None:
    def ledger(name: str) -> list[dict[str, object]]:
        engine = open_engine(
            OptunaSettings(n_startup_trials=4, pruner="median", pruner_startup_trials=2),
            EngineSettings(SearchSpace((Real("x", 0.0, 1.0),)), (), 1, METRIC, "minimize", 4, "s"),
        )
        workers = SimulatedWorkers(fall_towards_x, 3)
        folder = tmp_path / name
        simulate_sweep(plan_of(BudgetSettings(trials=12)), engine, workers, folder, counts_engine=False)
        lines = (folder / LEDGER_NAME).read_text(encoding="utf-8").splitlines()
        changing = ("ask_s", "sweep_id", "host", "pid")
        return [{k: v for k, v in json.loads(line).items() if k not in changing} for line in lines]

    assert ledger("one") == ledger("another")
