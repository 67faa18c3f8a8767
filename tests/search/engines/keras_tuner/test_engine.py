"""The KerasTuner engine: the contract with every oracle, and what is KerasTuner's own."""

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from keras_tuner import oracles
from threadpoolctl import threadpool_info

from core.errors import EngineError
from core.space import Categorical, Condition, Integer, Point, Real, SearchSpace
from search.engines import open_engine
from search.engines.base import (
    Continue,
    Engine,
    EngineSettings,
    Exhausted,
    Start,
)
from search.experiment.engine_settings import KerasTunerSettings
from search.ledger.events import EngineEvent, EpochReported, SegmentEnded, TrialContinued, TrialProposed
from search.ledger.trial import EpochReport, TrialResult, TrialState
from search.testing.engines import METRIC, SPACES, EngineContract, PlayedSweep

ORACLES = ("random", "bayesian", "grid", "hyperband")


class TestRandom(EngineContract):
    """Random search."""

    def make_engine(self, settings: EngineSettings) -> Engine:
        return open_engine(KerasTunerSettings(oracle="random"), settings)


class TestBayesian(EngineContract):
    """A Gaussian process that learns late, for its proposals take time; tests below let it learn
    early.
    """

    def make_engine(self, settings: EngineSettings) -> Engine:
        return open_engine(KerasTunerSettings(oracle="bayesian", num_initial_points=24), settings)


class TestGrid(EngineContract):
    """A grid that is fine enough for the contract's trials."""

    is_seeded = False

    def make_engine(self, settings: EngineSettings) -> Engine:
        return open_engine(KerasTunerSettings(oracle="grid", grid_values=30), settings)


class TestHyperband(EngineContract):
    """Brackets of two rungs, and of one."""

    def make_engine(self, settings: EngineSettings) -> Engine:
        return open_engine(KerasTunerSettings(oracle="hyperband", factor=2), settings)


PLAIN = SearchSpace((Real("x", -1.0, 1.0), Integer("n", 0, 1000)))


def restored_engine(
    oracle: str,
    space: SearchSpace = PLAIN,
    history: Sequence[EngineEvent] = (),
    *,
    horizon_epochs: int = 2,
    enqueued: tuple[Point, ...] = (),
    seed: int = 3,
    **options: Any,
) -> Engine:
    settings = EngineSettings(space, enqueued, seed, METRIC, "minimize", horizon_epochs, "sweep")
    engine = open_engine(KerasTunerSettings.model_validate({"oracle": oracle, **options}), settings)
    engine.restore(history)
    return engine


def make(oracle: str, space: SearchSpace = PLAIN, history: Sequence[EngineEvent] = (), **options: Any) -> PlayedSweep:
    return PlayedSweep.going_on(restored_engine(oracle, space, history, **options), history)


