"""PriorBand: the contract of engines, what it draws from, and that costly points wait early."""

import math
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import pytest

from core.errors import ConfigError
from core.space import Categorical, Condition, Integer, Point, Real, SearchSpace, Value
from search.engines import open_engine
from search.engines.base import Engine, EngineSettings
from search.engines.optuna.engine import OptunaEngine
from search.engines.optuna.priorband import PriorBand
from search.engines.rungs import rung_seconds
from search.experiment.engine_settings import OptunaSettings
from search.experiment.settings import BudgetSettings
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialSpec, TrialState
from search.sweep.plan import SweepPlan
from search.testing.engines import METRIC, EngineContract
from search.testing.simulation import SimulatedEpoch, SimulatedWorkers, simulate_sweep

PRIORBAND = OptunaSettings(sampler="priorband", n_startup_trials=3, rung_first_epoch=1)
SPACE = SearchSpace(
    (
        Real("rate", 1e-4, 1e-1, log=True),
        Real("dropout", 0.0, 0.6, step=0.1),
        Integer("filters", 8, 64, log=True),
        Integer("blocks", 1, 5, step=2),
        Categorical("head", ("flatten", "average", "max", "both")),
        Integer("units", 32, 256, when=Condition("head", ("flatten",))),
    )
)
DEFAULTS: Point = {"rate": 1e-2, "dropout": 0.2, "filters": 32, "blocks": 3, "head": "average", "units": 64, "seed": 3}
INSIDE: Point = {name: value for name, value in DEFAULTS.items() if name not in ("units", "seed")}


class TestPriorBand(EngineContract):
    """TPE from the third trial at the last rung on."""

    def make_engine(self, settings: EngineSettings) -> Engine:
        return open_engine(PRIORBAND, settings)


def settings_of(defaults: Point | None = DEFAULTS, enqueued: tuple[Point, ...] = ()) -> EngineSettings:
    return EngineSettings(SPACE, enqueued, 1, METRIC, "minimize", 9, "sweep", defaults)


def of_the_model() -> Iterator[dict[str, Value]]:
    while True:
        yield {"rate": -1.0}


def draw(prior: PriorBand, n: int, best: Sequence[Point] = (), n_at_last: int = 0) -> list[dict[str, Value]]:
    return list(islice(prior.draws(7, best, n_at_last, of_the_model), n))


def distances(points: Sequence[Point], centre: Point) -> list[float]:
    """Of the logarithms of `rate`, as a share of its range."""
    rates = [float(point["rate"]) for point in points]
    return [abs(math.log10(rate) - math.log10(float(centre["rate"]))) / 3 for rate in rates]


def test_the_defaults_come_first_and_most_points_lie_near_them() -> None:
    points = draw(PriorBand(settings_of(), 3, 10), 401)
    assert points[0] == {name: value for name, value in DEFAULTS.items() if name not in ("units", "seed")}
    for point in points:
        SPACE.check(point)
    near = np.mean(np.array(distances(points, DEFAULTS)) < 0.25)
    assert near > 0.6, "0.46 if all were random"
    assert np.mean([point["head"] == "average" for point in points]) == pytest.approx(0.75 * 0.625 + 0.25 / 4, abs=0.08)


def test_with_better_points_elsewhere_the_incumbent_takes_over_and_changes_in_half_of_its_dimensions() -> None:
    incumbent: Point = {"rate": 1.2e-4, "dropout": 0.6, "filters": 9, "blocks": 1, "head": "both"}
    points = draw(PriorBand(settings_of(), 3, 10), 401, [incumbent, incumbent])[1:]
    same = np.mean([point["rate"] == incumbent["rate"] for point in points])
    assert 0.2 < same < 0.5, "half of what is neither random nor the prior's"


def test_the_prior_is_trusted_more_where_the_best_points_lie_near_it() -> None:
    prior = PriorBand(settings_of(), 3, 10)
    near: Point = {**{name: DEFAULTS[name] for name in ("dropout", "filters", "blocks", "head")}, "rate": 1.1e-2}
    far: Point = {"rate": 1.2e-4, "dropout": 0.6, "filters": 9, "blocks": 1, "head": "both"}
    by_near, by_far = (prior._prior_share([best], best) for best in (near, far))
    assert by_near == pytest.approx(0.5, abs=0.03)
    assert by_far < by_near - 0.1


def test_once_enough_trials_came_to_the_last_rung_tpe_proposes_all_but_the_random_ones() -> None:
    points = draw(PriorBand(settings_of(None), 3, 10), 400, [DEFAULTS], n_at_last=10)
    assert np.mean([point["rate"] == -1.0 for point in points]) == pytest.approx(0.75, abs=0.07)


def test_without_any_belief_it_draws_at_random() -> None:
    points = draw(PriorBand(settings_of(None), 3, 10), 400)
    assert np.mean(np.array(distances(points, {"rate": 10**-2.5})) < 0.25) == pytest.approx(0.5, abs=0.08)


