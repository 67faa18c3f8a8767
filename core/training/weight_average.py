"""The running mean of a network's weights, which is what a fit validates and keeps if it is wanted.

While the learning rate is high, the weights of single steps jump about their mean, and so do the
scores of an epoch. The mean is a better network in the middle of a fit, so that early epochs tell
more of what will come, and hardly another one where the learning rate has gone down to zero.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import NDArray

from core.networks.inference import OwnNetwork

PATCHES_BETWEEN = 64
"""So many patches of training lie between two updates, or a step, if that has more."""
_ETA = 9.0


class WeightAverage:
    """Polynomial-decay averaging (Shamir and Zhang 2013, section 4): step `k` of `n` has a weight
    of about (k / n)^9, so that the mean is one over the last tenth of the fit so far.

    It needs no length of memory that would have to fit the horizon. Statistics of batch norm are
    averaged like weights; what is not a real number, such as the state of dropout, is copied.

    Args:
        network: that is trained; its values are the first mean.
        batch_size: patches in one of its steps.
        n_steps: that it has been trained already.
    """

    def __init__(self, network: keras.Model | OwnNetwork, batch_size: int, n_steps: int = 0) -> None:
        self._every = max(1, PATCHES_BETWEEN // batch_size)
        self._n_steps = n_steps
        self._network_variables = [variable.value for variable in network.variables]
        self._means = [tf.Variable(value, trainable=False) for value in self._network_variables]
        self._share = tf.Variable(1.0, trainable=False)
        self._graph = tf.function(self._update, autograph=False)

    @property
    def values(self) -> list[NDArray[Any]]:
        """Of all variables, in the network's order."""
        return [mean.numpy() for mean in self._means]

    def assign(self, values: Sequence[NDArray[Any]]) -> None:
        """Go on from these, which `values` gave after as many steps."""
        for mean, value in zip(self._means, values, strict=True):
            mean.assign(value)

    def after_step(self) -> None:
        """Take the network's weights into the mean, after each of its steps."""
        self._n_steps += 1
        n_updates, rest = divmod(self._n_steps, self._every)
        if not rest:
            self._share.assign((_ETA + 1) / (n_updates + _ETA))
            self._graph()

    def _update(self) -> None:
        for mean, now in zip(self._means, self._network_variables, strict=True):
            if mean.dtype.is_floating:
                mean.assign_add(tf.cast(self._share, mean.dtype) * (now - mean))
            else:
                mean.assign(now)
