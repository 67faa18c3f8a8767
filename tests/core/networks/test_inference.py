import keras
import numpy as np
import pytest

from core.networks.hyperparameters import Hyperparameters
from core.networks.inference import FastShrink, Predictor, fast_twin
from core.networks.model import build_model

SHAPE = (32, 32, 1)
PATCHES = np.random.default_rng(0).integers(0, 256, (11, *SHAPE), dtype=np.uint8)
MODEL = build_model(Hyperparameters(input_px=32, n_blocks=2, filters=4, dropout=0.5), SHAPE, 5)


def test_log_probabilities_are_the_logarithms_of_the_probabilities_in_order() -> None:
    logarithms = Predictor(MODEL).log_probabilities([PATCHES[:4], PATCHES[4:8], PATCHES[8:]])
    assert logarithms.dtype == np.float32
    assert logarithms.shape == (11, 5)
    assert np.exp(logarithms) == pytest.approx(np.asarray(MODEL(PATCHES)), abs=1e-5)


def test_a_predictor_sees_new_weights() -> None:
    predictor = Predictor(MODEL)
    before = predictor.log_probabilities([PATCHES])
    bias = MODEL.get_layer("logits").bias
    bias.assign(bias + np.array([1, 0, 0, 0, 0], np.float32))
    after = predictor.log_probabilities([PATCHES])
    assert (after[:, 0] > before[:, 0]).all()


def test_a_hopeless_writer_has_a_finite_logarithm() -> None:
    model = build_model(Hyperparameters(input_px=32, n_blocks=2, filters=4), SHAPE, 2)
    model.get_layer("logits").bias.assign(np.array([500.0, -500.0], np.float32))
    logarithms = Predictor(model).log_probabilities([PATCHES])
    assert logarithms[:, 1] == pytest.approx(-1000, abs=50)
    assert logarithms[:, 0] == pytest.approx(0, abs=1e-6)


def test_no_patches_give_no_rows() -> None:
    assert Predictor(MODEL).log_probabilities([]).shape == (0, 5)


@pytest.mark.parametrize(("side", "size"), [(2, 113), (4, 50), (3, 113)])
def test_shrinking_by_a_product_gives_the_means_of_pooling(side: int, size: int) -> None:
    grey = np.random.default_rng(side).integers(0, 256, (3, size, size, 1)).astype(np.float32)
    fast, pooled = (np.asarray(layer(side)(grey)) for layer in (FastShrink, keras.layers.AveragePooling2D))
    if side == 3:
        assert fast == pytest.approx(pooled, rel=1e-6)
    else:
        assert np.array_equal(fast, pooled), "bit by bit: trials of before and of now are the same"


def test_the_twin_shrinks_by_a_product_and_gives_what_the_network_does() -> None:
    model = build_model(Hyperparameters(input_px=16, n_blocks=2, filters=4), SHAPE, 5)
    assert any(isinstance(layer, FastShrink) for layer in fast_twin(model).layers)
    assert np.exp(Predictor(model).log_probabilities([PATCHES])) == pytest.approx(np.asarray(model(PATCHES)), abs=1e-5)
