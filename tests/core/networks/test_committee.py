"""Networks that answer together."""

from pathlib import Path

import keras
import numpy as np
import pytest

from core.errors import ModelError
from core.networks.committee import join_networks
from core.networks.hyperparameters import Hyperparameters
from core.networks.inference import Embedder, Predictor, in_batches
from core.networks.model import build_model

SHAPE = (56, 56, 1)
NET = Hyperparameters(filters=4, n_blocks=2, dropout=0.3)
PATCHES = np.random.default_rng(0).integers(0, 256, (9, 56, 56), dtype=np.uint8)


def network(seed: int, n_writers: int = 5) -> keras.Model:
    model = build_model(NET, SHAPE, n_writers, seed)
    generator = np.random.default_rng(seed)
    model.set_weights([weights + generator.uniform(0, 0.1, weights.shape) for weights in model.get_weights()])
    return model


MEMBERS = [network(seed) for seed in (1, 2, 3)]


def log_probabilities(model: keras.Model) -> np.ndarray:
    return Predictor(model).log_probabilities(in_batches(PATCHES))


def test_the_answer_is_the_mean_of_the_members_log_probabilities(tmp_path: Path) -> None:
    mean = np.mean([log_probabilities(member) for member in MEMBERS], axis=0)
    mean -= np.log(np.exp(mean).sum(axis=1, keepdims=True))
    committee = join_networks(MEMBERS)
    np.testing.assert_allclose(log_probabilities(committee), mean, atol=2e-5)
    committee.save(tmp_path / "committee.keras")
    loaded = keras.models.load_model(tmp_path / "committee.keras")
    np.testing.assert_allclose(log_probabilities(loaded), mean, atol=2e-5)


def test_its_embedding_is_that_of_all_members_side_by_side() -> None:
    points = Embedder(join_networks(MEMBERS)).embed(in_batches(PATCHES))
    assert points.shape == (len(PATCHES), 3 * Embedder(MEMBERS[0]).embed(in_batches(PATCHES)).shape[1])


def test_one_member_is_a_committee_of_its_own() -> None:
    np.testing.assert_allclose(log_probabilities(join_networks(MEMBERS[:1])), log_probabilities(MEMBERS[0]), atol=1e-6)


def test_members_must_fit_together() -> None:
    with pytest.raises(ModelError, match="for the same patches and writers, but got 2"):
        join_networks([network(1), network(1, n_writers=6)])
    own = keras.Model(MEMBERS[0].input, MEMBERS[0].output, name="mine")
    with pytest.raises(ModelError, match="whosehand's own networks"):
        join_networks([own])
    with pytest.raises(ModelError, match="but got 0"):
        join_networks([])
