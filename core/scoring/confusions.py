"""Who is taken for whom: writers in an order that puts the confused ones side by side, and the worst pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

_MOST_ORDERED_OPTIMALLY = 200  # the optimal order of the leaves costs the cube of the writers


@dataclass(frozen=True)
class ConfusedPair:
    """Two writers that are taken for each other.

    Attributes:
        one: class of the writer who is taken for the other more often.
        other: class of the other one.
        one_as_other: items by `one` that were given to `other`.
        n_one: items by `one`.
        other_as_one: items by `other` that were given to `one`.
        n_other: items by `other`.
    """

    one: int
    other: int
    one_as_other: int
    n_one: int
    other_as_one: int
    n_other: int

    @property
    def rate(self) -> float:
        """The two shares together, 0 to 2."""
        return self.one_as_other / max(self.n_one, 1) + self.other_as_one / max(self.n_other, 1)


def order_by_confusion(confusion: NDArray[np.number]) -> NDArray[np.int64]:
    """Order writers so that those who are taken for each other stand side by side.

    Average linkage over 1 minus the mean share of mutual confusion, with the optimal order of the leaves (Bar-Joseph,
    Gifford and Jaakkola 2001).

    Args:
        confusion: (n_writers, n_writers), true writers in rows; counts, or sums of probabilities.

    Returns:
        (n_writers,) a permutation of the classes.
    """
    n = len(confusion)
    if n < 3:
        return np.arange(n)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1e-12)
    alike = (shares + shares.T) / 2
    np.fill_diagonal(alike, 0.0)
    distances = squareform(1.0 - alike - np.eye(n), checks=False)
    tree = linkage(distances, method="average")
    if n <= _MOST_ORDERED_OPTIMALLY:
        tree = optimal_leaf_ordering(tree, distances)
    return leaves_list(tree).astype(np.int64)


def confused_pairs(confusion: NDArray[np.integer], n_pairs: int) -> tuple[ConfusedPair, ...]:
    """The pairs with the highest rates of mutual confusion, the worst first; pairs without any are left out.

    Args:
        confusion: (n_writers, n_writers) counts, true writers in rows.
        n_pairs: at most.
    """
    totals = confusion.sum(axis=1)
    pairs = []
    for i, j in zip(*np.nonzero(np.triu(confusion + confusion.T, k=1)), strict=True):
        is_turned = confusion[j, i] * max(totals[i], 1) > confusion[i, j] * max(totals[j], 1)
        one, other = (int(j), int(i)) if is_turned else (int(i), int(j))
        counts = confusion[one, other], totals[one], confusion[other, one], totals[other]
        pairs.append(ConfusedPair(one, other, *map(int, counts)))
    return tuple(sorted(pairs, key=lambda pair: (-pair.rate, pair.one, pair.other))[:n_pairs])
