"""The supervised contrastive term of the loss: patches by one hand come near to each other in the
embedding, and away from those by others.

Khosla et al., "Supervised contrastive learning" (NeurIPS 2020), on the embedding itself, within a
batch. It is meant for hands that training does not see (`docs/results.md`).
"""

from typing import Any

import keras
import tensorflow as tf

from core.errors import TrainingError
from core.networks.inference import LOGITS_LAYER, OwnNetwork

_TEMPERATURE = 0.1  # as in the paper
_NOWHERE = 1e9


def with_embedding(network: keras.Model | OwnNetwork) -> keras.Model:
    """The network, sharing its variables, from patches to (embedding, logits).

    Raises:
        TrainingError: if it is the user's own: nothing is known of its layers.
    """
    if isinstance(network, OwnNetwork):
        raise TrainingError(
            "The contrastive term needs the layers of a network of whosehand, but this one is your own. "
            "Set the hyperparameter `contrastive` to 0."
        )
    logits = network.get_layer(LOGITS_LAYER)
    return keras.Model(network.input, [logits.input, logits.output])


def contrastive_loss(embedding: Any, labels: Any) -> Any:
    """Mean over the patches that have another one by their writer in the batch: how much less alike
    these are than all others (equation 2 of the paper); 0 where there is none.

    Args:
        embedding: (n, n_features).
        labels: (n,) writers.
    """
    points = tf.math.l2_normalize(tf.cast(embedding, tf.float32), axis=1)
    itself = tf.eye(tf.shape(points)[0])
    logits = tf.matmul(points, points, transpose_b=True) / _TEMPERATURE - _NOWHERE * itself
    is_same = tf.cast(labels[:, tf.newaxis] == labels, tf.float32) - itself
    n_same = tf.reduce_sum(is_same, axis=1)
    per_patch = -tf.reduce_sum(tf.where(is_same > 0, tf.nn.log_softmax(logits, axis=1), 0.0), axis=1)
    has_same = tf.cast(n_same > 0, tf.float32)
    return tf.reduce_sum(per_patch / tf.maximum(n_same, 1.0)) / tf.maximum(tf.reduce_sum(has_same), 1.0)
