"""What all three search: a small network that reads scikit-learn's digits.

Each epoch takes at least a third of a second and is noted in `epochs.log`, so that the runner can
kill a search in the middle, and count what was trained.
"""

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits

EPOCH_S = 0.3


class _Note(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        time.sleep(EPOCH_S)
        with Path("epochs.log").open("a", encoding="utf-8") as file:
            file.write("epoch\n")


@keras.saving.register_keras_serializable(package="peers")
class Network(keras.Sequential):
    """A Keras model that notes its epochs."""

    def fit(self, *arguments: Any, callbacks: Any = None, **options: Any) -> Any:
        """As in Keras."""
        return super().fit(*arguments, callbacks=[*(callbacks or ()), _Note()], **options)


def build(units: int, rate: float) -> Network:
    """A compiled network."""
    layers = [keras.Input((64,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(10, "softmax")]
    network = Network(layers)
    network.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


def data() -> tuple[Any, Any, tuple[Any, Any]]:
    """Images, labels, and (images, labels) for validation."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    return images[:1200], labels[:1200], (images[1200:], labels[1200:])
