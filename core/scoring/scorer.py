"""A network's scores on one subset of a split, always on the same patches."""

from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from core.lines.reading import ProgressCallback
from core.lines.store import LineStore
from core.networks.inference import Predictor
from core.patches.feed import evaluation_batches
from core.patches.plan import evaluation_plan
from core.scoring.evaluation import Evaluation, evaluate
from core.settings import PatchSettings
from core.splits.manifest import LeakySubset

_BATCH_SIZE = 256


class Scorer:
    """Scores a network, as often as asked; its weights at the time of each call count.

    Args:
        model: of `core.networks.model.build_model`.
        store: the line store.
        image_ids: to score on.
        writer_ids: class k is writer_ids[k].
        patches: size and ink test of the patches.
        per_image: most patches of one image.
        leak: where the split is leaky, which lines and offsets of the images are for this subset.

    Raises:
        PatchError: if none of the images has a text line.
    """

    def __init__(
        self,
        model: keras.Model,
        store: LineStore,
        image_ids: Sequence[str],
        writer_ids: Sequence[str],
        patches: PatchSettings,
        per_image: int,
        leak: LeakySubset | None = None,
    ) -> None:
        self._predictor = Predictor(model)
        self._store, self._writer_ids = store, writer_ids
        self._plan = evaluation_plan(store, image_ids, writer_ids, patches, per_image, leak)
        self._last: Evaluation | None = None

    def score(
        self, n_resamples: int = 1000, on_progress: ProgressCallback | None = None, *, is_unchanged: bool = False
    ) -> Evaluation:
        """Predict and score.

        Args:
            n_resamples: of the bootstrap; 0 saves the intervals' time.
            on_progress: called with (patches done, in all).
            is_unchanged: the network has the weights of the last call, whose answers are taken, if
                there was one.
        """
        if is_unchanged and self._last is not None:
            return self._last.with_intervals(n_resamples)
        batches = evaluation_batches(self._store, self._plan, _BATCH_SIZE)
        told = _told(batches, len(self._plan), on_progress) if on_progress else batches
        answers = self._predictor.iterate(told)
        self._last = evaluate(answers, self._plan, self._store, self._writer_ids, n_resamples)
        return self._last


def _told(
    batches: Iterable[NDArray[np.uint8]], n_in_all: int, on_progress: ProgressCallback
) -> Iterator[NDArray[np.uint8]]:
    n_done = 0
    for batch in batches:
        on_progress(n_done, n_in_all)
        yield batch
        n_done += len(batch)
