import math

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState as OptunaState

from core.space import Categorical, Condition, Integer, Point, Real, SearchSpace
from search.engines.optuna.study import study_from_ledger
from search.ledger.events import (
    AttemptStarted,
    EpochReported,
    LedgerEvent,
    SegmentEnded,
    SweepCreated,
    TrialContinued,
    TrialProposed,
)
from search.ledger.state import SweepState
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialState

METRIC = "val/loss"
SPACE = SearchSpace(
    (
        Categorical("norm", (True, False)),
        Integer("depth", 1, 3, when=Condition("norm", (True,))),
        Real("rate", 1e-4, 1e-1, log=True),
    )
)


def proposed(number: int, point: Point) -> TrialProposed:
    return TrialProposed(1_700_000_000_000 + number, number, point, point, 7, None, 3)


def report(number: int, epoch: int, value: float, decision: PruningDecision = PruningDecision.GO) -> EpochReported:
    return EpochReported(
        1_700_000_001_000 + epoch, number, 1, EpochReport(epoch, {METRIC: value, "train/loss": 9.0}, 10, 1.0), decision
    )


def ended(number: int, state: TrialState, value: float | None = None) -> SegmentEnded:
    return SegmentEnded(1_700_000_009_000, number, 1, TrialResult(state, value))


EVENTS: tuple[LedgerEvent, ...] = (
    SweepCreated(1, "cheap-1", "cheap", {}, "", "0.2.0", ""),
    proposed(0, {"norm": True, "depth": 2, "rate": 0.01}),
    AttemptStarted(1_700_000_000_500, 0, 1, 0, 3, 1, "float32", 1),
    report(0, 1, 0.9),
    report(0, 2, math.nan),
    report(0, 3, 0.4),
    ended(0, TrialState.COMPLETED, 0.4),
    proposed(1, {"norm": False, "rate": 0.05}),
    report(1, 1, 2.0, PruningDecision.STOP),
    ended(1, TrialState.PRUNED),
    proposed(2, {"norm": True, "depth": 9, "rate": 0.01}),  # outside of the space
    ended(2, TrialState.COMPLETED, 0.6),
    proposed(3, {"norm": False, "rate": 0.002}),
    ended(3, TrialState.FAILED),
    proposed(4, {"norm": False, "rate": 0.003}),
    report(4, 1, 0.8, PruningDecision.PAUSE),
    ended(4, TrialState.PAUSED),
    TrialContinued(1_700_000_010_000, 4, None),
    report(4, 2, 0.5),
    proposed(5, {"norm": False, "rate": 0.004}),
    report(5, 1, 0.7, PruningDecision.PAUSE),
    ended(5, TrialState.PAUSED),
)


@pytest.fixture
def study() -> optuna.Study:
    return study_from_ledger(SweepState.fold(EVENTS), SPACE, METRIC, "minimize")


def test_a_trial_has_the_ledgers_number_and_the_state_that_optuna_gives_it(study: optuna.Study) -> None:
    states = [OptunaState.COMPLETE, OptunaState.PRUNED, OptunaState.COMPLETE, OptunaState.FAIL, OptunaState.RUNNING]
    assert [(trial.number, trial.state) for trial in study.trials] == [
        *enumerate(states),
        (5, OptunaState.PRUNED),  # paused
    ]
    assert study.best_trial.number == 0
    assert study.study_name == "cheap-1"


def test_a_trial_has_its_point_its_scores_its_value_and_its_times(study: optuna.Study) -> None:
    first, pruned, *_, running, _ = study.trials
    assert first.params == {"norm": True, "depth": 2, "rate": 0.01}
    assert set(first.distributions) == {"norm", "depth", "rate"}
    assert first.intermediate_values == {1: 0.9, 3: 0.4}, "what is no number is left out"
    assert first.value == 0.4
    assert first.duration is not None
    assert first.duration.total_seconds() == 8.5
    assert pruned.params == {"norm": False, "rate": 0.05}, "an inactive dimension has no value"
    assert running.intermediate_values == {1: 0.8, 2: 0.5}, "both of its segments are one trial"
    assert running.datetime_complete is None


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")  # of Optuna's figure
def test_a_trial_outside_of_the_space_counts_without_parameters(study: optuna.Study) -> None:
    outside = study.trials[2]
    assert outside.value == 0.6
    assert outside.params == {}
    panels = optuna.visualization.matplotlib.plot_slice(study)
    assert isinstance(panels, np.ndarray)
    assert [axes.get_xlabel() for axes in panels] == ["depth", "norm", "rate"]
