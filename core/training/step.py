"""One step of gradient descent: one TensorFlow graph, with running sums of loss and hits."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from core.networks.inference import OwnNetwork
from core.training.contrastive import contrastive_loss, with_embedding


class TrainingStep:
    """Trains a network on one batch a call.

    Loss and hits are summed on the device, so that no call waits for a number. A loss that is not
    finite stays so in the sum.
    """

    def __init__(
        self,
        network: keras.Model | OwnNetwork,
        optimizer: keras.optimizers.Optimizer,
        label_smoothing: float,
        contrastive: float = 0.0,
    ) -> None:
        """Prepare; the graph is traced by `trace`, or else at the first call.

        Args:
            network: from patches to logits.
            optimizer: built for the network's trainable variables.
            label_smoothing: share of the target that is spread over all writers.
            contrastive: weight of the contrastive term.

        Raises:
            TrainingError: if a network of the user's own is to have a contrastive term.
        """
        self._contrastive = contrastive
        self._with_embedding = with_embedding(network) if contrastive else None
        self._network, self._optimizer, self._label_smoothing = network, optimizer, label_smoothing
        self._loss_sum = tf.Variable(0.0, trainable=False)
        self._n_hits = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._n_patches = tf.Variable(0, trainable=False, dtype=tf.int64)
        signature = [tf.TensorSpec((None, *network.input_shape[1:]), tf.uint8), tf.TensorSpec((None,), tf.int32)]
        # XLA (`jit_compile`) was 3 to 5 times slower on a CPU
        self._graph = tf.function(self._descend, signature, autograph=False, jit_compile=False)

    def trace(self) -> None:
        """Make the graph, which else the first call does; changes nothing."""
        self._graph.get_concrete_function()

    def __call__(self, patches: NDArray[np.uint8], labels: NDArray[np.int32]) -> None:
        """Train on patches (n, height, width, 1), 0 ink to 255 paper, and labels (n,)."""
        self._graph(patches, labels)

    @property
    def loss_sum(self) -> float:
        """Sum of the losses since the last `take_means`."""
        return float(self._loss_sum.numpy())

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(keras.ops.convert_to_numpy(self._optimizer.learning_rate))

    def take_means(self) -> tuple[float, float, int]:
        """Give mean loss, share of hits and number of patches since the last call, and start
        anew.
        """
        n_patches = int(self._n_patches.numpy())
        means = self.loss_sum / n_patches, float(self._n_hits.numpy()) / n_patches, n_patches
        for total in (self._loss_sum, self._n_hits, self._n_patches):
            total.assign(tf.zeros_like(total))
        return means

    def _descend(self, patches: Any, labels: Any) -> None:
        weights = self._network.trainable_variables
        with tf.GradientTape() as tape:
            embedding, logits = self._forward(patches)
            losses = self._losses(labels, logits)
            loss = tf.reduce_mean(losses)
            if embedding is not None:
                loss += self._contrastive * contrastive_loss(embedding, labels)
            if self._network.losses:  # of regularisers, in a network of the user's own
                loss += tf.add_n(self._network.losses)
        gradients = tape.gradient(loss, [weight.value for weight in weights])
        self._optimizer.apply(gradients, weights)
        hits = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels)
        self._loss_sum.assign_add(tf.reduce_sum(losses))
        self._n_hits.assign_add(tf.math.count_nonzero(hits))
        self._n_patches.assign_add(tf.size(labels, out_type=tf.int64))

    def _forward(self, patches: Any) -> tuple[Any, Any]:
        """The embedding, where a term of the loss wants it, and the logits."""
        if self._with_embedding is None:
            return None, self._network(patches, training=True)
        embedding, logits = self._with_embedding(patches, training=True)
        return embedding, logits

    def _losses(self, labels: Any, logits: Any) -> Any:
        """Cross-entropy of each patch; Keras' sparse loss knows no label smoothing."""
        if self._label_smoothing == 0:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        n_writers = logits.shape[-1]
        off_value = self._label_smoothing / n_writers
        targets = tf.one_hot(labels, n_writers, on_value=1 - self._label_smoothing + off_value, off_value=off_value)
        return tf.nn.softmax_cross_entropy_with_logits(targets, logits)
