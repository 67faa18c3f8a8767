"""How fast this machine trains: for a first budget, before anything of a corpus is read."""

import time

import core.networks.quiet_tensorflow  # noqa: F401  (before whatever imports TensorFlow)

# isort: split
import keras
import numpy as np

from core.networks.hyperparameters import Hyperparameters
from core.networks.model import build_model
from core.training.fit import configure_tensorflow


def measure_training_speed(
    hyperparameters: Hyperparameters, patch_px: int, n_writers: int, *, threads: int, precision: str, seconds: float
) -> float:
    """Train a network on noise for a while.

    Args:
        hyperparameters: of the network.
        patch_px: side of the square patch.
        n_writers: length of the output.
        threads: to use.
        precision: `float32` or `mixed_bfloat16`.
        seconds: how long to measure, after the first step, which compiles.

    Returns:
        Patches a second.

    Raises:
        TrainingError: if TensorFlow runs already in this process, with another number of threads.
    """
    configure_tensorflow(threads, precision, seed=0)
    model = build_model(hyperparameters, (patch_px, patch_px, 1), n_writers)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy())
    generator = np.random.default_rng(0)
    patches = generator.integers(0, 256, (hyperparameters.batch_size, patch_px, patch_px, 1), dtype=np.uint8)
    labels = generator.integers(0, n_writers, hyperparameters.batch_size)
    model.train_on_batch(patches, labels)
    n_steps, began_s = 0, time.monotonic()
    while time.monotonic() - began_s < seconds:
        model.train_on_batch(patches, labels)
        n_steps += 1
    return n_steps * hyperparameters.batch_size / (time.monotonic() - began_s)
