"""The space in the hands of code that drives Optuna or KerasTuner itself."""

from collections.abc import Mapping

import keras_tuner
import optuna
import pytest

from core.networks.hyperparameters import Hyperparameters
from core.networks.presets import pooled_preset
from core.space import Categorical, Condition, Integer, Real, SearchSpace, Value

optuna.logging.set_verbosity(optuna.logging.WARNING)

SPACES: Mapping[str, SearchSpace] = {
    "of the project": pooled_preset().space,
    "awkward": SearchSpace(
        (
            Categorical("kind", ("flat", "deep", 3, 3.5, True)),
            Categorical("norm", (True, False)),
            Integer("depth", 1, 3, when=Condition("kind", ("deep", True))),
            Real("width", 0.1, 10.0, log=True, when=Condition("depth", (2, 3))),
            Real("dropout", 0.0, 0.6, step=0.1, when=Condition("norm", (False,))),
            Integer("units", 64, 4096, 64),
            Integer("log_units", 1, 100_000, log=True),
            Integer("same", 7, 7),
            Categorical("only", ("this",)),
        )
    ),
}


@pytest.fixture(params=SPACES)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return SPACES[request.param]


def by_optuna(space: SearchSpace, n: int) -> list[dict[str, Value]]:
    points: list[dict[str, Value]] = []

    def objective(trial: optuna.Trial) -> float:
        points.append(space.suggest(trial))
        return 0.0

    optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)).optimize(objective, n_trials=n)
    return points


def by_keras_tuner(space: SearchSpace, n: int) -> list[dict[str, Value]]:
    hp = keras_tuner.HyperParameters()
    space.to_keras_tuner(hp)
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("loss", "min"), max_trials=n, hyperparameters=hp, seed=1
    )
    oracle.verbose = 0
    points: list[dict[str, Value]] = []
    for _ in range(n):
        values = oracle.populate_space(f"{len(points):04d}")["values"]
        trial_hp = hp.copy()
        trial_hp.values = dict(values)
        points.append(space.to_keras_tuner(trial_hp))
    return points


@pytest.mark.parametrize("draw", [by_optuna, by_keras_tuner])
def test_every_point_is_in_the_space_with_exact_types(draw: object, space: SearchSpace) -> None:
    points = draw(space, 60)  # type: ignore[operator]
    for point in points:
        space.check(point)
    assert len({str(point) for point in points}) == 60


@pytest.mark.parametrize("draw", [by_optuna, by_keras_tuner])
def test_every_choice_comes_up_also_behind_conditions(draw: object) -> None:
    points = draw(SPACES["awkward"], 150)  # type: ignore[operator]
    assert {repr(point["kind"]) for point in points} == {"'flat'", "'deep'", "3", "3.5", "True"}
    assert {point["dropout"] for point in points if "dropout" in point} == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6}
    assert {point["depth"] for point in points if "depth" in point} == {1, 2, 3}
    assert any("width" in point for point in points)


def test_optuna_s_own_parameters_are_the_space_s_values() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    trial = study.ask()
    point = pooled_preset().space.suggest(trial)
    assert trial.params == pytest.approx(point)
    assert pooled_preset().space.suggest(optuna.trial.FixedTrial(point)) == point


def test_a_point_makes_hyperparameters() -> None:
    for point in (*by_optuna(pooled_preset().space, 3), *by_keras_tuner(pooled_preset().space, 3)):
        assert isinstance(Hyperparameters.from_point(point), Hyperparameters)
