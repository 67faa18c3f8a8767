import keras
import numpy as np
import pytest

from core.errors import ModelError
from core.networks.hyperparameters import Hyperparameters
from core.networks.inference import FusedBatchNormalization, copy_variables, fast_twin
from core.networks.model import build_model

SHAPE = (32, 32, 1)
PATCHES = np.random.default_rng(0).integers(0, 256, (16, *SHAPE), dtype=np.uint8)


def a_model(dropout: float = 0.0) -> keras.Model:
    """A small network whose running statistics and gains are not those it starts with."""
    hyperparameters = Hyperparameters(input_px=16, n_blocks=2, filters=4, head="global_average_max", dropout=dropout)
    model = build_model(hyperparameters, SHAPE, 5)
    generator = np.random.default_rng(1)
    for weight in model.weights:
        if weight.name in ("gamma", "beta", "moving_mean", "moving_variance"):
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    return model


def test_the_twin_predicts_the_same() -> None:
    model = a_model()
    twin = fast_twin(model)
    assert any(isinstance(layer, FusedBatchNormalization) for layer in twin.layers)
    probabilities = np.asarray(keras.ops.softmax(twin(PATCHES, training=False)))
    assert probabilities == pytest.approx(np.asarray(model(PATCHES, training=False)), abs=1e-5)


def test_the_twin_normalises_by_the_batch_and_follows_it_as_keras_does() -> None:
    model = a_model()
    twin = fast_twin(model)
    probabilities = np.asarray(keras.ops.softmax(twin(PATCHES, training=True)))
    assert probabilities == pytest.approx(np.asarray(model(PATCHES, training=True)), abs=1e-5)
    for theirs, ours in zip(model.variables, twin.variables, strict=True):
        # the fused kernel takes the unbiased variance
        assert np.asarray(ours) == pytest.approx(np.asarray(theirs), rel=2e-3, abs=1e-5)


def test_variables_go_back_in_the_same_order_with_the_state_of_dropout() -> None:
    model = a_model(dropout=0.5)
    twin = fast_twin(model)
    assert [variable.name for variable in model.variables] == [variable.name for variable in twin.variables]
    for _ in range(3):
        twin(PATCHES, training=True)
    copy_variables(twin, model)
    states = [[np.asarray(v) for v in m.variables if "seed_generator" in v.path] for m in (model, twin)]
    assert len(states[0]) == 1
    np.testing.assert_array_equal(states[0], states[1])


def test_a_foreign_model_is_refused() -> None:
    with pytest.raises(ModelError, match="layer named 'logits'"):
        fast_twin(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
