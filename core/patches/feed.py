"""Patches to batches: augmented, and made in the background while the network trains on the batch
before.

NumPy and OpenCV only: a training loop hands the arrays to Keras as they are.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import PatchError
from core.lines.store import LineStore
from core.patches.augmentation import Augmentation, augment_patches
from core.patches.plan import PatchPlan, PatchSampler, read_patches

Batch = tuple[NDArray[np.uint8], NDArray[np.int32]]
T = TypeVar("T")
N_AHEAD = 4
"""Batches made ahead of the consumer."""
_AUGMENTATION_STREAM = 2  # keeps augmentation's random numbers apart from those of other uses of the same seed


class TrainingFeed:
    """Batches of training patches, the same ones whenever epoch and number of a batch are the same.

    So a fit may go on at any batch, in another process, and sees what it would have seen.
    """

    def __init__(self, sampler: PatchSampler, batch_size: int, augmentation: Augmentation, seed: int) -> None:
        """Check that an epoch has a full batch.

        Args:
            sampler: plans the epochs.
            batch_size: patches in each batch, at least 1.
            augmentation: how strong its parts are.
            seed: of the augmentation; not negative.

        Raises:
            PatchError: if one of these is out of range, or an epoch has fewer patches than a batch.
        """
        if batch_size < 1 or seed < 0:
            raise PatchError(f"`batch_size >= 1` and `seed >= 0` must hold, but got {batch_size=}, {seed=}.")
        if sampler.n_patches_per_epoch < batch_size:
            raise PatchError(
                f"An epoch must fill at least one batch, but it has {sampler.n_patches_per_epoch} patches and "
                f"{batch_size=}. Lower the batch size, or raise patches.fraction or patches.patches_per_epoch."
            )
        self.sampler, self.batch_size, self.augmentation, self._seed = sampler, batch_size, augmentation, seed

    def n_batches(self, epoch: int) -> int:
        """Count the batches of an epoch; patches that do not fill a last batch are left out."""
        return self.sampler.n_patches_per_epoch // self.batch_size

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """Iterate over the batches of an epoch.

        A background thread works up to `N_AHEAD` batches ahead. It ends with the iterator, also
        when that is closed or dropped early; what goes wrong in it is raised here.

        Args:
            epoch: not negative.
            start_batch: the first batch wanted, from 0 to `n_batches(epoch)`.

        Returns:
            Patches (batch_size, size_px, size_px, 1), 0 is ink and 255 paper, and labels
            (batch_size,).

        Raises:
            PatchError: if there is no such batch.
        """
        n_batches = self.n_batches(epoch)
        if not 0 <= start_batch <= n_batches:
            raise PatchError(f"`0 <= start_batch <= {n_batches}` must hold, but got {start_batch=}.")
        plan = self.sampler.plan_epoch(epoch)
        return make_ahead(lambda k: self._make_batch(plan, epoch, k), range(start_batch, n_batches))

    def _make_batch(self, plan: PatchPlan, epoch: int, k: int) -> Batch:
        batch = plan[k * self.batch_size : (k + 1) * self.batch_size]
        patches = read_patches(self.sampler.store, batch)
        if not self.augmentation.is_none:
            numbers = np.random.SeedSequence(self._seed, spawn_key=(_AUGMENTATION_STREAM, epoch, k))
            generator = np.random.default_rng(numbers)
            patches = augment_patches(patches, self.augmentation, generator)
        return patches[..., np.newaxis], batch.labels


def evaluation_batches(store: LineStore, plan: PatchPlan, batch_size: int) -> Iterator[NDArray[np.uint8]]:
    """Iterate over the patches of a plan in its order, unchanged, also made ahead in the
    background.

    Returns:
        Patches (batch_size, size_px, size_px, 1); the last batch may be smaller.

    Raises:
        PatchError: if `batch_size` is below 1.
    """
    if batch_size < 1:
        raise PatchError(f"`batch_size >= 1` must hold, but got {batch_size=}.")
    starts = range(0, len(plan), batch_size)
    return make_ahead(lambda start: read_patches(store, plan[start : start + batch_size])[..., np.newaxis], starts)


def make_ahead(make: Callable[[int], T], numbers: range) -> Iterator[T]:
    """Yield `make(number)` for all numbers in order, made by one background thread, up to `N_AHEAD`
    ahead.

    The thread starts with the first item and ends with the iterator, however that ends.
    """
    pending: deque[Future[T]] = deque()
    maker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="whosehand-feed")
    try:
        for number in numbers:
            pending.append(maker.submit(make, number))
            if len(pending) > N_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        maker.shutdown(wait=True, cancel_futures=True)
