from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from core.networks.model import build_model
from core.training.checkpoint import load_checkpoint
from core.training.fit import fit
from core.training.plan import EpochRecord, FitPlan, FitResult, Monitor
from core.training.weight_average import WeightAverage
from tests.core.training.test_fit import SHAPE, SMALL, BarFeed

AVERAGED = replace(SMALL, schedule="constant", average_weights=True)


class Validation:
    """A score that gets better each time, and the weights that were seen."""

    def __init__(self) -> None:
        self.seen: list[list[NDArray[np.float32]]] = []

    def __call__(self, model: keras.Model) -> Mapping[str, float]:
        self.seen.append(model.get_weights())
        return {"val/score": -float(len(self.seen))}


def own_network() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    x = keras.layers.Conv2D(3, 5, strides=4)(keras.layers.Rescaling(1 / 255)(inputs))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


def fitted(model: keras.Model, **changes: Any) -> tuple[FitResult, Validation, list[EpochRecord]]:
    plan = replace(FitPlan(AVERAGED, Monitor("val/score"), horizon_epochs=3, checkpoint_dir=None), **changes)
    validation, records = Validation(), list[EpochRecord]()
    result = fit(model, BarFeed(), validation, plan, lambda record: records.append(record) or True)  # type: ignore[func-returns-value]
    return result, validation, records


def test_the_mean_is_that_of_the_latest_part_of_the_fit() -> None:
    network = own_network()
    average = WeightAverage(network, batch_size=64)
    n = 400
    for k in range(1, n + 1):
        for variable in network.trainable_variables:
            variable.assign(np.full(variable.shape, k, np.float32))
        average.after_step()
    means = [float(value.mean()) for value in average.values if value.dtype == np.float32]
    weights = np.arange(1, n + 1) ** 9.0  # of polynomial decay, to the first order
    expected = float(np.sum(weights * np.arange(1, n + 1)) / np.sum(weights))
    assert expected == pytest.approx(10 / 11 * n, rel=0.01)
    assert max(means) == pytest.approx(expected, rel=0.01)


def test_small_batches_are_taken_in_each_64_patches() -> None:
    network = own_network()
    average = WeightAverage(network, batch_size=16)
    before = average.values
    for variable in network.trainable_variables:
        variable.assign(variable.value + 1.0)
    for _ in range(3):
        average.after_step()
    assert all(np.array_equal(now, then) for now, then in zip(average.values, before, strict=True))
    average.after_step()
    now = [variable.numpy() for variable in network.variables]
    assert all(np.array_equal(mean, value) for mean, value in zip(average.values, now, strict=True)), "the first mean"


@pytest.mark.parametrize("is_own", [False, True])
def test_the_mean_is_validated_and_kept_and_the_training_goes_on_without_it(tmp_path: Path, is_own: bool) -> None:
    def network() -> keras.Model:
        return own_network() if is_own else build_model(AVERAGED, SHAPE, 3)

    model = network()
    _, validation, records = fitted(model, checkpoint_dir=tmp_path)
    state = load_checkpoint(max(tmp_path.glob("epoch-*.npz")))
    kept = {array.tobytes() for array in state.average}
    assert all(weight.tobytes() in kept for weight in model.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), validation.seen[-1], strict=True))
    plain_folder = tmp_path / "plain"
    plain = network()
    without = fitted(plain, hyperparameters=replace(AVERAGED, average_weights=False), checkpoint_dir=plain_folder)
    trained = load_checkpoint(max(plain_folder.glob("epoch-*.npz")))
    assert all(np.array_equal(a, b) for a, b in zip(state.model, trained.model, strict=True)), "the same steps"
    assert [record.metrics["train/loss"] for record in records] == [each.metrics["train/loss"] for each in without[2]]
    assert not trained.average
    assert any(not np.array_equal(a, b) for a, b in zip(model.get_weights(), plain.get_weights(), strict=True))


def test_parts_make_the_same_mean_as_the_whole(tmp_path: Path) -> None:
    whole, _, _ = fitted(build_model(AVERAGED, SHAPE, 3), checkpoint_dir=tmp_path / "whole")
    fitted(build_model(AVERAGED, SHAPE, 3), until_epoch=1, checkpoint_dir=tmp_path / "parts")
    checkpoint = max((tmp_path / "parts").glob("epoch-*.npz"))
    model = build_model(AVERAGED, SHAPE, 3)
    plan = FitPlan(AVERAGED, Monitor("val/score"), horizon_epochs=3, checkpoint_dir=tmp_path / "parts")
    validation = Validation()
    validation.seen.append([])  # of the first epoch
    parted = fit(model, BarFeed(), validation, replace(plan, checkpoint=checkpoint), lambda record: True)
    assert whole.checkpoint is not None
    assert parted.checkpoint is not None
    assert whole.checkpoint.sha256 == parted.checkpoint.sha256
