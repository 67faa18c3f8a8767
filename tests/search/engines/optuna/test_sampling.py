"""Drawing points: each trial has random numbers of its own."""

import importlib.util

import numpy as np
import pytest
from optuna.storages import InMemoryStorage

from core.errors import EngineError
from core.space import Categorical, Integer, Real, SearchSpace
from search.engines.base import EngineSettings
from search.engines.optuna.sampling import PointSampler
from search.engines.optuna.study import StudyRecord
from search.experiment.engine_settings import OptunaSettings

SPACE = SearchSpace((Real("x", 0.0, 1.0), Real("y", 0.0, 1.0)))


def make(sampler: str, space: SearchSpace = SPACE, seed: int = 1) -> PointSampler:
    storage = InMemoryStorage()
    settings = EngineSettings(space, (), seed, "loss", "minimize", 1, "sweep")
    StudyRecord(storage, settings)
    return PointSampler(OptunaSettings.model_validate({"sampler": sampler}), settings, storage, "sweep")


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc"])
def test_the_first_draws_of_all_trials_differ_and_do_not_depend_on_each_other(sampler: str) -> None:
    drawn = make(sampler)
    forwards = [next(drawn.draws(number)) for number in range(20)]
    backwards = [next(drawn.draws(number)) for number in reversed(range(20))]
    assert forwards == backwards[::-1]
    assert len({point["x"] for point in forwards}) == len({point["y"] for point in forwards}) == 20


def test_a_sobol_sequence_covers_every_dimension_more_evenly_than_chance() -> None:
    def emptiest(sampler: str) -> int:
        points = [next(make(sampler).draws(number)) for number in range(64)]
        return min(
            np.histogram([float(point[name]) for point in points], bins=16, range=(0, 1))[0].min() for name in "xy"
        )

    assert emptiest("qmc") == 4, "64 points, 16 bins: each has its share"
    assert emptiest("random") < 4


def test_a_grid_goes_to_every_point_once_in_an_order_that_the_seed_decides() -> None:
    space = SearchSpace((Integer("n", 1, 4), Categorical("kind", ("a", "b", "c"))))
    orders = [[str(next(make("grid", space, seed).draws(number))) for number in range(12)] for seed in (1, 1, 2)]
    assert len(set(orders[0])) == 12
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])


@pytest.mark.parametrize(
    ("space", "found"),
    [
        (SPACE, "x, y can have any value"),
        (SearchSpace((Integer("n", 0, 20_000),)), "more than 10,000 points"),
    ],
)
def test_a_grid_over_a_space_without_end_is_refused_with_what_to_do(space: SearchSpace, found: str) -> None:
    with pytest.raises(EngineError, match=rf"grid` needs a finite space.*{found}.*`step`.*keras_tuner"):
        make("grid", space)


def test_gaussian_processes_without_torch_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find_spec(name))
    with pytest.raises(EngineError, match=r"needs PyTorch.*'\.\[gp\]'"):
        make("gp")


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch, the extra `gp`, is not installed")
def test_a_dimension_too_long_for_a_gaussian_process_is_refused() -> None:
    with pytest.raises(EngineError, match="100,000, but n has more"):
        make("gp", SearchSpace((Integer("n", 0, 10**6), Real("x", 0.0, 1.0))))
