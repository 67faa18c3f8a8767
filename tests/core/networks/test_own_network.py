"""Networks of the user's own, from probabilities to what is trained, asked and embedded."""

import keras
import numpy as np
import pytest

from core.errors import ModelError
from core.networks.inference import Embedder, OwnNetwork, Predictor, is_own, network_to_train

SHAPE = (32, 32, 1)
PATCHES = np.random.default_rng(0).integers(0, 256, (6, *SHAPE), dtype=np.uint8)


def own(last: keras.layers.Layer, name: str | None = None) -> keras.Model:
    keras.utils.set_random_seed(0)
    x = patches = keras.Input(SHAPE)
    x = keras.layers.Rescaling(-1 / 255, 1)(x)
    x = keras.layers.Flatten(name=name)(keras.layers.AveragePooling2D(8)(x))
    return keras.Model(patches, last(x))


@pytest.mark.parametrize("activation", ["softmax", "a custom one"])
def test_log_probabilities_are_those_of_the_probabilities(activation: str) -> None:
    def normalised(x: keras.KerasTensor) -> keras.KerasTensor:
        positive = keras.ops.exp(x)
        return positive / keras.ops.sum(positive, axis=-1, keepdims=True)

    model = own(keras.layers.Dense(5, activation="softmax" if activation == "softmax" else normalised))
    assert is_own(model)
    found = Predictor(model).log_probabilities([PATCHES[:4], PATCHES[4:]])
    assert found == pytest.approx(np.log(np.asarray(model(PATCHES, training=False))), abs=1e-5)


def test_a_softmax_gives_back_its_logits_where_a_probability_would_round_to_zero() -> None:
    model = own(keras.layers.Dense(2, activation="softmax"))
    model.layers[-1].bias.assign(np.array([200.0, -200.0], np.float32))
    assert Predictor(model).log_probabilities([PATCHES])[:, 1] == pytest.approx(-400, abs=50)


def test_a_predictor_sees_the_weights_of_now() -> None:
    model = own(keras.layers.Dense(3, activation="softmax"))
    predictor = Predictor(model)
    before = predictor.log_probabilities([PATCHES])
    model.layers[-1].bias.assign(np.array([1.0, 0.0, 0.0], np.float32))
    assert (predictor.log_probabilities([PATCHES])[:, 0] > before[:, 0]).all()


def test_its_own_variables_are_trained_and_its_regularisers_count() -> None:
    model = own(keras.layers.Dense(3, activation="softmax", kernel_regularizer=keras.regularizers.L2(0.1)))
    network = network_to_train(model)
    assert isinstance(network, OwnNetwork)
    assert [ours is theirs for ours, theirs in zip(network.variables, model.variables, strict=True)] == [True, True]
    network(PATCHES, training=True)
    assert float(network.losses[0]) == pytest.approx(0.1 * float(np.square(model.layers[-1].kernel).sum()), rel=1e-5)


def test_the_embedding_is_the_named_layer_or_else_what_the_last_dense_layer_is_given() -> None:
    last = keras.Sequential([keras.layers.Dense(4), keras.layers.Softmax()])
    assert Embedder(own(keras.layers.Dense(3, activation="softmax"))).embed([PATCHES]).shape == (6, 16)
    named = Embedder(own(last, name="embedding")).embed([PATCHES])
    assert named.shape == (6, 16)
    np.testing.assert_allclose(np.linalg.norm(named, axis=1), 1, atol=1e-6)
    with pytest.raises(ModelError, match=r"is the output, of shape .*, of the layer named 'embedding'"):
        Embedder(own(last))
