from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from core.errors import ModelError
from core.networks.hyperparameters import Hyperparameters
from core.networks.layer_plan import plan_layers
from core.networks.model import build_model, build_optimizer
from core.networks.presets import pooled_preset, seed_recipe

SMALL = Hyperparameters(input_px=16, n_blocks=2, filters=4, n_dense=1, dense_1=8)
SHAPE = (32, 32, 1)
PATCHES = np.random.default_rng(0).integers(0, 256, (6, *SHAPE), dtype=np.uint8)


@pytest.fixture
def bfloat16() -> Iterator[None]:
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy("float32")


def test_the_seed_recipe_has_827698_weights_for_50_writers() -> None:
    assert build_model(seed_recipe(), (113, 113, 1), 50).count_params() == 827_698


def test_the_plan_counts_the_weights_that_are_built() -> None:
    points = pooled_preset().space.with_fixed({"filters": 16}).spread(6, seed=1)
    heads = [replace(SMALL, input_px=56, head=head) for head in ("flatten", "global_max", "global_average_max")]
    early = replace(SMALL, input_px=113, early_filters=3, stem_kernel_size=5, convolutions_per_block=2)
    others = [*heads, early, replace(early, batch_norm=False)]
    for hyperparameters in [*(Hyperparameters.from_point(point) for point in points), *others]:
        n_weights = plan_layers(hyperparameters, 113, 7).n_weights
        assert build_model(hyperparameters, (113, 113, 1), 7).count_params() == n_weights


def test_stored_patches_and_floats_give_the_same_probabilities() -> None:
    model = build_model(SMALL, SHAPE, 5)
    probabilities = np.asarray(model(PATCHES))
    assert probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_array_equal(probabilities, np.asarray(model(PATCHES.astype(np.float32))))


def test_ink_is_one_and_paper_is_zero_inside() -> None:
    model = build_model(SMALL, SHAPE, 5)
    inside = keras.Model(model.input, model.get_layer("ink").output)
    patches = np.full((1, *SHAPE), 255, np.uint8)
    patches[:, :, :16] = 0
    ink = np.asarray(inside(patches))
    assert ink.shape == (1, 16, 16, 1)
    assert ink[:, :, :8] == pytest.approx(1.0)
    assert ink[:, :, 8:] == pytest.approx(0.0)


@pytest.mark.usefixtures("bfloat16")
def test_bfloat16_computes_convolutions_only_and_keeps_weights_in_float32() -> None:
    model = build_model(SMALL, SHAPE, 5)
    assert model.get_layer("block_1_convolution_1").compute_dtype == "bfloat16"
    assert model.get_layer("logits").compute_dtype == model.get_layer("probabilities").compute_dtype == "float32"
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    assert np.asarray(model(PATCHES)).sum(axis=1) == pytest.approx(1.0, abs=1e-6)


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second, other = (build_model(SMALL, SHAPE, 5, seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_a_saved_model_loads_with_keras_alone(tmp_path: Path) -> None:
    model = build_model(SMALL, SHAPE, 5)
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(model(PATCHES)), np.asarray(loaded(PATCHES)))


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({"n_blocks": 7}, (113, 113, 1), "2 px or more to pool"),
        ({}, (113, 90, 1), r"must be \(side, side, 1\), but got \(113, 90, 1\)"),
        ({}, (113, 113, 3), r"must be \(side, side, 1\)"),
        ({}, (113, 113), r"must be \(side, side, 1\)"),
    ],
)
def test_a_network_that_cannot_be_is_refused(changes: dict[str, int], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_model(replace(Hyperparameters(), **changes), shape, 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_weight_decay_is_for_adamw_and_sgd_and_spares_biases_and_batch_norm(optimizer: str) -> None:
    hyperparameters = replace(SMALL, optimizer=optimizer, weight_decay=0.1, schedule="constant", learning_rate=0.5)
    model = build_model(hyperparameters, SHAPE, 5)
    for weight in model.trainable_variables:
        weight.assign(np.ones(weight.shape, np.float32))
    gradients = [np.zeros(weight.shape, np.float32) for weight in model.trainable_variables]
    build_optimizer(hyperparameters, 10).apply([keras.ops.array(g) for g in gradients], model.trainable_variables)
    for weight in model.trainable_variables:
        decays = weight.name == "kernel" and optimizer in ("adamw", "sgd")
        assert np.asarray(weight) == pytest.approx(1 - 0.5 * 0.1 if decays else 1.0)


def test_the_cosine_warms_up_and_ends_at_zero() -> None:
    schedule = build_optimizer(replace(SMALL, schedule="cosine", learning_rate=0.1), 200)._learning_rate
    rates = [float(schedule(step)) for step in range(201)]
    assert rates[0] == 0.0
    assert int(np.argmax(rates)) == 10
    assert max(rates) == pytest.approx(0.1)
    assert rates[105] == pytest.approx(0.05, rel=0.02)
    assert rates[200] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("n_steps", [1, 2, 10])
def test_a_horizon_of_a_few_steps_still_learns(n_steps: int) -> None:
    schedule = build_optimizer(replace(SMALL, schedule="cosine", learning_rate=0.1), n_steps)._learning_rate
    assert float(schedule(0)) + float(schedule(1)) > 0.01
