"""Which patches: random ones under a cap for training, evenly spaced ones for evaluation.

Both are plans: places in a line store and labels, a few bytes a patch. Pixels are read when a batch
needs them.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import PatchError
from core.lines.line_table import LineColumns, columns_of
from core.lines.source import LineSource
from core.patches.at_ink import move_to_ink
from core.patches.augmentation import PAPER
from core.patches.offsets import (
    Indices,
    InkedOffsets,
    check_size,
    count_by_group,
    draw_distinct,
    ink_shares,
    n_possible_offsets,
    share_equally,
)
from core.settings import PatchSettings
from core.splits.manifest import LeakySubset

UNKNOWN_WRITER = -1
_MOST_SHARED = 0.5  # of their area, by patches that count as different
_PLAN_STREAM, _INK_STREAM = 1, 2  # keep random numbers apart from those of other uses of the same seed


@dataclass(frozen=True, eq=False)
class PatchPlan:
    """Places of patches in a line store, and their labels.

    Attributes:
        lines: (n_patches,) int32, places in `store.lines`.
        tops: (n_patches,) int32, first pixel row.
        lefts: (n_patches,) int32, first pixel column; 0 in a line narrower than a patch.
        labels: (n_patches,) int32, places in the writer ids, -1 where the writer is not known.
        size_px: side of a patch.
    """

    lines: NDArray[np.int32]
    tops: NDArray[np.int32]
    lefts: NDArray[np.int32]
    labels: NDArray[np.int32]
    size_px: int

    def __post_init__(self) -> None:
        """Raise PatchError if the arrays differ in length."""
        lengths = {len(self.lines), len(self.tops), len(self.lefts), len(self.labels)}
        if len(lengths) != 1:
            raise PatchError(f"The arrays of a plan must be equally long, but got lengths {sorted(lengths)}.")

    def __len__(self) -> int:
        """Count the patches."""
        return len(self.lines)

    def __getitem__(self, part: slice | NDArray[np.integer] | NDArray[np.bool_]) -> "PatchPlan":
        """Take a slice, or the chosen patches, as a plan of its own."""
        return PatchPlan(self.lines[part], self.tops[part], self.lefts[part], self.labels[part], self.size_px)


class PatchSampler:
    """Draws the training patches of each epoch.

    A line gives at most `fraction` of its possible offsets per epoch, never one twice, and never a
    near-empty one. With `balance` the writers have equal shares; what a writer is short of goes to
    the others in equal parts. Within a writer every allowed patch is equally likely; with `at: ink`
    the patches then move to strokes of their line. An epoch's plan depends on seed and epoch (and
    on which images, of which store) only, not on the epochs planned before.

    Attributes:
        store: the line store.
        settings: as given.
        n_patches_per_epoch: `settings.patches_per_epoch`, or all that the cap allows if that is
            less.
    """

    def __init__(
        self,
        store: LineSource,
        image_ids: Sequence[str],
        writer_ids: Sequence[str],
        settings: PatchSettings,
        seed: int,
        leak: LeakySubset | None = None,
    ) -> None:
        """Test the ink of all offsets.

        Args:
            store: holds the lines; images without a line in it are passed over (the store says why:
                `store.unusable`).
            image_ids: to draw from; their order has no influence.
            writer_ids: class k of a model is writer_ids[k].
            settings: of the patches.
            seed: not negative.
            leak: where the split is leaky, which lines and offsets of the images are for training.

        Raises:
            PatchError: if a patch is higher than the lines, an image's writer is not in
                `writer_ids`, a writer has no patch with enough ink, or the seed is negative; or if
                patches at ink are asked for in a leaky split, where they could leave their part.
        """
        if leak is not None and settings.at == "ink":
            raise PatchError("`patches.at: ink` goes with page-disjoint splits alone; say `patches.at: random` here.")
        if seed < 0:
            raise PatchError(f"A seed must not be negative, but got {seed}.")
        self.store, self.settings, self._seed = store, settings, seed
        columns = columns_of(store.lines)
        lines = _lines_of(store, columns, image_ids, leak)
        labels = _labels_of(columns, lines, writer_ids)
        by_writer = np.argsort(labels, kind="stable")
        self._lines, self._labels = lines[by_writer], labels[by_writer]
        self._offsets = InkedOffsets.find(store, self._lines.tolist(), settings.size_px, settings.min_ink, leak)
        self._caps = np.minimum(self._offsets.n_per_line, self._most_per_line(columns.widths_px[self._lines]))
        self._per_writer = np.bincount(self._labels, weights=self._caps, minlength=len(writer_ids)).astype(np.int64)
        self._check_every_writer(writer_ids)
        self.n_patches_per_epoch = min(settings.patches_per_epoch, int(self._caps.sum()))

    @property
    def n_lines(self) -> int:
        """How many lines patches are drawn from."""
        return len(self._lines)

    def plan_epoch(self, epoch: int) -> PatchPlan:
        """Draw and shuffle the patches of one epoch.

        Args:
            epoch: not negative.

        Returns:
            `n_patches_per_epoch` patches, no two the same where places are random.
        """
        generator = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(_PLAN_STREAM, epoch)))
        allowed = self._per_writer if self.settings.balance else np.array([self._caps.sum()])
        shares = share_equally(allowed, self.n_patches_per_epoch, generator)
        chosen = draw_distinct(allowed, shares, generator)
        n_per_line = count_by_group(chosen, self._caps)
        numbers = generator.permutation(draw_distinct(self._offsets.n_per_line, n_per_line, generator))
        place, tops, lefts = self._offsets.locate(numbers)
        plan = _plan(self._lines[place], tops, lefts, self._labels[place], self.settings.size_px)
        return self._at_ink(plan, epoch) if self.settings.at == "ink" else plan

    def _at_ink(self, plan: PatchPlan, epoch: int) -> PatchPlan:
        generator = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(_INK_STREAM, epoch)))
        tops, lefts = move_to_ink(self.store, plan.lines, plan.tops, plan.lefts, plan.size_px, generator)
        return PatchPlan(plan.lines, tops, lefts, plan.labels, plan.size_px)

    def _most_per_line(self, widths_px: NDArray[np.int32]) -> Indices:
        """Apply the fraction to the possible offsets of each line."""
        n_possible = n_possible_offsets(self.store.height_px, widths_px.astype(np.int64), self.settings.size_px)
        return np.maximum(1, np.floor(self.settings.fraction * n_possible)).astype(np.int64)

    def _check_every_writer(self, writer_ids: Sequence[str]) -> None:
        without = [writer_id for writer_id, n in zip(writer_ids, self._per_writer, strict=True) if n == 0]
        if without:
            raise PatchError(
                f"Every writer needs a training patch with at least min_ink={self.settings.min_ink} of ink pixels, but "
                f"{len(without)} of {len(writer_ids)} writers have none: {', '.join(without[:5])}"
                f"{', ...' if len(without) > 5 else ''}. Lower patches.min_ink, or leave them out of the corpus."
            )


def evaluation_plan(
    store: LineSource,
    image_ids: Sequence[str],
    writer_ids: Sequence[str] | None,
    settings: PatchSettings,
    per_image: int,
    leak: LeakySubset | None = None,
    by: Literal["line", "image", "page"] = "image",
) -> PatchPlan:
    """Space patches evenly over the inked offsets of each image, all its lines together.

    An image with fewer inked offsets than `per_image` gives them all; one with none gives its most
    inked patch, so that every image with a line gets a decision.

    Args:
        store: holds the lines; images without a line in it are passed over (the store says why:
            `store.unusable`).
        image_ids: to evaluate; their order has no influence.
        writer_ids: class k of a model is writer_ids[k]; `None` where the writers are not known.
        settings: of the patches.
        per_image: most patches of one image, at least 1.
        leak: where the split is leaky, which lines and offsets of the images are for evaluation.
        by: `page` spaces them over all images of a page, as if the whole page were one image;
            `line` over each line.

    Returns:
        Patches in the order of the store, those of one image and line together.

    Raises:
        PatchError: if no image has a line, a patch is higher than the lines, an image's writer is
            not in `writer_ids`, or `per_image` is below 1.
    """
    if per_image < 1:
        raise PatchError(f"`per_image >= 1` must hold, but got {per_image=}.")
    check_size(store, settings.size_px)
    columns = columns_of(store.lines)
    lines = _lines_of(store, columns, image_ids, leak)
    if len(lines) == 0:
        raise PatchError(f"None of the {len(image_ids)} images to evaluate has a text line.")
    groups = _groups_of(columns, lines, by)
    order = np.argsort(groups, kind="stable")
    chosen, tops, lefts = _space_evenly(store, lines[order], groups[order], settings, per_image, leak)
    labels = np.full(len(chosen), UNKNOWN_WRITER) if writer_ids is None else _labels_of(columns, chosen, writer_ids)
    return _plan(chosen, tops, lefts, labels, settings.size_px)


def read_patches(store: LineSource, plan: PatchPlan) -> NDArray[np.uint8]:
    """Copy the pixels of patches out of the store.

    A line narrower than a patch is centred on paper.

    Returns:
        (n_patches, size_px, size_px), row before column; 0 is ink, 255 paper.
    """
    size = plan.size_px
    patches = np.empty((len(plan), size, size), dtype=np.uint8)
    places = zip(plan.lines.tolist(), plan.tops.tolist(), plan.lefts.tolist(), strict=True)
    for patch, (line, top, left) in zip(patches, places, strict=True):
        pixels = store.pixels(line)
        width_px = pixels.shape[1]
        if width_px >= size:
            patch[...] = pixels[top : top + size, left : left + size]
        else:
            margin = (size - width_px) // 2
            patch[...] = PAPER
            patch[:, margin : margin + width_px] = pixels[top : top + size]
    return patches


def distinct_patches(order: Sequence[int], plan: PatchPlan, n: int) -> list[int]:
    """The first n patches of an order that share at most half of their area with each one taken
    before.

    Patches are cut so densely that neighbours show nearly the same: the strongest few alone would
    be one place.
    """
    taken: list[int] = []
    for number in order:
        if len(taken) == n:
            break
        if all(are_apart(plan, number, other) for other in taken):
            taken.append(number)
    return taken


def are_apart(plan: PatchPlan, one: int, other: int) -> bool:
    """Whether two patches of a plan have at most half of their area in common."""
    if plan.lines[one] != plan.lines[other]:
        return True
    down, across = abs(int(plan.tops[one] - plan.tops[other])), abs(int(plan.lefts[one] - plan.lefts[other]))
    shared = max(0, plan.size_px - down) * max(0, plan.size_px - across)
    return shared <= _MOST_SHARED * plan.size_px**2


def _lines_of(store: LineSource, columns: LineColumns, image_ids: Sequence[str], leak: LeakySubset | None) -> Indices:
    wanted = set(image_ids)
    is_wanted = np.array([image_id in wanted for image_id in columns.image_ids], dtype=np.bool_)
    lines = np.flatnonzero(is_wanted[columns.images]).astype(np.int64)
    return lines if leak is None else lines[leak.choose([store.lines[i] for i in lines.tolist()])]


def _labels_of(columns: LineColumns, lines: Indices, writer_ids: Sequence[str]) -> Indices:
    label_of = {writer_id: label for label, writer_id in enumerate(writer_ids)}
    label_of_image = np.array([label_of.get(owner, -1) for owner in columns.writer_ids], dtype=np.int64)
    labels = label_of_image[columns.images[lines]]
    if (labels < 0).any():
        unknown = sorted({columns.writer_ids[image] for image in np.unique(columns.images[lines[labels < 0]])})
        raise PatchError(
            f"Every image must be by one of the {len(writer_ids)} given writers, but got images by "
            f"{', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}. Use the split of these writers."
        )
    return labels


def _groups_of(columns: LineColumns, lines: Indices, by: Literal["line", "image", "page"]) -> Indices:
    """What patches are spaced over together, for each line, numbered by first appearance."""
    keys: Indices = lines
    if by != "line":
        names: Iterable[Hashable]
        names = columns.image_ids if by == "image" else zip(columns.writer_ids, columns.group_ids, strict=True)
        number: dict[Hashable, int] = {}
        keys = np.array([number.setdefault(name, len(number)) for name in names])[columns.images[lines]]
    first, inverse = np.unique(keys, return_index=True, return_inverse=True)[1:]
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def _plan(lines: Indices, tops: Indices, lefts: Indices, labels: Indices, size_px: int) -> PatchPlan:
    return PatchPlan(
        lines.astype(np.int32), tops.astype(np.int32), lefts.astype(np.int32), labels.astype(np.int32), size_px
    )


def _space_evenly(
    store: LineSource,
    lines: Indices,
    groups: Indices,
    settings: PatchSettings,
    per_group: int,
    leak: LeakySubset | None,
) -> Indices:
    """Choose the patches of each group of lines: (3, n_patches), rows line, top, left.

    Offsets count column by column, so that few patches still lie all along the line. The lines of a
    group stand together; groups are numbered from 0 without gaps, in rising order.
    """
    offsets = InkedOffsets.find(store, lines.tolist(), settings.size_px, settings.min_ink, leak)
    n_inked = np.bincount(groups, weights=offsets.n_per_line).astype(np.int64)
    n_chosen = np.minimum(per_group, n_inked)
    of_patch = np.repeat(np.arange(len(n_chosen)), n_chosen)
    place = np.arange(len(of_patch)) - (np.cumsum(n_chosen) - n_chosen)[of_patch]
    within = (2 * place + 1) * n_inked[of_patch] // (2 * n_chosen[of_patch])
    numbers = within + (np.cumsum(n_inked) - n_inked)[of_patch]
    chosen, tops, lefts = offsets.locate(numbers) if settings.size_px == store.height_px else offsets.by_column(numbers)
    patches = [np.stack([lines[chosen], tops, lefts])]
    blank = np.flatnonzero(n_inked == 0)
    starts, ends = (np.searchsorted(groups, blank, side=side) for side in ("left", "right"))
    for start, end in zip(starts, ends, strict=True):
        patches.append(_most_inked(store, lines[start:end].tolist(), settings, leak))
    order = np.argsort(np.concatenate([of_patch, blank]), kind="stable")
    return np.concatenate(patches, axis=1)[:, order]


def _most_inked(store: LineSource, lines: Sequence[int], settings: PatchSettings, leak: LeakySubset | None) -> Indices:
    """The patch with the most ink, though that is too little: (3, 1), rows line, top, left."""
    shares = [ink_shares(store, line, settings.size_px) for line in lines]
    if leak is not None:
        shares = [
            np.where(leak.offsets(store.lines[line], share.shape), share, -1.0)
            for line, share in zip(lines, shares, strict=True)
        ]
    most = int(np.argmax([share.max() for share in shares]))
    top, left = np.unravel_index(int(np.argmax(shares[most])), shares[most].shape)
    return np.array([[lines[most]], [top], [left]], dtype=np.int64)
