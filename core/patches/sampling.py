"""Fair shares, and draws without replacement, for many groups at once.

Groups are numbered through: group 0 holds the numbers 0 to n_per_group[0] - 1, group 1 the next ones, and so on.
"""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


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
    """Draw numbers without replacement from each group, every subset of the wanted size equally likely.

    What was drawn twice is drawn again. Where more than half of a group is wanted, it is drawn what stays out; so
    each round settles at least half of what is open, on average, and a few rounds do.

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
