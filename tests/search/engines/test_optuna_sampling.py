"""Drawing points: each trial has random numbers of its own."""

import pytest
from optuna.storages import InMemoryStorage

from core.space import Real, SearchSpace
from search.engines.base import EngineSettings
from search.engines.optuna_sampling import PointSampler
from search.engines.optuna_settings import OptunaSettings
from search.engines.optuna_study import StudyRecord

SPACE = SearchSpace((Real("x", 0.0, 1.0), Real("y", 0.0, 1.0)))


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_first_draws_of_all_trials_differ_and_do_not_depend_on_each_other(sampler: str) -> None:
    storage = InMemoryStorage()
    StudyRecord(storage, EngineSettings(SPACE, (), 0, "loss", "minimize", 1, "sweep"))
    drawn = PointSampler(OptunaSettings.model_validate({"sampler": sampler}), SPACE, storage, "sweep")
    forwards = [next(drawn.draws(1, number)) for number in range(20)]
    backwards = [next(drawn.draws(1, number)) for number in reversed(range(20))]
    assert forwards == backwards[::-1]
    assert len({point["x"] for point in forwards}) == len({point["y"] for point in forwards}) == 20