def test_a_point_outside_of_the_space_is_no_belief() -> None:
    recipe: Point = {"rate": 1.0, "dropout": 0.2, "filters": 32, "blocks": 3, "head": "flatten", "units": 64}
    own: Point = {"rate": 1e-2, "dropout": 0.2, "filters": 32, "blocks": 3, "head": "average"}
    points = draw(PriorBand(settings_of(None, enqueued=(recipe, own)), 3, 10), 401)
    assert points[0] == own
    assert np.mean([point["head"] == "flatten" for point in points]) < 0.3, "0.25 if all were random"


def report(engine: OptunaEngine, number: int, epoch: int, value: float, duration_s: float) -> PruningDecision:
    return engine.report(number, EpochReport(epoch, {METRIC: value}, 100, duration_s))


def test_rungs_lie_where_the_first_trial_to_report_has_its_epochs_and_beyond_its_end() -> None:
    assert rung_seconds(1, 3, 9, 10.0) == pytest.approx((9.0, 27.0, 81.0, 243.0))


def test_a_costly_point_waits_at_the_rung_of_its_seconds_where_others_are_further() -> None:
    engine = OptunaEngine(PRIORBAND, settings_of())
    engine.restore(())
    for number in range(5):
        engine.ask(number)
    first = [report(engine, 0, epoch, 1.0 - 0.1 * epoch, 10.0) for epoch in (1, 2, 3)]
    assert first == [PruningDecision.PAUSE] * 3, "alone at its rung, nobody is among the best third"
    for number in (1, 2):
        for epoch in (1, 2, 3):
            report(engine, number, epoch, 1.0 - 0.1 * epoch, 10.0)
    # After one epoch it is the best of all at their first epoch, but has taken the time of three.
    assert report(engine, 3, 1, 0.85, 30.0) is PruningDecision.PAUSE
    assert report(engine, 4, 1, 0.65, 30.0) is PruningDecision.GO, "it is better than what others are by then"


def test_another_pruner_beside_it_is_refused_and_rungs_may_be_epochs() -> None:
    with pytest.raises(ConfigError, match="has `pruner: asha` of itself"):
        OptunaSettings(sampler="priorband", pruner="median")
    assert OptunaSettings(sampler="priorband").has_rungs_by_seconds
    assert not OptunaSettings(sampler="priorband", rung_by="epochs").has_rungs_by_seconds
    assert not OptunaSettings(sampler="tpe", pruner="asha").has_rungs_by_seconds


@pytest.mark.long
@pytest.mark.parametrize("centre", [0.6, 0.0])
def test_in_the_same_time_it_comes_closer_than_random_search_with_a_good_prior_and_with_a_bad_one(
    centre: float,
) -> None:
    space = SearchSpace(tuple(Real(f"x{place}", 0.0, 1.0) for place in range(4)))
    defaults: Point = dict.fromkeys(space.names, centre)

    def value_of(spec: TrialSpec) -> float:
        return sum((float(x) - 0.7) ** 2 for x in spec.hyperparameters.values())

    def source(spec: TrialSpec) -> list[SimulatedEpoch]:
        return [SimulatedEpoch({METRIC: value_of(spec) + 1 / epoch}, 10.0, 100) for epoch in range(1, 10)]

    def best_of(choice: OptunaSettings, seed: int) -> float:
        plan = SweepPlan("", None, METRIC, "minimize", 9, seed, "", BudgetSettings(minutes=12), lambda point: point)
        engine = open_engine(choice, EngineSettings(space, (), seed, METRIC, "minimize", 9, "s", defaults))
        best = simulate_sweep(plan, engine, SimulatedWorkers(source, 2), counts_engine=False).outcome.best
        assert best is not None
        assert best.value is not None
        return best.value - 1 / 9

    random = [best_of(OptunaSettings(sampler="random"), seed) for seed in range(3)]
    own = [best_of(PRIORBAND, seed) for seed in range(3)]
    assert np.mean(own) < np.mean(random)


def test_a_best_point_that_lies_outside_of_the_space_counts_where_the_space_knows_it() -> None:
    outside: Point = {"rate": 1.0, "dropout": 0.2, "filters": 32, "blocks": 3, "head": "none", "kernel": 7}
    prior = PriorBand(settings_of(), 3, 10)
    for point in draw(prior, 50, best=[outside, {"rate": 9.0, "head": "none"}]):
        SPACE.check(point)


def test_what_was_enqueued_runs_to_its_end_and_the_others_wait() -> None:
    by_epochs, outside = PRIORBAND.model_copy(update={"rung_by": "epochs"}), {**DEFAULTS, "rate": 0.5}
    engine = open_engine(by_epochs, settings_of(enqueued=(INSIDE, outside)))
    for number in range(2):
        engine.ask(number)
        decisions = [engine.report(number, EpochReport(epoch, {METRIC: 1.0}, 1, 0.1)) for epoch in range(1, 10)]
        assert decisions == 9 * [PruningDecision.GO]
        engine.tell(number, TrialResult(TrialState.COMPLETED, 1.0))
    engine.ask(2)
    assert engine.report(2, EpochReport(1, {METRIC: 2.0}, 1, 0.1)) is PruningDecision.PAUSE
    engine.tell(2, TrialResult(TrialState.PAUSED))
    engine.enqueue(3, {**INSIDE, "filters": 16})
    assert engine.report(3, EpochReport(1, {METRIC: 3.0}, 1, 0.1)) is PruningDecision.GO, "whoever asks for it"
