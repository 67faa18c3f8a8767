"""How alike pages are: cosines of their descriptors, or cosines reranked by what pages have in
common.

Rankings and their scores take either. Cosines are computed in blocks of rows, so that n pages never
need n times n numbers at once; reranking does need them.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

from core.errors import RetrievalError

Likeness = NDArray[np.float32]
"""Of pages in rows to pages in columns, the larger the more alike."""
_MOST_RERANKED = 30_000  # pages: 3.6 GB a matrix
_EXPANDED_SHARE = 0.3  # k2 = 6 of k1 = 20
_SUBSET_SHARE = 2 / 3  # of the neighbours of a neighbour, equation 4 of the paper


class Similarities(Protocol):
    """How alike any two of n pages are."""

    @property
    def n_pages(self) -> int:
        """How many pages there are."""
        ...

    def rows(self, start: int, stop: int) -> Likeness:
        """Of the pages from start to stop (not among them) to all: (stop - start, n_pages)."""
        ...


class Cosines:
    """Cosines of page descriptors.

    Args:
        descriptors: (n_pages, n_dimensions), each row of length 1.

    Raises:
        ValueError: if they are of another shape, or not finite.
    """

    def __init__(self, descriptors: NDArray[np.floating]) -> None:
        if descriptors.ndim != 2 or not np.isfinite(descriptors).all():
            raise ValueError(f"Descriptors must be finite, (n_pages, n_dimensions), but got {descriptors.shape}.")
        self._descriptors = np.asarray(descriptors, dtype=np.float32)

    @property
    def n_pages(self) -> int:
        """How many pages there are."""
        return len(self._descriptors)

    def rows(self, start: int, stop: int) -> Likeness:
        """Of the pages from start to stop (not among them) to all, from -1 to 1."""
        return self._descriptors[start:stop] @ self._descriptors.T


class SimilarityMatrix:
    """Likenesses that are there already.

    Args:
        matrix: (n_pages, n_pages).

    Raises:
        ValueError: if it is not square, or not finite.
    """

    def __init__(self, matrix: NDArray[np.floating]) -> None:
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
            raise ValueError(f"Similarities must be finite, (n_pages, n_pages), but got {matrix.shape}.")
        self._matrix = np.asarray(matrix, dtype=np.float32)

    @property
    def n_pages(self) -> int:
        """How many pages there are."""
        return len(self._matrix)

    def rows(self, start: int, stop: int) -> Likeness:
        """Of the pages from start to stop (not among them) to all."""
        return self._matrix[start:stop]


def rerank(
    descriptors: NDArray[np.floating], n_neighbours: int = 20, n_expanded: int | None = None, weight: float = 0.3
) -> SimilarityMatrix:
    """Count two pages as alike that have the same nearest pages.

    k-reciprocal encoding (Zhong, Zheng, Cao and Li, "Re-ranking person re-identification with
    k-reciprocal encoding", CVPR 2017). A page is described by those of its nearest pages that have
    it among their own nearest; two pages by how much these sets overlap (Jaccard). It looks at all
    pages together, not at writers; the answer for a page changes with the pages beside it.

    Args:
        descriptors: (n_pages, n_dimensions), each row of length 1.
        n_neighbours: k1 of the paper: nearest pages looked at. Best near the number of pages that a
            hand has here; at most all others.
        n_expanded: k2 of the paper: nearest pages, itself among them, whose sets are averaged; 0.3
            of the neighbours, as in the paper, if not given.
        weight: lambda of the paper, from 0 (overlap alone) to 1 (cosine alone).

    Returns:
        Similarities from 0 to 1: 1 minus the paper's final distance.

    Raises:
        ValueError: if a number is out of range.
        RetrievalError: if there are more than 30,000 pages, whose matrix would not fit into memory.
    """
    n_pages = len(descriptors)
    n_expanded = max(1, math.ceil(_EXPANDED_SHARE * n_neighbours)) if n_expanded is None else n_expanded
    if n_neighbours < 1 or n_expanded < 1 or not 0 <= weight <= 1:
        raise ValueError(
            f"n_neighbours >= 1, n_expanded >= 1, 0 <= weight <= 1, but got {n_neighbours=}, {n_expanded=}, {weight=}."
        )
    if n_pages > _MOST_RERANKED:
        raise RetrievalError(f"At most {_MOST_RERANKED:,} pages can be reranked, but there are {n_pages:,}.")
    distances = 1 - np.clip(Cosines(descriptors).rows(0, n_pages), -1, 1)
    np.fill_diagonal(distances, 0)
    # As the authors' code does it: each row by its largest, so that the kernel below has one scale.
    distances /= np.maximum(distances.max(axis=1, keepdims=True, initial=0), np.finfo(np.float32).tiny)
    nearest = _nearest(distances, n_neighbours)
    encoded = _encode(distances, nearest)
    averaged = np.arange(n_pages).repeat(min(n_expanded, nearest.shape[1]))
    neighbours = nearest[:, :n_expanded].ravel()
    shares = np.full(len(neighbours), 1 / min(n_expanded, nearest.shape[1]), dtype=np.float32)
    expanded = csr_matrix((shares, (averaged, neighbours)), shape=(n_pages, n_pages)) @ encoded
    distances *= weight
    distances += (1 - weight) * _jaccard(expanded)
    return SimilarityMatrix(1 - distances)


def _nearest(distances: Likeness, n_neighbours: int) -> NDArray[np.int64]:
    """Of each page itself and its nearest others, (n_pages, n_neighbours + 1) at most."""
    n_pages = len(distances)
    nearest = np.empty((n_pages, min(n_neighbours + 1, n_pages)), dtype=np.int64)
    for page in range(n_pages):
        row = distances[page].copy()
        row[page] = -1  # itself first, also beside an equal page
        nearest[page] = np.argsort(row, kind="stable")[: nearest.shape[1]]
    return nearest


def _encode(distances: Likeness, nearest: NDArray[np.int64]) -> csr_matrix:
    """The weights of the pages in each page's set, (n_pages, n_pages); rows sum to 1."""
    half = max(1, round((nearest.shape[1] - 1) / 2)) + 1
    small = [_reciprocal(nearest[:, :half], page) for page in range(len(nearest))]
    columns, weights, lengths = [], [], []
    for page in range(len(nearest)):
        own = _reciprocal(nearest, page)
        near = [small[other] for other in own.tolist()]
        added = [others for others in near if np.isin(others, own).sum() > _SUBSET_SHARE * len(others)]
        chosen = np.unique(np.concatenate([own, *added]))
        kernel = np.exp(-distances[page, chosen])
        columns.append(chosen)
        weights.append(kernel / kernel.sum())
        lengths.append(len(chosen))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return csr_matrix((np.concatenate(weights), np.concatenate(columns), starts), shape=distances.shape)


def _reciprocal(nearest: NDArray[np.int64], page: int) -> NDArray[np.int64]:
    """Of a page's nearest those that have it among their own nearest; itself is always one."""
    own = nearest[page]
    return own[(nearest[own] == page).any(axis=1)]


def _jaccard(encoded: csr_matrix) -> Likeness:
    """1 minus (sum of minima) / (sum of maxima) of any two rows, each of which sums to 1."""
    n_pages = encoded.shape[0]
    by_column = csc_matrix(encoded)
    starts, pages, weights = by_column.indptr, by_column.indices, by_column.data
    distances = np.empty((n_pages, n_pages), dtype=np.float32)
    for page in range(n_pages):
        own = slice(encoded.indptr[page], encoded.indptr[page + 1])
        minima = np.zeros(n_pages)
        for column, weight in zip(encoded.indices[own].tolist(), encoded.data[own].tolist(), strict=True):
            inside = slice(starts[column], starts[column + 1])
            minima[pages[inside]] += np.minimum(weights[inside], weight)
        distances[page] = 1 - minima / (2 - minima)
    return distances
