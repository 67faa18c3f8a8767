"""Patches to batches: augmented, and made in the background while the network trains on the batch
before.

NumPy and OpenCV only: a training loop hands the arrays to Keras as they are.

Augmentation makes small changes that a writer's hand could have made on another day, or another
scanner to its image. Slant, width, height and place change by one affine map; stroke width and ink
tone change pixel by pixel. The ranges are narrow on purpose: slant and proportions tell writers
apart, and must not be washed out.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import PatchError
from core.lines.store import LineStore
from core.patches.plan import PAPER, PatchPlan, PatchSampler, read_patches

Batch = tuple[NDArray[np.uint8], NDArray[np.int32]]
T = TypeVar("T")
N_AHEAD = 4
"""Batches made ahead of the consumer."""
MAX_SHEAR = 0.2
"""Greatest change of slant at full strength: pixels to the right per pixel up."""
MAX_SCALE = 0.15
"""Greatest change of width and of height, as the logarithm of the factor."""
MAX_SHIFT = 0.04
"""Greatest shift in both directions, as a share of the patch's side."""
MAX_STROKE = 0.6
"""Greatest step towards strokes that are one pixel wider (or narrower) on each side."""
MAX_FADE = 0.35
"""Most of the ink's blackness that may be lost."""
MAX_GAMMA = 0.35
"""Greatest change of the grey levels between ink and paper, as the logarithm of the exponent."""
_AUGMENTATION_STREAM = 2  # keeps augmentation's random numbers apart from those of other uses of the same seed
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


class TrainingFeed:
    """Batches of training patches, the same ones whenever epoch and number of a batch are the same.

    So a fit may go on at any batch, in another process, and sees what it would have seen.
    """

    def __init__(self, sampler: PatchSampler, batch_size: int, augmentation: float, seed: int) -> None:
        """Check that an epoch has a full batch.

        Args:
            sampler: plans the epochs.
            batch_size: patches in each batch, at least 1.
            augmentation: strength from 0 (none) to 1.
            seed: of the augmentation; not negative.

        Raises:
            PatchError: if one of these is out of range, or an epoch has fewer patches than a batch.
        """
        if batch_size < 1 or not 0 <= augmentation <= 1 or seed < 0:
            raise PatchError(
                "`batch_size >= 1`, `0 <= augmentation <= 1` and `seed >= 0` must hold, "
                f"but got {batch_size=}, {augmentation=}, {seed=}."
            )
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
        random_numbers = np.random.SeedSequence(self._seed, spawn_key=(_AUGMENTATION_STREAM, epoch, k))
        patches = read_patches(self.sampler.store, batch)
        if self.augmentation > 0:
            patches = augment_patches(patches, self.augmentation, np.random.default_rng(random_numbers))
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


def augment_patches(patches: NDArray[np.uint8], strength: float, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Change each patch at random.

    Every change is drawn on its own from a range that grows in proportion to `strength`. What a map
    brings in from outside a patch is paper.

    OpenCV's thread setting belongs to the whole process and is left alone: patches are too small
    for OpenCV to divide (measured at 113 pixels: 99 % of the work stays in the calling thread).

    Args:
        patches: (n, height, width), 0 is ink, 255 paper; not changed.
        strength: 0 (nothing changes) to 1.
        generator: source of all random numbers.

    Returns:
        New patches of the same shape.

    Raises:
        ValueError: if `strength` is not between 0 and 1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"`0 <= strength <= 1` must hold, but got {strength=}.")
    if strength == 0:
        return patches.copy()
    maps = _draw_maps(len(patches), patches.shape[1:], strength, generator)
    strokes = generator.uniform(-MAX_STROKE * strength, MAX_STROKE * strength, len(patches))
    tones = _draw_tones(len(patches), strength, generator)
    changed = np.empty_like(patches)
    size = (patches.shape[2], patches.shape[1])
    for patch, affine, stroke, tone, target in zip(patches, maps, strokes.tolist(), tones, changed, strict=True):
        moved = cv2.warpAffine(patch, affine, size, flags=cv2.INTER_LINEAR, borderValue=PAPER)
        cv2.LUT(_change_stroke(moved, stroke), tone, dst=target)
    return changed


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


def _draw_maps(n: int, shape: tuple[int, ...], strength: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw affine maps about the centre of a patch: (n, 2, 3)."""
    height, width = shape
    shear = generator.uniform(-MAX_SHEAR * strength, MAX_SHEAR * strength, n)
    scale = np.exp(generator.uniform(-MAX_SCALE * strength, MAX_SCALE * strength, (n, 2)))
    shift = generator.uniform(-MAX_SHIFT * strength, MAX_SHIFT * strength, (n, 2)) * (width, height)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    maps = np.zeros((n, 2, 3))
    maps[:, 0, 0], maps[:, 1, 1] = scale[:, 0], scale[:, 1]
    maps[:, 0, 1] = -shear * scale[:, 0]
    maps[:, :, 2] = centre + shift - maps[:, :, :2] @ centre
    return maps


def _draw_tones(n: int, strength: float, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draw tables from old to new grey level, paper staying paper: (n, 256)."""
    fade = 1 - generator.uniform(0, MAX_FADE * strength, (n, 1))
    gamma = np.exp(generator.uniform(-MAX_GAMMA * strength, MAX_GAMMA * strength, (n, 1)))
    blackness = np.linspace(1, 0, 256)
    return np.rint(PAPER * (1 - fade * blackness**gamma)).astype(np.uint8)


def _change_stroke(patch: NDArray[np.uint8], stroke: float) -> NDArray[np.uint8]:
    """Mix a patch with its own ink one pixel wider (`stroke > 0`) or narrower, in the proportion
    |stroke|.
    """
    spread = cv2.erode(patch, _CROSS) if stroke > 0 else cv2.dilate(patch, _CROSS)
    return cv2.addWeighted(spread, abs(stroke), patch, 1 - abs(stroke), 0).astype(np.uint8, copy=False)
