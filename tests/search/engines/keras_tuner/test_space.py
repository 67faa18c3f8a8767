"""KerasTuner's words for our dimensions."""

import numpy as np
import pytest
from keras_tuner.engine.hyperparameters import Choice, Fixed, Int

from core.networks.presets import pooled_preset
from core.space import Categorical, Condition, Integer, Real, SearchSpace
from search.engines.keras_tuner.space import KerasTunerSpace
from search.testing.engines import SPACES

ALL_SPACES = {**SPACES, "default": pooled_preset().space}


def types_of(point: dict[str, object]) -> dict[str, type]:
    return {name: type(value) for name, value in point.items()}


@pytest.mark.parametrize("name", ALL_SPACES)
def test_points_come_back_as_they_were(name: str) -> None:
    space = ALL_SPACES[name]
    form, generator = KerasTunerSpace(space), np.random.default_rng(0)
    for _ in range(200):
        point = space.sample(generator)
        back = form.from_keras(form.to_keras(point))
        assert back == point
        assert types_of({**back}) == types_of({**point})


@pytest.mark.parametrize("name", ALL_SPACES)
def test_what_keras_tuner_makes_of_any_probability_is_in_the_space(name: str) -> None:
    space = ALL_SPACES[name]
    form, generator = KerasTunerSpace(space), np.random.default_rng(0)
    declared = {hp.name: hp for hp in form.hyperparameters().space}
    assert list(declared) == list(space.names)
    for quantiles in [np.zeros(len(declared)), np.ones(len(declared)), *generator.random((200, len(declared)))]:
        values = {n: hp.prob_to_value(float(q)) for (n, hp), q in zip(declared.items(), quantiles, strict=True)}
        full = form.from_keras(values)
        space.check({n: full[n] for n in space.active(full)})


@pytest.mark.parametrize("name", ALL_SPACES)
def test_keras_tuner_knows_the_same_names_to_be_active(name: str) -> None:
    space = ALL_SPACES[name]
    form, generator = KerasTunerSpace(space), np.random.default_rng(0)
    hp = form.hyperparameters()
    for _ in range(50):
        point = space.sample(generator)
        hp.values = form.to_keras(point)
        assert tuple(each.name for each in hp.space if hp.is_active(each)) == tuple(point)


def test_a_child_hangs_on_all_of_its_ancestors() -> None:
    hp = KerasTunerSpace(SPACES["nested conditions"]).hyperparameters()
    conditions = {each.name: [(c.name, c.values) for c in each.conditions] for each in hp.space}
    assert conditions["kind"] == []
    assert conditions["width_3"] == [("kind", [1]), ("depth", [2])]


def test_both_ends_of_a_stepped_float_are_drawn() -> None:
    form = KerasTunerSpace(SearchSpace((Real("x", 0.0, 0.6, step=0.1),)))
    (hp,) = form.hyperparameters().space
    drawn = {form.from_keras({"x": hp.random_sample(seed)})["x"] for seed in range(1, 200)}
    assert drawn == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6}


def test_one_value_is_fixed_and_choices_go_over_as_places() -> None:
    space = SearchSpace((Integer("n", 7, 7), Categorical("c", (True, 1, "a")), Integer("big", 10**17, 10**17 + 9, 3)))
    form = KerasTunerSpace(space)
    kinds = [type(hp) for hp in form.hyperparameters().space]
    assert kinds == [Fixed, Choice, Int]
    assert form.to_keras({"n": 7, "c": 1, "big": 10**17 + 6}) == {"n": 0, "c": 1, "big": 2}


def test_a_grid_has_both_ends_and_what_conditions_name() -> None:
    space = SearchSpace(
        (
            Integer("depth", 0, 100),
            Real("rate", 1e-4, 1.0, log=True),
            Integer("few", 1, 3, log=True),
            Real("x", 0.0, 1.0, when=Condition("depth", (7,))),
        )
    )
    form = KerasTunerSpace(space, grid_values=3)
    values = {
        hp.name: [form.from_keras({hp.name: v})[hp.name] for v in hp.values] for hp in form.hyperparameters().space
    }
    assert values["depth"] == [0, 7, 50, 100]
    assert values["rate"] == pytest.approx([1e-4, 1e-2, 1.0])
    assert values["few"] == [1, 2, 3]
