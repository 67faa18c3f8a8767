"""A margin in the softmax, which is no hyperparameter: it did not win (`docs/results.md`).

The additive margin is that of Wang, Cheng, Liu and Liu ("Additive margin softmax for face
verification", 2018): cosines of embedding and writers, the right one lowered by the margin.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import keras
import tensorflow as tf

from core.networks.inference import LOGITS_LAYER, NETWORK_NAME
from core.training import fit as training
from core.training.step import TrainingStep

_SCALE = 16.0
"""What cosines are multiplied by before the softmax."""


@contextmanager
def margin_in_loss(margin: float) -> Iterator[None]:
    """Let `fit` train with a margin while the context is open; 0 changes nothing."""
    if not margin:
        yield
        return
    with patch.object(training, "TrainingStep", partial(StepWithMargin, margin)):
        yield


def with_cosines(model: keras.Model, n_writers: int, seed: int) -> keras.Model:
    """The network with an embedding and writers' weights of length 1: its logits are scaled
    cosines.
    """
    x = model.get_layer(LOGITS_LAYER).input
    x = keras.layers.UnitNormalization(dtype="float32", name="unit")(x)
    x = keras.layers.Rescaling(_SCALE, dtype="float32", name="scale")(x)
    x = keras.layers.Dense(
        n_writers,
        use_bias=False,
        kernel_constraint=keras.constraints.UnitNorm(axis=0),
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        dtype="float32",
        name=LOGITS_LAYER,
    )(x)
    return keras.Model(model.input, keras.layers.Softmax(dtype="float32", name="probabilities")(x), name=NETWORK_NAME)


class StepWithMargin(TrainingStep):
    """A training step that lowers the right writer's cosine."""

    def __init__(self, margin: float, *arguments: Any) -> None:
        self._margin = margin
        super().__init__(*arguments)

    def _losses(self, labels: Any, logits: Any) -> Any:
        right = tf.one_hot(labels, logits.shape[-1])
        return super()._losses(labels, logits - _SCALE * self._margin * right)
