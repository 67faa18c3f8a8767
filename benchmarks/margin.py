"""A margin in the loss, as a training step: it is no hyperparameter.

The additive margin is that of Wang, Cheng, Liu and Liu ("Additive margin softmax for face
verification", 2018): cosines of embedding and writers, the right one lowered by the margin.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import keras
import tensorflow as tf

from benchmarks.trainings import Losses
from core.networks.inference import LOGITS_LAYER, NETWORK_NAME
from core.training import fit as training
from core.training.contrastive import contrastive_loss

_SCALE = 16.0
"""What cosines are multiplied by before the softmax."""


@contextmanager
def descending(losses: Losses) -> Iterator[None]:
    """Let `fit` descend these losses while the context is open."""
    plain = training.TrainingStep
    if losses != Losses():
        training.TrainingStep = cast(Any, lambda *arguments: StepWithLosses(losses, *arguments))  # type: ignore[misc]
    try:
        yield
    finally:
        training.TrainingStep = plain  # type: ignore[misc]


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


class StepWithLosses(training.TrainingStep):
    """A training step with a margin, and a contrastive term beside it."""

    def __init__(self, losses: Losses, network: keras.Model, *others: Any) -> None:
        logits = network.get_layer(LOGITS_LAYER)
        self._terms = losses
        self._both = keras.Model(network.input, [logits.input, logits.output])
        super().__init__(network, *others)

    def _descend(self, patches: Any, labels: Any) -> None:
        weights = self._network.trainable_variables
        with tf.GradientTape() as tape:
            embedding, logits = self._both(patches, training=True)
            right = tf.one_hot(labels, logits.shape[-1])
            losses = self._losses(labels, logits - _SCALE * self._terms.margin * right)
            loss = tf.reduce_mean(losses)
            if self._terms.contrastive:
                loss += self._terms.contrastive * contrastive_loss(embedding, labels)
        self._optimizer.apply(tape.gradient(loss, [weight.value for weight in weights]), weights)
        hits = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels)
        self._loss_sum.assign_add(tf.reduce_sum(losses))
        self._n_hits.assign_add(tf.math.count_nonzero(hits))
        self._n_patches.assign_add(tf.size(labels, out_type=tf.int64))
