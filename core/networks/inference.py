"""Patches to writers' log probabilities, and to points of the network's embedding.

Both run on a twin: the same network with the same weights, made of faster layers. Keras 3 computes
batch norm from single arithmetic operations. TensorFlow's fused kernel does the same in one pass,
and a network with batch norm trains 1.3 to 1.7 times as fast with it on a CPU. The fused layer
lives in the twin only: what is saved is the original, which loads with plain Keras.

A network of the user's own is its own twin: nothing is known of its layers.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from core.errors import ModelError

NETWORK_NAME = "patch_cnn"
"""Of the networks of `build_model`; any other one is the user's own."""
LOGITS_LAYER = "logits"
"""The last layer with weights: its outputs are log probabilities up to a constant of each patch."""
EMBEDDING_LAYER = "embedding"
"""Whose output is the embedding of a network of the user's own, where it has a layer of that
name."""
_LEAST_PROBABILITY = 1e-7  # of a network of the user's own; Keras' own losses floor there, too


class Predictor:
    """A network, traced once and used often, for instance after every epoch of a fit.

    Log probabilities come from the logits in float32: the logarithm of a softmax would lose all
    that is below 1e-38, and a page's score is the mean of such logarithms.

    Attributes:
        model: a network of `build_model`, or the user's own; its weights at the time of each call
            count.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._twin = network_to_train(model)
        patches = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)
        self._forward = tf.function(self._log_softmax, [patches], autograph=False, jit_compile=False)

    def log_probabilities(self, batches: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Predict.

        Args:
            batches: each (n, height, width, 1), 0 ink to 255 paper; n may differ from batch to
                batch.

        Returns:
            (sum of n, n_writers), natural logarithms, each row's exponentials sum to 1.
        """
        parts = list(self.iterate(batches))
        return np.concatenate(parts) if parts else np.empty((0, self.model.output_shape[-1]), np.float32)

    def iterate(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        """Predict batch by batch, so that only one batch's answers are in memory; the weights at
        the time of the first one count.
        """
        copy_variables(self.model, self._twin)
        for batch in batches:
            yield self._forward(batch).numpy()

    def _log_softmax(self, patches: Any) -> Any:
        return tf.nn.log_softmax(self._twin(patches, training=False))


class Embedder:
    """The network up to its last layer with weights; near points are patches that it takes for one
    hand's.

    Args:
        model: a network of `build_model`, whose weights are copied now and by `refresh`, or the
            user's own.

    Raises:
        ModelError: if a network of the user's own has no embedding.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._twin = network_to_train(model)  # a network of the user's own shares its variables with the body
        self._body = _body(self._twin) if isinstance(self._twin, keras.Model) else _body_of_own(model)
        self._n_dimensions = int(self._body.output_shape[-1])
        patches = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)
        self._forward = tf.function(self._unit_points, [patches], autograph=False, jit_compile=False)

    def refresh(self) -> None:
        """Take the network's weights as they are now; it may have been trained since."""
        copy_variables(self._model, self._twin)

    def embed(self, batches: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed patches.

        Args:
            batches: each (n, height, width, 1), 0 ink to 255 paper; n may differ from batch to
                batch.

        Returns:
            (sum of n, n_dimensions), each row of length 1, so that products of rows are cosines.
        """
        parts = [self._forward(batch).numpy() for batch in batches]
        return np.concatenate(parts) if parts else np.empty((0, self._n_dimensions), np.float32)

    def _unit_points(self, patches: Any) -> Any:
        return tf.math.l2_normalize(tf.cast(self._body(patches, training=False), tf.float32), axis=1)


def in_batches(patches: NDArray[np.uint8], n: int = 256) -> Iterator[NDArray[np.uint8]]:
    """Cut patches (n_patches, height, width) into batches (at most n, height, width, 1)."""
    for start in range(0, len(patches), n):
        yield patches[start : start + n, ..., np.newaxis]


def is_own(model: keras.Model) -> bool:
    """Whether a network was not built by `build_model`."""
    return model.name != NETWORK_NAME or all(layer.name != LOGITS_LAYER for layer in model.layers)


def network_to_train(model: keras.Model) -> "keras.Model | OwnNetwork":
    """What is trained and asked, from patches to logits: the fast twin, or a network of the user's
    own itself.
    """
    return OwnNetwork(model) if is_own(model) else fast_twin(model)


class OwnNetwork:
    """A network of the user's own from patches to logits; its variables are the network's.

    Args:
        model: gives probabilities (n, n_writers) in float32.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self.input_shape = model.input_shape

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables, the state of dropout among them."""
        return list(self._model.variables)

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """What is trained."""
        return list(self._model.trainable_variables)

    @property
    def losses(self) -> list[tf.Tensor]:
        """What regularisers and layers add to the loss."""
        return list(self._model.losses)

    def __call__(self, patches: tf.Tensor, training: bool) -> tf.Tensor:
        """Logits (n, n_writers): what the softmax was given, or the logarithms of the
        probabilities.

        Logarithms lose what is below 1e-7, so that the network's last layer had better be a
        softmax.
        """
        probabilities = self._model(patches, training=training)
        # Keras' own losses look there too: no other way leads from a softmax back to what it was
        # given.
        logits = getattr(probabilities, "_keras_logits", None)
        return tf.math.log(tf.maximum(probabilities, _LEAST_PROBABILITY)) if logits is None else logits


def fast_twin(model: keras.Model) -> keras.Model:
    """Clone a network of `build_model`, up to the logits, with variables of its own and the same
    values.

    Returns:
        A model from patches to logits (n, n_writers), float32. Its variables are the original's, in
        the same order.

    Raises:
        ModelError: if the model has no layer `logits`.
    """
    if all(layer.name != LOGITS_LAYER for layer in model.layers):
        raise ModelError(f"A model must have a layer named {LOGITS_LAYER!r}, but {model.name!r} has none.")
    clone = keras.models.clone_model(model, clone_function=_fast_layer)
    twin = keras.Model(clone.input, clone.get_layer(LOGITS_LAYER).output, name=model.name)
    copy_variables(model, twin)
    return twin


def copy_variables(source: keras.Model | OwnNetwork, target: keras.Model | OwnNetwork) -> None:
    """Give the target's variables the source's values, the state of dropout among them."""
    for theirs, ours in zip(source.variables, target.variables, strict=True):
        if ours is not theirs:
            ours.assign(theirs.value)


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch norm of the last axis of (n, height, width, channels) by TensorFlow's fused kernel.

    Statistics are float32 also where the inputs are bfloat16.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Normalise by the batch (and update the running statistics), or by the running
        statistics.
        """
        running = (self.moving_mean.value, self.moving_variance.value)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            tf.convert_to_tensor(self.gamma.value),
            tf.convert_to_tensor(self.beta.value),
            *((None, None) if training else (tf.convert_to_tensor(value) for value in running)),
            epsilon=self.epsilon,
            is_training=bool(training),
        )
        if training:
            for statistic, of_batch in zip((self.moving_mean, self.moving_variance), (mean, variance), strict=True):
                statistic.assign(statistic.value * self.momentum + of_batch * (1.0 - self.momentum))
        return outputs


def _body(twin: keras.Model) -> keras.Model:
    """The network up to its logits."""
    return keras.Model(twin.input, twin.get_layer(LOGITS_LAYER).input)


def _body_of_own(model: keras.Model) -> keras.Model:
    named = [layer.output for layer in model.layers if layer.name == EMBEDDING_LAYER]
    before_dense = [layer.input for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    found = [*named, *before_dense[-1:]]
    if not found or len(found[0].shape) != 2:
        what = "none" if not found else f"one of shape {found[0].shape}"
        raise ModelError(
            f"An embedding is the output, of shape (n, n_dimensions), of the layer named {EMBEDDING_LAYER!r}, or else "
            f"what the last Dense layer is given, but {model.name!r} has {what}. Give the layer that name."
        )
    return keras.Model(model.input, found[0])


class FastShrink(keras.layers.AveragePooling2D):
    """Mean of squares of pixels, for (n, height, width, 1), as one product with a matrix.

    TensorFlow's pooling works channel by channel, and here there is one: it took up to a sixth of a
    training step, and more of a prediction. Of whole grey levels the sums are exact in float32, so
    that for squares of 2 or 4 pixels the means are the same bit by bit.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Shrink; rows and columns that fill no square are left out."""
        side, (height, width) = self.pool_size[0], inputs.shape[1:3]
        n_rows, n_columns = height // side, width // side
        rows = tf.reshape(
            inputs[:, : n_rows * side, : n_columns * side, 0], (-1, side * n_columns * side)
        )  # those of one square one after the other
        means = np.tile(np.kron(np.eye(n_columns), np.ones((side, 1))), (side, 1)) / side**2
        shrunk = tf.matmul(tf.cast(rows, tf.float32), tf.constant(means, tf.float32))
        return tf.cast(tf.reshape(shrunk, (-1, n_rows, n_columns, 1)), self.compute_dtype)


def _fast_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    if type(layer) is keras.layers.AveragePooling2D and layer.input.shape[-1] == 1 and len(set(layer.pool_size)) == 1:
        return FastShrink.from_config(layer.get_config())
    if type(layer) is keras.layers.BatchNormalization and layer.axis in (3, -1):
        return FusedBatchNormalization.from_config(layer.get_config())
    return layer.__class__.from_config(layer.get_config())
