"""Where a patch may lie in a line, where enough ink is under it, and how places are drawn fairly.

A patch of side p fits a line of H x W pixels at (W - p + 1) * (H - p + 1) offsets; a line narrower
than a patch has one offset a row, and is padded with paper on both sides. Most offsets of a line
are inked in long runs, so runs are what is kept: a few numbers a line instead of one for every
offset.

Shares and draws work on numbers. The offsets of all groups (lines or writers) are numbered through:
group 0 holds the numbers 0 to n_per_group[0] - 1, group 1 the next ones, and so on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import PatchError
from core.lines.source import LineSource
from core.splits.manifest import LeakySubset

Indices = NDArray[np.int64]
_VERSION = 1
"""To be raised whenever the same lines would mean other offsets."""
PER_LINE = ("n_per_line", "first_runs", "n_runs")
PER_RUN = ("run_tops", "run_lefts", "run_starts")
"""Fields of `InkedOffsets`, as they are kept."""


@dataclass(frozen=True, eq=False)
class InkedOffsets:
    """All inked offsets of some lines, numbered through: line by line, row by row, from left to
    right.

    Attributes:
        n_per_line: (n_lines,) inked offsets of each line.
        first_runs: (n_lines,) the place of each line's first run among the runs.
        n_runs: (n_lines,) runs of each line.
        run_tops: (all runs,) the row of each run.
        run_lefts: (all runs,) the first column of each run.
        run_starts: (all runs,) the number of each run's first offset within its line, rising from 0
            in each line.
    """

    n_per_line: Indices
    first_runs: Indices
    n_runs: Indices
    run_tops: NDArray[np.int32]
    run_lefts: NDArray[np.int32]
    run_starts: NDArray[np.int32]

    @classmethod
    def find(
        cls, store: LineSource, lines: Sequence[int], size_px: int, min_ink: float, leak: LeakySubset | None = None
    ) -> "InkedOffsets":
        """Test every offset of the lines, or take what is kept of that.

        Args:
            store: where the lines lie.
            lines: places in `store.lines`.
            size_px: side of a patch.
            min_ink: least share of ink pixels under a patch.
            leak: where only a part of each line's offsets may be taken.

        Raises:
            PatchError: if a patch is higher than the lines.
        """
        check_size(store, size_px)
        kept = store.kept_arrays(kept_as(size_px, min_ink)) if leak is None else None
        if kept is not None:
            chosen = np.asarray(lines, dtype=np.int64)
            per_line = (kept[name][chosen] for name in PER_LINE)
            return cls(*per_line, *(kept[name] for name in PER_RUN))
        runs = [_find_runs(mark_inked(store, line, size_px, min_ink, leak)) for line in lines]
        n_runs = np.array([len(tops) for tops, _, _ in runs], dtype=np.int64)
        n_per_line = np.array([lengths.sum() for _, _, lengths in runs], dtype=np.int64)
        tops, lefts, starts = (np.zeros(int(n_runs.sum()), dtype=np.int32) for _ in PER_RUN)
        end = 0
        for line_tops, line_lefts, lengths in runs:
            part = slice(end, end := end + len(lengths))
            tops[part], lefts[part], starts[part] = line_tops, line_lefts, np.cumsum(lengths) - lengths
        return cls(n_per_line, np.cumsum(n_runs) - n_runs, n_runs, tops, lefts, starts)

    def locate(self, numbers: Indices) -> tuple[Indices, Indices, Indices]:
        """Look up offsets by their numbers.

        Args:
            numbers: each from 0 to the sum of `n_per_line`, exclusive.

        Returns:
            Three arrays as long as `numbers`: place of the line among the lines, top, left.
        """
        ends = np.cumsum(self.n_per_line)
        place = np.searchsorted(ends, numbers, side="right")
        within = numbers - (ends - self.n_per_line)[place]
        low = self.first_runs[place]
        high = low + self.n_runs[place]
        while (high - low > 1).any():  # halve towards the last run of the line that does not start behind
            middle = (low + high) // 2
            is_behind = self.run_starts[middle] > within
            low, high = np.where(is_behind, low, middle), np.where(is_behind, middle, high)
        tops, lefts = self.run_tops[low].astype(np.int64), self.run_lefts[low] + within - self.run_starts[low]
        return place, tops, lefts

    def by_column(self, numbers: Indices) -> tuple[Indices, Indices, Indices]:
        """Like `locate`, but the offsets of each line are counted column by column; numbers must
        not fall.
        """
        ends = np.cumsum(self.n_per_line)
        place = np.searchsorted(ends, numbers, side="right")
        within = numbers - (ends - self.n_per_line)[place]
        tops, lefts = np.zeros_like(numbers), np.zeros_like(numbers)
        found, firsts = np.unique(place, return_index=True)
        for line, here in zip(found, map(slice, firsts, [*firsts[1:], len(place)]), strict=True):
            run = slice(self.first_runs[line], self.first_runs[line] + self.n_runs[line])
            lengths = np.diff(self.run_starts[run], append=self.n_per_line[line])
            own_tops = np.repeat(self.run_tops[run], lengths)
            own_lefts = np.repeat(self.run_lefts[run] - self.run_starts[run], lengths) + np.arange(len(own_tops))
            wanted = np.lexsort((own_tops, own_lefts))[within[here]]
            tops[here], lefts[here] = own_tops[wanted], own_lefts[wanted]
        return place, tops, lefts


def kept_as(size_px: int, min_ink: float) -> dict[str, object]:
    """Under what the offsets of patches of a size are kept beside the lines."""
    return {"what": "offsets", "size_px": size_px, "min_ink": min_ink, "version": _VERSION}


def mark_inked(
    store: LineSource, line: int, size_px: int, min_ink: float, leak: LeakySubset | None = None
) -> NDArray[np.bool_]:
    """Mark the offsets of a line, (n_tops, n_lefts), with enough ink under them that may be
    taken.
    """
    inked = ink_shares(store, line, size_px) >= min_ink
    return inked if leak is None else inked & leak.offsets(store.lines[line], inked.shape)


def ink_shares(store: LineSource, line: int, size_px: int) -> NDArray[np.float64]:
    """Measure the share of ink pixels under each possible patch of a line.

    Patches as high as the line need no pixels, only the stored cumulative counts.

    Args:
        store: where the line lies.
        line: its place in `store.lines`.
        size_px: side of a patch.

    Returns:
        (n_tops, n_lefts), each from 0 to 1; paper that pads a narrow line counts as no ink.

    Raises:
        PatchError: if a patch is higher than the lines.
    """
    check_size(store, size_px)
    if size_px == store.height_px:
        cumulative = np.asarray(store.n_ink(line), dtype=np.int64)[np.newaxis, :]
    else:
        table = cv2.integral(_mark_ink(store, line), sdepth=cv2.CV_32S).astype(np.int64)  # (height + 1, width + 1)
        cumulative = table[size_px:] - table[:-size_px]
    width_px = cumulative.shape[1] - 1
    span = min(size_px, width_px)
    counts: NDArray[np.int64] = cumulative[:, span:] - cumulative[:, : width_px - span + 1]
    return counts / size_px**2


def n_possible_offsets(height_px: int, width_px: Indices | int, size_px: int) -> Indices:
    """Count the offsets of a patch in a line, inked or not.

    >>> n_possible_offsets(113, np.array([200, 40]), 113)  # the narrow one is padded with paper
    array([88,  1])
    """
    return np.maximum(1, np.asarray(width_px) - size_px + 1) * (height_px - size_px + 1)


def check_size(store: LineSource, size_px: int) -> None:
    """Raise PatchError if patches of this side are higher than the lines of the store."""
    if size_px > store.height_px:
        raise PatchError(
            f"A patch must not be higher than a text line, but got {size_px=} and lines of {store.height_px} px. "
            "Lower patches.size_px or raise ink.height_px."
        )


def share_equally(n_per_group: Indices, n_total: int, generator: np.random.Generator) -> Indices:
    """Divide a total among groups like water among basins: at one level, but none above its rim.

    What is left after the last full level goes to random groups that have room, one each.

    Args:
        n_per_group: (n_groups,) the most that each can take.
        n_total: not more than all can take together.
        generator: source of the random choice.

    Returns:
        (n_groups,) shares that sum to `n_total`.
    """
    low, high = 0, int(n_per_group.max())
    while low < high:  # halve towards the highest level that does not need more than there is
        level = (low + high + 1) // 2
        low, high = (level, high) if np.minimum(n_per_group, level).sum() <= n_total else (low, level - 1)
    shares = np.minimum(n_per_group, low)
    has_room = np.flatnonzero(n_per_group > low)
    shares[generator.permutation(has_room)[: n_total - int(shares.sum())]] += 1
    return shares


def draw_distinct(n_per_group: Indices, n_wanted: Indices, generator: np.random.Generator) -> Indices:
    """Draw numbers without replacement from each group, every subset of the wanted size equally
    likely.

    What was drawn twice is drawn again. Where more than half of a group is wanted, it is drawn what
    stays out; so each round settles at least half of what is open, on average, and a few rounds do.

    Args:
        n_per_group: (n_groups,) size of each group.
        n_wanted: (n_groups,) how many of it to draw, not more than its size.
        generator: source of the random choice.

    Returns:
        The numbers of all groups in rising order, `sum(n_wanted)` of them.
    """
    starts = np.cumsum(n_per_group) - n_per_group
    is_dense = 2 * n_wanted > n_per_group
    n_drawn = np.where(is_dense, n_per_group - n_wanted, n_wanted)
    drawn, n_open = np.zeros(0, dtype=np.int64), n_drawn
    while n_open.any():
        group = np.repeat(np.arange(len(n_open)), n_open)
        drawn = np.union1d(drawn, starts[group] + generator.integers(0, n_per_group[group]))
        n_open = n_drawn - count_by_group(drawn, n_per_group)
    sizes = n_per_group[is_dense]
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    in_dense = np.repeat(starts[is_dense], sizes) + within
    return np.setxor1d(drawn, in_dense, assume_unique=True)


def count_by_group(numbers: Indices, n_per_group: Indices) -> Indices:
    """Count how many of the numbers lie in each group: (n_groups,)."""
    group = np.searchsorted(np.cumsum(n_per_group), numbers, side="right")
    return np.bincount(group, minlength=len(n_per_group))


def _mark_ink(store: LineSource, line: int) -> NDArray[np.uint8]:
    """Mark as many of a line's darkest pixels as the store has counted as ink (whether tone is
    normalised or not).
    """
    pixels = store.pixels(line)
    n_up_to_level = np.cumsum(np.bincount(pixels.ravel(), minlength=256))
    n_ink = int(store.n_ink(line)[-1])
    darkest = int(np.searchsorted(n_up_to_level, n_ink))
    return ((pixels <= darkest) & (n_ink > 0)).astype(np.uint8)


def _find_runs(is_inked: NDArray[np.bool_]) -> tuple[Indices, Indices, Indices]:
    """Find row, first column and length of each run of True, in reading order."""
    bordered = np.zeros((is_inked.shape[0], is_inked.shape[1] + 2), dtype=np.int8)
    bordered[:, 1:-1] = is_inked
    edges = np.diff(bordered, axis=1)
    rows, firsts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    return rows, firsts, ends - firsts
