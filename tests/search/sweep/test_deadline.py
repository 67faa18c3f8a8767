"""A deadline: when it is, what a promotion needs of it, and that a sweep keeps it."""

import os
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from core.errors import ConfigError
from search.experiment.settings import BudgetSettings, PromotionSettings
from search.ledger.events import AttemptStarted, EpochReported, SegmentEnded, TrialProposed
from search.ledger.state import SweepState, TrialRecord
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialSpec, TrialState
from search.sweep.deadline import (
    PROMOTION_BASE_S,
    RefitRule,
    next_time,
    predict_promotion_s,
    refit_epochs_within,
    refuse_past,
)
from search.sweep.plan import BudgetUse, SweepPlan
from search.testing.simulation import SimulatedEpoch, SimulatedSweep, SimulatedWorkers, simulate_sweep
from search.testing.virtual_time import VirtualClock
from tests.search.cheap_sweep import ScriptedEngine

METRIC = "val/loss"
HORIZON = 4


@pytest.fixture(autouse=True)
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    os.environ.pop("TZ", None)
    time.tzset()


def local_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def trial_of(epoch_s: float, **parts: float) -> TrialRecord:
    return state_of(epoch_s, **parts).trials[0]


def state_of(epoch_s: float, **parts: float) -> SweepState:
    state = SweepState()
    state.apply(TrialProposed(0, 0, {}, {}, 1, None, HORIZON))
    state.apply(AttemptStarted(0, 0, 1, 0, HORIZON, 1, "float32", 1))
    for epoch in range(1, HORIZON + 1):
        report = EpochReport(epoch, {METRIC: 1.0}, 100, epoch_s)
        state.apply(EpochReported(0, 0, 1, report, PruningDecision.GO))
    state.apply(SegmentEnded(0, 0, 1, TrialResult(TrialState.COMPLETED, 1.0, seconds=parts)))
    return state


def simulate(budget: BudgetSettings, epoch_s: float, refit: RefitRule | None = None) -> SimulatedSweep:
    def source(spec: TrialSpec) -> list[SimulatedEpoch]:
        return [SimulatedEpoch({METRIC: spec.number + 1 / epoch}, epoch_s, 100) for epoch in range(1, HORIZON + 1)]

    plan = SweepPlan("none", None, METRIC, "minimize", HORIZON, 1, "float32", budget, lambda point: point, refit=refit)
    return simulate_sweep(plan, ScriptedEngine(), SimulatedWorkers(source, 2, 1.0, 2.0), counts_engine=False)


def elapsed_s(sweep: SimulatedSweep) -> float:
    return (sweep.state.last_ms - sweep.began_ms) / 1000


def test_a_time_of_the_day_is_the_next_one_and_a_date_is_itself() -> None:
    noon = local_ms("2027-03-01 12:00")
    assert next_time("18:00", noon) == local_ms("2027-03-01 18:00")
    assert next_time("11:59", noon) == local_ms("2027-03-02 11:59")
    assert next_time("12:00", noon) == local_ms("2027-03-02 12:00")
    assert next_time("2027-02-01 08:30", noon) == local_ms("2027-02-01 08:30")


def test_a_moment_that_has_passed_is_refused() -> None:
    noon = local_ms("2027-03-01 12:00")
    refuse_past(BudgetSettings(until="11:00"), noon)
    with pytest.raises(ConfigError, match="must lie in the future, but 2027-03-01 11:00 has passed"):
        refuse_past(BudgetSettings(until="2027-03-01 11:00"), noon)


