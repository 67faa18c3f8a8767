import pytest

from benchmarks.driver_scale import busy_share, run_scaled
from search.experiment.settings import BudgetSettings
from search.sweep.plan import SweepPlan
from search.testing.simulation import SimulatedEpoch, SimulatedWorkers, simulate_sweep
from tests.search.cheap_sweep import ScriptedEngine


def test_a_sweep_of_some_workers_is_measured() -> None:
    scaled = run_scaled("random", n_workers=3, epoch_s=10.0, seconds=0.05)
    assert len(scaled.sweep.state.trials) > 3
    assert len(scaled.asks_s) == len(scaled.sweep.state.trials)
    assert scaled.sweep.load.driver_s > 0
    assert 0.9 < scaled.busy <= 1


def test_workers_that_start_as_long_as_they_train_are_busy_for_half_of_their_time() -> None:
    workers = SimulatedWorkers(lambda spec: [SimulatedEpoch({"val/loss": 1.0}, 10.0, 1)], n_workers=2, start_s=10.0)
    budget = BudgetSettings(trials=8)
    plan = SweepPlan("", None, "val/loss", "minimize", 1, 1, "float32", budget, lambda point: point)
    sweep = simulate_sweep(plan, ScriptedEngine(), workers, counts_engine=False)
    assert busy_share(sweep, 2) == pytest.approx(0.5, abs=0.01)
