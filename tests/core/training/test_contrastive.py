from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from core.errors import TrainingError
from core.networks.inference import Embedder
from core.training.contrastive import contrastive_loss
from core.training.fit import fit
from core.training.plan import FitPlan
from tests.core.training.test_fit import MONITOR, SMALL, BarFeed, fit_small, latest

DRAWN_TOGETHER = replace(SMALL, contrastive=2.0)


def test_the_term_is_that_of_the_paper() -> None:
    generator = np.random.default_rng(0)
    points, labels = generator.normal(size=(5, 3)), np.array([0, 0, 0, 1, 2])
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    alike = np.exp(unit @ unit.T / 0.1)
    expected = []
    for anchor in range(3):  # the two others have no second patch by their writer
        others = [other for other in range(5) if other != anchor]
        same = [other for other in (0, 1, 2) if other != anchor]
        expected.append(-np.mean([np.log(alike[anchor, other] / alike[anchor, others].sum()) for other in same]))
    found = contrastive_loss(points.astype(np.float32), labels.astype(np.int32))
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-4)
    alone = contrastive_loss(points[2:].astype(np.float32), labels[2:].astype(np.int32))
    assert float(alone) == 0


@pytest.mark.long  # two fits
def test_a_network_learns_and_brings_patches_by_one_hand_nearer_together() -> None:
    def gap(model: keras.Model) -> float:
        (patches, labels), *_ = BarFeed().batches(9)
        points = Embedder(model).embed([patches])
        alike, is_same = points @ points.T, labels[:, np.newaxis] == labels
        return float(alike[is_same].mean() - alike[~is_same].mean())

    _, _, _, plain = fit_small([4, 3, 2, 1])
    _, records, _, drawn = fit_small([4, 3, 2, 1], hyperparameters=DRAWN_TOGETHER)
    assert gap(drawn) > gap(plain)
    assert records[-1].metrics["train/loss"] < records[0].metrics["train/loss"]
    assert records[-1].metrics["train/top1"] > 0.5


@pytest.mark.long  # two fits
def test_it_goes_on_from_a_checkpoint_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    whole = fit_small([4, 3, 2, 1], hyperparameters=DRAWN_TOGETHER, checkpoint_dir=tmp_path / "whole")[0]
    fit_small([4, 3], hyperparameters=DRAWN_TOGETHER, checkpoint_dir=tmp_path / "parts", until_epoch=2)
    checkpoint = latest(tmp_path / "parts")
    parts = fit_small([2, 1], hyperparameters=DRAWN_TOGETHER, checkpoint_dir=tmp_path / "parts", checkpoint=checkpoint)[
        0
    ]
    assert whole.checkpoint is not None
    assert parts.checkpoint is not None
    assert whole.checkpoint.sha256 == parts.checkpoint.sha256


def test_a_network_of_the_users_own_is_refused_with_what_to_do() -> None:
    patches = keras.Input((32, 32, 1))
    model = keras.Model(patches, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(patches)))
    plan = FitPlan(DRAWN_TOGETHER, MONITOR, horizon_epochs=1, checkpoint_dir=None)
    with pytest.raises(TrainingError, match="`contrastive` to 0"):
        fit(model, BarFeed(), lambda _: {"val/score": 1.0}, plan, lambda _: True)
