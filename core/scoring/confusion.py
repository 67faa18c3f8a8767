"""Who is taken for whom: images by true and by named writer, as a sparse matrix.

Of 10,000 writers each is taken for a few others, so that nearly all of the 100 million cells are
empty. Only those above zero are kept. Confused writers are put side by side, and the worst pairs
listed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.sparse import csr_array, triu
from scipy.spatial.distance import squareform

MOST_DRAWN = 2000
"""Writers in one picture; of more only the `N_OF_MANY` are drawn who are confused most."""
N_OF_MANY = 400
_MOST_ORDERED_OPTIMALLY = 200  # the optimal order of the leaves costs the cube of the writers


def count_confusion(true: NDArray[np.int64], named: NDArray[np.int64], n_writers: int) -> csr_array:
    """Count decisions.

    Args:
        true: (n,) the right classes.
        named: (n,) the decisions.
        n_writers: number of classes.

    Returns:
        (n_writers, n_writers) whole numbers, true writers in rows, only cells above zero.

    >>> count_confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).toarray()
    array([[1, 1],
           [0, 1]])
    """
    return csr_array((np.ones(len(true), dtype=np.int64), (true, named)), shape=(n_writers, n_writers))


def cells_to_write(confusion: csr_array) -> NDArray[np.int64]:
    """The cells above zero, row by row; each row begins with the writer's own cell, also where that
    is zero, so that no writer is missing.

    Returns:
        (n_cells, 3): true class, named class, images.
    """
    cells = confusion.tocoo()
    own = np.arange(confusion.shape[0])
    is_wrong = cells.row != cells.col
    true, named = np.append(own, cells.row[is_wrong]), np.append(own, cells.col[is_wrong])
    images = np.append(confusion.diagonal(), cells.data[is_wrong])
    order = np.lexsort((named, true != named, true))
    return np.stack([true, named, images], axis=1)[order].astype(np.int64)


def writers_to_draw(confusion: csr_array | NDArray[np.number]) -> NDArray[np.int64]:
    """All classes, or of more than `MOST_DRAWN` the `N_OF_MANY` with most images on the wrong side:
    theirs given to others, and others' given to them.

    Returns:
        Classes in rising order.
    """
    counts = csr_array(confusion)
    n = counts.shape[0]
    if n <= MOST_DRAWN:
        return np.arange(n)
    right = counts.diagonal()
    n_wrong = counts.sum(axis=1) + counts.sum(axis=0) - 2 * right
    return np.sort(np.argsort(-n_wrong, kind="stable")[:N_OF_MANY]).astype(np.int64)


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

    Average linkage over 1 minus the mean share of mutual confusion, with the optimal order of the
    leaves (Bar-Joseph, Gifford and Jaakkola 2001).

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


def confused_pairs(confusion: csr_array | NDArray[np.integer], n_pairs: int) -> tuple[ConfusedPair, ...]:
    """The pairs with the highest rates of mutual confusion, the worst first; pairs without any are
    left out.

    Args:
        confusion: (n_writers, n_writers) counts, true writers in rows.
        n_pairs: at most.
    """
    counts = csr_array(confusion)
    totals = counts.sum(axis=1).tolist()
    images = {(i, j): n for i, j, n in zip(*_cells(counts), strict=True)}
    pairs = []
    for i, j in zip(*triu(counts + counts.T, k=1).nonzero(), strict=True):
        of_i, of_j = images.get((int(i), int(j)), 0), images.get((int(j), int(i)), 0)
        if of_j * max(totals[i], 1) > of_i * max(totals[j], 1):
            pairs.append(ConfusedPair(int(j), int(i), of_j, totals[j], of_i, totals[i]))
        else:
            pairs.append(ConfusedPair(int(i), int(j), of_i, totals[i], of_j, totals[j]))
    return tuple(sorted(pairs, key=lambda pair: (-pair.rate, pair.one, pair.other))[:n_pairs])


def _cells(counts: csr_array) -> tuple[list[int], list[int], list[int]]:
    """Rows, columns and values above zero."""
    cells = counts.tocoo()
    return cells.row.tolist(), cells.col.tolist(), cells.data.tolist()
