"""What both peers' scripts have alike: the arrays, the space, the network, and a log of epochs.

The space is that of the experiment, said in the peer's own words by `SearchSpace.suggest` and
`SearchSpace.to_keras_tuner`; the networks are the experiment's, of Keras' own layers, compiled and
fitted as Keras' documentation does.
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.peers import EPOCHS_LOG
from core.networks.hyperparameters import Hyperparameters
from core.networks.model import build_model, build_optimizer
from core.space import Value
from search.experiment.experiment import Experiment

FOLDER, SEED = Path(sys.argv[1] if len(sys.argv) > 1 else "."), int(sys.argv[2] if len(sys.argv) > 2 else 0)
"""Of the race's arrays and experiment, and of this run."""


def experiment() -> Experiment:
    """Whose space and epochs count."""
    return Experiment.load(FOLDER / "experiment.yaml")


def data() -> tuple[Any, Any, tuple[Any, Any]]:
    """Training patches and labels, and those of validation, as arrays in memory."""
    with np.load(FOLDER / "patches.npz") as arrays:
        return arrays["x"], arrays["y"], (arrays["validation_x"], arrays["validation_y"])


def build(values: Mapping[str, Value], patch_px: int, n_writers: int, n_steps: int) -> keras.Model:
    """A compiled network."""
    hyperparameters = Hyperparameters.from_point(values)
    network = build_model(hyperparameters, (patch_px, patch_px, 1), n_writers, SEED)
    network.compile(
        optimizer=build_optimizer(hyperparameters, n_steps),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    return network


class EpochLog(keras.callbacks.Callback):
    """Writes a line an epoch for the race: when, what validation gave, and seconds in steps."""

    def __init__(self, trial: str) -> None:
        super().__init__()
        self._trial = trial
        self._began_s = self._trained_s = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Start the clock."""
        self._began_s = time.time()

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Read it: the steps are done."""
        self._trained_s = time.time() - self._began_s

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Write the line."""
        said = {"at_s": time.time(), "trial": self._trial, "epoch": epoch, "steps_s": self._trained_s}
        scores = {name: float((logs or {})[name]) for name in ("val_loss", "val_accuracy")}
        with Path(EPOCHS_LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps({**said, **scores}) + "\n")