def test_a_promotion_takes_its_refits_epochs_and_what_is_around_them() -> None:
    state, rule = state_of(10.0, scores=1.0, saving=0.5), RefitRule(None, None, HORIZON)
    assert predict_promotion_s(state, "minimize", rule) == pytest.approx(PROMOTION_BASE_S + 1.5 + 3 * HORIZON * 10)
    asked = RefitRule(20, None, HORIZON)
    assert predict_promotion_s(state, "minimize", asked) == pytest.approx(PROMOTION_BASE_S + 1.5 + 200)
    minutes = RefitRule(None, 2.0, HORIZON)
    assert predict_promotion_s(state, "minimize", minutes) == pytest.approx(PROMOTION_BASE_S + 1.5 + 120 + 30)
    assert predict_promotion_s(SweepState(), "minimize", rule) is None
    cross_fitted = RefitRule.of(PromotionSettings(epochs=20, refit="all_but_test"), HORIZON)
    assert predict_promotion_s(state, "minimize", cross_fitted) == pytest.approx(PROMOTION_BASE_S + 4 * (1.5 + 200))
    assert RefitRule.of_config({"promotion": {"refit": "all_but_test"}, "training": {"epochs": HORIZON}}).n_fits == 4


def test_a_refit_is_shortened_only_where_its_own_length_does_not_fit() -> None:
    trial, rule = trial_of(10.0), RefitRule(None, None, HORIZON)
    whole_s = PROMOTION_BASE_S + 3 * HORIZON * 10
    assert refit_epochs_within(whole_s, trial, rule) is None
    assert refit_epochs_within(PROMOTION_BASE_S + 55, trial, rule) == 5
    assert refit_epochs_within(-5.0, trial, rule) is None, "it is late already"


@pytest.mark.parametrize("epoch_s", [3.0, 40.0, 70.0])
def test_a_sweep_ends_when_the_clock_says_so_and_its_trials_can_go_on(epoch_s: float) -> None:
    began_s = VirtualClock().now_s
    until = datetime.fromtimestamp(began_s + 1800).isoformat(" ", "seconds")
    sweep = simulate(BudgetSettings(until=until), epoch_s)
    assert elapsed_s(sweep) == pytest.approx(1800, abs=epoch_s / 2 + 5)
    assert sweep.outcome.status == "completed"
    states = {trial.state for trial in sweep.state.trials.values()}
    assert states <= {TrialState.COMPLETED, TrialState.RUNNING}
    if TrialState.RUNNING in states:
        assert "can go on" in sweep.outcome.reason


@pytest.mark.parametrize("epoch_s", [3.0, 17.0, 40.0])
def test_search_and_predicted_promotion_together_keep_the_budget_within_a_tenth(epoch_s: float) -> None:
    rule = RefitRule(None, None, HORIZON)
    sweep = simulate(BudgetSettings(minutes=40, includes="promotion"), epoch_s, rule)
    promotion_s = predict_promotion_s(sweep.state, "minimize", rule)
    assert promotion_s is not None
    assert promotion_s > 3 * HORIZON * epoch_s
    assert elapsed_s(sweep) + promotion_s == pytest.approx(40 * 60, rel=0.1)
    assert sweep.outcome.promotion_left_s == pytest.approx(promotion_s, abs=240)


def test_a_promotion_that_would_take_all_the_time_leaves_half_of_it_to_the_search() -> None:
    sweep = simulate(BudgetSettings(minutes=40, includes="promotion"), 10.0, RefitRule(20_000, None, HORIZON))
    assert elapsed_s(sweep) == pytest.approx(20 * 60, rel=0.02)
    assert sweep.outcome.promotion_left_s == pytest.approx(20 * 60, rel=0.02)


def test_minutes_without_the_promotion_finish_the_running_trials_as_before() -> None:
    sweep = simulate(BudgetSettings(minutes=1), 40.0)
    assert all(trial.state is TrialState.COMPLETED for trial in sweep.state.trials.values())
    assert sweep.outcome.promotion_left_s is None


def test_what_is_left_is_shown() -> None:
    budget = BudgetSettings(minutes=30, until="18:00", includes="promotion")
    use = BudgetUse(budget, 3, 10.0, 0, 3.0, until_left_s=3600.0, promotion_s=300.0)
    assert str(use) == "10.0 of 30 minutes, until 18:00, promotion included (about 5.0 min)"
    assert use.left_s == 20 * 60 - 300
    assert not use.is_work_used
    assert BudgetUse(budget, 3, 26.0, 0, 3.0, until_left_s=3600.0, promotion_s=300.0).is_work_used
