"""Patches to writers' log probabilities."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from core.networks.fast_twin import copy_variables, fast_twin


class Predictor:
    """A network, traced once and used often, for instance after every epoch of a fit.

    Log probabilities come from the logits in float32: the logarithm of a softmax would lose all that is below 1e-38,
    and a page's score is the mean of such logarithms.

    Attributes:
        model: the network of `build_model`; its weights at the time of each call count.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._twin = fast_twin(model)
        patches = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)
        self._forward = tf.function(self._log_softmax, [patches], autograph=False, jit_compile=False)

    def log_probabilities(self, batches: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Predict.

        Args:
            batches: each (n, height, width, 1), 0 ink to 255 paper; n may differ from batch to batch.

        Returns:
            (sum of n, n_writers), natural logarithms, each row's exponentials sum to 1.
        """
        copy_variables(self.model, self._twin)
        parts = [self._forward(batch).numpy() for batch in batches]
        return np.concatenate(parts) if parts else np.empty((0, self.model.output_shape[-1]), np.float32)

    def _log_softmax(self, patches: Any) -> Any:
        return tf.nn.log_softmax(self._twin(patches, training=False))


def log_probabilities(model: keras.Model, batches: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Predict once; see `Predictor`, which saves the second of tracing where there is a next time."""
    return Predictor(model).log_probabilities(batches)


def in_batches(patches: NDArray[np.uint8], n: int = 256) -> Iterator[NDArray[np.uint8]]:
    """Cut patches (n_patches, height, width) into batches (at most n, height, width, 1)."""
    for start in range(0, len(patches), n):
        yield patches[start : start + n, ..., np.newaxis]
