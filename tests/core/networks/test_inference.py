import numpy as np
import pytest

from core.networks.hyperparameters import Hyperparameters
from core.networks.inference import Predictor
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