@pytest.mark.parametrize("oracle", ORACLES)
def test_nothing_is_printed_warned_or_written(
    oracle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        space = SPACES["nested conditions"]
        sweep = make(oracle, space, num_initial_points=2, factor=2)
        sweep.run(3)
        sweep.tell(sweep.start(), TrialState.FAILED)
        make(oracle, space, sweep.history, num_initial_points=2, factor=2).run(1)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("oracle", ORACLES)
def test_the_sweeps_seed_may_be_zero(oracle: str) -> None:
    first, second = make(oracle, seed=0, factor=2), make(oracle, seed=0, factor=2)
    for sweep in (first, second):
        sweep.run(6)
    assert first.points == second.points


@pytest.mark.parametrize("oracle", ORACLES)
def test_what_does_not_run_can_neither_report_nor_end(oracle: str) -> None:
    sweep = make(oracle, factor=2)
    with pytest.raises(EngineError, match="must run"):
        sweep.report(0, 1, 1.0)
    sweep.run(1)
    with pytest.raises(EngineError, match="must run"):
        sweep.engine.tell(0, TrialResult(TrialState.COMPLETED, 1.0))
    with pytest.raises(EngineError, match="new number"):
        sweep.engine.ask(0)


def test_an_objective_that_is_not_reported_is_an_error_that_lists_what_is() -> None:
    sweep = make("random")
    number = sweep.start()
    with pytest.raises(EngineError, match=r"trial 0 reports val/other, not 'val/loss'"):
        sweep.engine.report(number, EpochReport(1, {"val/other": 1.0}, 1, 0.1))


# Bayesian.
@pytest.mark.long
def test_bayesian_comes_closer_than_random_search() -> None:
    space = SearchSpace((Real("x", -5.0, 5.0), Real("y", -5.0, 5.0)))
    best = {}
    for oracle in ("random", "bayesian"):
        sweep = make(oracle, space, num_initial_points=5)
        values = []
        for _ in range(15):
            number = sweep.start()
            values.append(sum((float(value) - 1) ** 2 for value in sweep.points[number].values()))
            sweep.tell(number, TrialState.COMPLETED, values[-1])
        best[oracle] = min(values)
    assert best["bayesian"] < best["random"] / 4


def test_bayesian_computes_on_one_thread_whatever_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    populate_space = oracles.BayesianOptimizationOracle.populate_space

    def watched(oracle: Any, trial_id: str) -> Any:
        seen.append(max(pool["num_threads"] for pool in threadpool_info()))
        return populate_space(oracle, trial_id)

    monkeypatch.setattr(oracles.BayesianOptimizationOracle, "populate_space", watched)
    make("bayesian").run(2)
    assert seen == [1, 1]


@pytest.mark.long
def test_bayesian_learns_upwards_too() -> None:
    space = SearchSpace((Real("x", 0.0, 1.0),))
    settings = EngineSettings(space, (), 3, METRIC, "maximize", horizon_epochs=2, sweep_id="sweep")
    engine = open_engine(KerasTunerSettings(oracle="bayesian", num_initial_points=4), settings)
    sweep = PlayedSweep(engine)
    for _ in range(9):
        number = sweep.start()
        sweep.tell(number, TrialState.COMPLETED, -((float(sweep.points[number]["x"]) - 0.7) ** 2))
    assert min(abs(float(point["x"]) - 0.7) for point in list(sweep.points.values())[4:]) < 0.03


@pytest.mark.long
def test_bayesian_guesses_the_scores_of_pending_trials_alike_after_a_restart() -> None:
    space = SPACES["nested conditions"]
    whole = make("bayesian", space, num_initial_points=4)
    whole.run(5)
    pending = [whole.start() for _ in range(3)]
    resumed = make("bayesian", space, whole.history, num_initial_points=4)
    for sweep in (whole, resumed):
        sweep.start()
        sweep.tell(pending[1], TrialState.COMPLETED, 0.5)
        sweep.start()
    assert resumed.points == whole.points
    assert len({str(point) for point in whole.points.values()}) == 10


def test_bayesian_learns_from_a_sweep_in_which_trials_fail() -> None:
    sweep = make("bayesian", num_initial_points=2)
    for value in (None, None, math.nan, 1.0, None, math.inf, 3.0):
        state = TrialState.FAILED if value is None else TrialState.COMPLETED
        sweep.tell(sweep.start(), state, value)
    resumed = make("bayesian", history=sweep.history, num_initial_points=2)
    for each in (sweep, resumed):
        each.run(2)
    assert resumed.points == sweep.points


def test_bayesian_keeps_away_from_where_trials_fail() -> None:
    space = SearchSpace((Real("x", 0.0, 1.0),))
    sweep = make("bayesian", space, num_initial_points=6)
    for _ in range(14):
        number = sweep.start()
        x = float(sweep.points[number]["x"])
        sweep.tell(number, *((TrialState.FAILED, None) if x > 0.5 else (TrialState.COMPLETED, 2.0 - x)))
    assert sum(float(sweep.points[number]["x"]) > 0.5 for number in range(6, 14)) <= 3


@pytest.mark.long
def test_bayesian_goes_on_to_new_points_when_it_is_sure_of_the_best() -> None:
    space = SearchSpace((Integer("n", 0, 5), Categorical("kind", ("a", "b"))))
    sweep = make("bayesian", space, num_initial_points=3)
    for _ in range(12):
        number = sweep.start()
        sweep.tell(number, TrialState.COMPLETED, float(sweep.points[number]["n"]))
    assert len({str(point) for point in sweep.points.values()}) == 12
    assert sweep.ask() == Exhausted()


# Grid.
def test_the_grid_covers_all_combinations_in_order_and_leaves_out_what_was_enqueued() -> None:
    space = SearchSpace(
        (
            Categorical("kind", ("flat", "deep")),
            Integer("depth", 1, 3, when=Condition("kind", ("deep",))),
            Real("x", 0.0, 1.0),
        )
    )
    enqueued: Point = {"kind": "deep", "depth": 2, "x": 0.5}
    sweep = make("grid", space, grid_values=3, enqueued=(enqueued,))
    while isinstance(sweep.ask(), Start):
        sweep.tell(len(sweep.points) - 1, TrialState.FAILED)
    points = list(sweep.points.values())
    assert points[0] == enqueued
    assert points[1:5] == [
        {"kind": "flat", "x": 0.0},
        {"kind": "flat", "x": 0.5},
        {"kind": "flat", "x": 1.0},
        {"kind": "deep", "depth": 1, "x": 0.0},
    ]
    assert len(points) == 3 + 9 == len({str(point) for point in points})


def test_the_grid_keeps_any_number_of_workers_busy() -> None:
    sweep = make("grid")
    for _ in range(10):
        sweep.start()
    assert len({str(point) for point in sweep.points.values()}) == 10


# Hyperband.
def rungs_of(history: Sequence[EngineEvent]) -> Counter[tuple[str, int | None]]:
    """How many trials started or went on until which epoch."""
    asked = [event for event in history if isinstance(event, TrialProposed | TrialContinued)]
    return Counter(("start" if isinstance(event, TrialProposed) else "go on", event.until_epoch) for event in asked)


def proposed(number: int, point: Point, until_epoch: int | None, at_ms: int = 0) -> TrialProposed:
    return TrialProposed(at_ms, number, point, point, 0, until_epoch, 9)


class NineEpochs:
    """Plays Hyperband with 9 epochs and factor 3: brackets of 9, 5 and 3 trials."""

    def __init__(self, history: Sequence[EngineEvent] = (), **options: Any) -> None:
        self.engine = restored_engine("hyperband", history=history, horizon_epochs=9, **options)
        self.history = list(history)
        self.points: dict[int, Point] = {}
        self.n_epochs: Counter[int] = Counter()

    def ask(self) -> Start | Continue | None:
        number = len(self.points)
        proposal = self.engine.ask(number)
        if isinstance(proposal, Start):
            self.points[number] = proposal.point
            self.history.append(proposed(number, proposal.point, proposal.until_epoch, len(self.history)))
            return proposal
        if isinstance(proposal, Continue):
            self.history.append(TrialContinued(len(self.history), proposal.number, proposal.until_epoch))
            return proposal
        return None

    def end(self, number: int, state: TrialState, value: float | None, epoch: int) -> None:
        self.n_epochs[number] = epoch
        if value is not None:
            report = EpochReport(epoch, {METRIC: value}, 1, 0.1)
            decision = self.engine.report(number, report)
            self.history.append(EpochReported(len(self.history), number, 1, report, decision))
        result = TrialResult(state, value if state is TrialState.COMPLETED else None)
        self.engine.tell(number, result)
        self.history.append(SegmentEnded(len(self.history), number, 1, result))

    def play(self, failing: Sequence[int] = (), early: Sequence[int] = ()) -> None:
        """Run until nothing is proposed; trial k has score k, so that the first are the best."""
        while (proposal := self.ask()) is not None:
            number = proposal.number if isinstance(proposal, Continue) else len(self.points) - 1
            until_epoch = proposal.until_epoch or 9
            if number in failing:
                self.end(number, TrialState.FAILED, None, 0)
            elif number in early:
                self.end(number, TrialState.COMPLETED, float(number), until_epoch - 1)
            else:
                state = TrialState.COMPLETED if until_epoch == 9 else TrialState.PAUSED
                self.end(number, state, float(number), until_epoch)


def test_hyperband_runs_its_brackets_and_lets_the_best_of_each_rung_go_on() -> None:
    sweep = NineEpochs(hyperband_iterations=1)
    sweep.play()
    assert rungs_of(sweep.history) == {
        ("start", 1): 9,
        ("go on", 3): 3,
        ("go on", 9): 1 + 2,
        ("start", 3): 5,
        ("start", 9): 3,
    }
    assert len(sweep.points) == 17
    by_epochs = {n: sorted(k for k, done in sweep.n_epochs.items() if done == n) for n in (1, 3, 9)}
    assert by_epochs == {1: [3, 4, 5, 6, 7, 8], 3: [1, 2, 11, 12, 13], 9: [0, 9, 10, 14, 15, 16]}


def test_hyperband_begins_again_until_the_budget_ends_it() -> None:
    sweep = NineEpochs()
    for _ in range(60):
        proposal = sweep.ask()
        assert proposal is not None
        number = proposal.number if isinstance(proposal, Continue) else len(sweep.points) - 1
        until_epoch = proposal.until_epoch or 9
        state = TrialState.COMPLETED if until_epoch == 9 else TrialState.PAUSED
        sweep.end(number, state, float(number), until_epoch)
    assert rungs_of(sweep.history)["start", 1] > 18


def test_failed_trials_starve_no_bracket_and_are_not_promoted() -> None:
    sweep = NineEpochs(hyperband_iterations=1)
    sweep.play(failing=(0, 1, 2, 3, 9, 14))
    went_on = {event.number for event in sweep.history if isinstance(event, TrialContinued)}
    assert went_on == {4, 5, 6, 10, 11}
    assert len(sweep.points) == 17
    assert rungs_of(sweep.history)["go on", 9] == 1 + 2


def test_a_bracket_of_failures_is_left_behind() -> None:
    sweep = NineEpochs(hyperband_iterations=2)
    sweep.play(failing=range(17))
    assert len(sweep.points) == 34
    went_on = [event.number for event in sweep.history if isinstance(event, TrialContinued)]
    assert min(went_on) == 17


def test_a_trial_that_completed_early_takes_its_place_in_the_next_rung_without_going_on() -> None:
    sweep = NineEpochs(hyperband_iterations=1)
    sweep.play(early=(9,))
    assert {event.number for event in sweep.history if isinstance(event, TrialContinued)} == {0, 1, 2, 10}
    assert len(sweep.points) == 17


def test_a_hyperband_that_was_interrupted_anywhere_goes_on_as_if_it_was_not() -> None:
    whole = NineEpochs(hyperband_iterations=1)
    whole.play(failing=(2, 10), early=(9,))
    asks = [place for place, event in enumerate(whole.history) if isinstance(event, TrialProposed | TrialContinued)]
    for place in asks[::3]:
        resumed = NineEpochs(whole.history[:place], hyperband_iterations=1)
        resumed.points = {e.number: e.point for e in resumed.history if isinstance(e, TrialProposed)}
        resumed.play(failing=(2, 10), early=(9,))
        assert resumed.history == whole.history


def test_promotions_go_on_beyond_a_start_that_came_too_late() -> None:
    sweep = NineEpochs()
    for number in range(9):
        sweep.ask()
        if number < 8:
            sweep.end(number, TrialState.PAUSED, float(number), 1)
    while isinstance(proposal := sweep.engine.ask(9), Continue):  # 0 and 1 are among the best three already
        sweep.end(proposal.number, TrialState.PAUSED, float(proposal.number), 3)
    assert isinstance(proposal, Start)  # ... and the budget is used up
    sweep.end(8, TrialState.PAUSED, -1.0, 1)
    assert sweep.engine.ask(9) == Continue(8, 3)


def test_a_ledger_in_which_an_end_overtook_an_ask_is_taken_up_as_it_is() -> None:
    sweep = NineEpochs()
    for _ in range(9):
        sweep.ask()
    for number in range(6):
        sweep.end(number, TrialState.PAUSED, float(number), 1)
    sweep.ask()  # number 9 starts in the next bracket, though the end of 6 is written down before
    for number in (6, 7, 8):
        sweep.end(number, TrialState.PAUSED, float(number), 1)
    start = next(event for event in sweep.history if isinstance(event, TrialProposed) and event.number == 9)
    assert start.until_epoch == 3
    sweep.history.remove(start)
    ledger = [*sweep.history, start]
    assert restored_engine("hyperband", history=ledger, horizon_epochs=9).ask(10) == Continue(0, 3)


def test_a_hyperband_without_a_rung_is_refused() -> None:
    with pytest.raises(EngineError, match=r"`engine\.factor` is 10 and trials have 9 epochs"):
        restored_engine("hyperband", horizon_epochs=9, factor=10)


def test_a_ledger_with_other_rungs_is_refused() -> None:
    with pytest.raises(EngineError, match=r"trial 0 must run until epoch 1, .* but it runs until 4"):
        restored_engine("hyperband", history=[proposed(0, {"x": 0.5, "n": 1}, 4)], horizon_epochs=9)


def test_enqueued_points_begin_in_a_first_rung_and_others_run_to_the_end() -> None:
    sweep = NineEpochs(enqueued=({"x": 0.5, "n": 7}, {"x": 99.0, "other": True}))
    assert sweep.ask() == Start({"x": 0.5, "n": 7}, 1)
    assert sweep.ask() == Start({"x": 99.0, "other": True}, None)
