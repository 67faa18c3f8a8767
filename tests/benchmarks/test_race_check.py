"""Real sweeps beside their replays; the real one is a replay too, which the check cannot know."""

import numpy as np

from benchmarks.curves.surrogate import Surrogate
from benchmarks.race_check import SHARES, best_at, check
from benchmarks.replay import replay
from search.experiment.experiment import Experiment
from tests.benchmarks.test_race import BUDGET, TRACK

TRACK_TIMES = np.array([0.0, 1e6])
EXPERIMENT = Experiment.model_validate(
    {"name": "checked", "corpus": {"layout": "hands"}, "engine": {"sampler": "random"}, "budget": BUDGET.model_dump()}
)


def test_a_sweep_that_is_a_replay_lies_among_its_replays() -> None:
    sweep = replay(TRACK, Surrogate(TRACK.table, TRACK.metric, TRACK.horizon), EXPERIMENT.engine, 5, 2, BUDGET)
    rows = check("mine", sweep.state, TRACK, EXPERIMENT, 2, 6)
    assert [row[:3] for row in rows] == [("mine", "optuna random", "2")] * len(SHARES)
    assert rows[-1][-1] in {f"{n} of 6" for n in range(7)}
    best = min(trial.value for trial in sweep.state.trials.values() if trial.value is not None)
    assert rows[-1][4] == f"{best:.3f}"


def test_before_a_trial_is_completed_there_is_no_best_score() -> None:
    sweep = replay(TRACK, Surrogate(TRACK.table, TRACK.metric, TRACK.horizon), EXPERIMENT.engine, 5, 1, BUDGET)
    begin, end = best_at(sweep.state, sweep.began_ms, TRACK, TRACK_TIMES)
    assert begin == float("inf")
    assert end < begin
