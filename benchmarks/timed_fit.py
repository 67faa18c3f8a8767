"""Runs `core.training.fit.fit` a round an epoch, so that other measurements can take turns with
it.
"""

from collections.abc import Callable, Iterator, Mapping

import keras
import numpy as np
from numpy.typing import NDArray

from core.networks.hyperparameters import Hyperparameters
from core.patches.feed import Batch
from core.training.fit import Feed, fit
from core.training.plan import EpochRecord, FitPlan, Monitor

_NOTHING = "val/nothing"


class InMemoryFeed:
    """Batches that are ready in memory, the same in every epoch: training with it costs the
    training alone.
    """

    def __init__(self, batches: list[Batch]) -> None:
        self._batches = batches

    @property
    def patches(self) -> NDArray[np.uint8]:
        """All patches, (n, height, width, 1)."""
        return np.concatenate([patches for patches, _ in self._batches])

    @property
    def labels(self) -> NDArray[np.int32]:
        """All labels, (n,)."""
        return np.concatenate([labels for _, labels in self._batches])

    def n_batches(self, epoch: int) -> int:
        """The same in every epoch."""
        return len(self._batches)

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """The batches as they are."""
        return iter(self._batches[start_batch:])


def fit_in_rounds(
    model: keras.Model,
    hyperparameters: Hyperparameters,
    feed: Feed,
    n_rounds: int,
    between: Callable[[EpochRecord], None],
) -> None:
    """Fit for a warm-up epoch and `n_rounds` more, without validation or checkpoints.

    Args:
        model: of `build_model`.
        hyperparameters: of the training.
        feed: of its batches.
        n_rounds: epochs after the first.
        between: is given each epoch after the first, while the fit waits.
    """

    def on_epoch(record: EpochRecord) -> bool:
        if record.epoch > 1:
            between(record)
        return True

    plan = FitPlan(hyperparameters, Monitor(_NOTHING), horizon_epochs=n_rounds + 1, checkpoint_dir=None)
    fit(model, feed, _validate_nothing, plan, on_epoch)


def _validate_nothing(model: keras.Model) -> Mapping[str, float]:
    return {_NOTHING: 0.0}
