"""Patches to points: what a network has made of a patch before it names writers."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from core.networks.fast_twin import fast_twin
from core.networks.layer_names import LOGITS_LAYER


class Embedder:
    """The network up to its last layer with weights; near points are patches that it takes for one hand's.

    Args:
        model: a network of `build_model`; its weights are copied.
    """

    def __init__(self, model: keras.Model) -> None:
        twin = fast_twin(model)
        self._body = keras.Model(twin.input, twin.get_layer(LOGITS_LAYER).input)
        self._n_dimensions = int(self._body.output_shape[-1])
        patches = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)
        self._forward = tf.function(self._unit_points, [patches], autograph=False, jit_compile=False)

    def embed(self, batches: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed patches.

        Args:
            batches: each (n, height, width, 1), 0 ink to 255 paper; n may differ from batch to batch.

        Returns:
            (sum of n, n_dimensions), each row of length 1, so that products of rows are cosines.
        """
        parts = [self._forward(batch).numpy() for batch in batches]
        return np.concatenate(parts) if parts else np.empty((0, self._n_dimensions), np.float32)

    def _unit_points(self, patches: Any) -> Any:
        return tf.math.l2_normalize(tf.cast(self._body(patches, training=False), tf.float32), axis=1)
