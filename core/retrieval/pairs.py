"""Pairs of pages, by one hand or by two: their similarities, and how sure a figure about them is.

Pairs are not independent: a page is in many of them, and a writer who is easily mistaken spoils all
of his or hers. So intervals come from drawing writers again, whole, with all their pages. A pair
of two writers then counts as often as the product of how often each was drawn.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.errors import RetrievalError
from core.retrieval.similarities import Likeness, Similarities
from core.scoring.intervals import LEVEL, Interval, draw_resamples, exact_interval
from core.scoring.mean_scores import FloatArray, number_groups

MOST_PAIRS = 2_000_000
"""Of each kind that are kept; where there are more, evenly chosen ones."""
_BLOCK_CELLS = 4_000_000  # similarities computed at once: 16 MB
_N_EDGES = 128  # of bins, from each kind of pair
_MOST_GROUPS = 128  # that writers are dealt into for the bootstrap


@dataclass(frozen=True, eq=False)
class PagePairs:
    """Pairs of pages with their similarities.

    Attributes:
        scores: (n_pairs,) the larger the more alike.
        is_same: (n_pairs,) whether one hand wrote both pages.
        first: (n_pairs,) the writer of one page, numbered from 0.
        second: (n_pairs,) the writer of the other page.
        n_same: pairs by one hand that there are, kept or not.
        n_different: pairs by two hands that there are, kept or not.
    """

    scores: Likeness
    is_same: NDArray[np.bool_]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    n_same: int
    n_different: int

    @cached_property
    def n_writers_of_same(self) -> int:
        """Writers with a pair of their own."""
        return len(np.unique(self.first[self.is_same]))

    @cached_property
    def n_writers_of_different(self) -> int:
        """Writers with a pair with someone else."""
        is_different = ~self.is_same
        return len(np.unique(np.concatenate([self.first[is_different], self.second[is_different]])))


def blocks(similarities: Similarities) -> Iterator[tuple[int, Likeness]]:
    """The rows of similarities, so many at once as memory bears.

    Yields:
        The number of the first page, and (n_rows, n_pages).
    """
    n_pages = similarities.n_pages
    step = max(1, _BLOCK_CELLS // max(1, n_pages))
    for start in range(0, n_pages, step):
        yield start, similarities.rows(start, min(start + step, n_pages))


def number_writers(writers: Sequence[str], n_pages: int) -> NDArray[np.int64]:
    """The writer of each page, numbered from 0 in the order in which they first appear.

    Raises:
        ValueError: if there are not as many as pages.
        RetrievalError: if there are fewer than two writers, or none with two pages.
    """
    if len(writers) != n_pages:
        raise ValueError(f"Every page needs a writer, but got {n_pages} pages and {len(writers)} writers.")
    names, numbers = number_groups(writers)
    if len(names) < 2 or np.bincount(numbers).max() < 2:
        most = int(np.bincount(numbers).max()) if names else 0
        raise RetrievalError(
            "Finding pages by the same hand needs at least two writers, and one of them with two pages; but this is "
            f"the number of writers: {len(names)}, and this the most pages of one: {most}."
        )
    return numbers


def collect_pairs(
    similarities: Similarities, writers: Sequence[str], most: int = MOST_PAIRS, seed: int = 0
) -> PagePairs:
    """Collect the pairs of different pages, each once.

    Args:
        similarities: of the pages.
        writers: of each page.
        most: of each kind to keep; of more, each is kept with the same chance.
        seed: of that choice.

    Raises:
        ValueError: if there are not as many writers as pages.
        RetrievalError: if there are fewer than two writers, or none with two pages.
    """
    numbers = number_writers(writers, similarities.n_pages)
    n_pages, per_writer = len(numbers), np.bincount(numbers)
    n_same = int((per_writer * (per_writer - 1) // 2).sum())
    n_different = n_pages * (n_pages - 1) // 2 - n_same
    chances = {True: most / n_same, False: most / n_different}
    generator = np.random.default_rng(seed)
    parts = []
    for start, rows in blocks(similarities):
        own = numbers[start : start + len(rows), np.newaxis]
        is_later = np.arange(n_pages) > np.arange(start, start + len(rows))[:, np.newaxis]
        for is_same, of_kind in ((True, own == numbers), (False, own != numbers)):
            row, column = np.nonzero(is_later & of_kind)
            if chances[is_same] < 1:
                is_kept = generator.random(len(row)) < chances[is_same]
                row, column = row[is_kept], column[is_kept]
            kinds = np.full(len(row), is_same)
            parts.append((rows[row, column], kinds, numbers[start + row], numbers[column]))
    scores, is_same_hand, first, second = (np.concatenate(part) for part in zip(*parts, strict=True))
    return PagePairs(scores, is_same_hand, first.astype(np.int32), second.astype(np.int32), n_same, n_different)


def bin_pairs(pairs: PagePairs) -> tuple[NDArray[np.int64], int]:
    """Sort pairs into some 250 bins of rising similarity, for figures that are computed again for
    each resample.

    Bins are narrow where pairs by one hand are missed, and where those by two are taken for one.

    Returns:
        The bin of each pair, (n_pairs,), and how many bins there are.
    """
    tail = np.linspace(0, 1, _N_EDGES) ** 2
    low_of_same = np.quantile(pairs.scores[pairs.is_same], tail)
    high_of_different = np.quantile(pairs.scores[~pairs.is_same], 1 - tail)
    edges = np.unique(np.concatenate([low_of_same, high_of_different]))
    return np.searchsorted(edges, pairs.scores, side="right").astype(np.int64), len(edges) + 1


def interval_of(values: FloatArray, score: float, n_writers: int | None) -> Interval:
    """The percentile interval of a bootstrapped score; where all values are 0 or all are 1, the
    exact one of a share of so many writers.

    Args:
        values: (n_resamples,) of the score.
        score: of all pairs.
        n_writers: who were drawn again; `None` where the score is no share.
    """
    if n_writers is not None and score in (0, 1) and np.allclose(values, score, rtol=0, atol=1e-9):
        return exact_interval(score, n_writers)
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


class WriterResamples:
    """A bootstrap over writers for figures about pairs (the subset bootstrap of Bolle, Ratha and
    Pankanti 2004, here for both kinds of pairs).

    More than 128 writers are dealt at random into 128 groups that are drawn whole, so that memory
    does not grow with the square of the writers. A resample without pairs of both kinds is left
    out.

    Args:
        pairs: of both kinds.
        n_resamples: how many.
        seed: of the drawing.
    """

    def __init__(self, pairs: PagePairs, n_resamples: int, seed: int = 0) -> None:
        n_writers = 1 + int(max(pairs.first.max(), pairs.second.max()))
        self._n_groups = min(n_writers, _MOST_GROUPS)
        group_of = np.random.default_rng(seed).permutation(n_writers) % self._n_groups
        self._first, self._second = group_of[pairs.first], group_of[pairs.second]
        self._is_same = pairs.is_same
        self._weights = draw_resamples(self._n_groups, n_resamples, seed)
        same, different = (counts[:, 0] for counts in self._sums(np.zeros(len(pairs.scores), np.int64), 1))
        has_both = (same > 0) & (different > 0)
        self._weights = self._weights[has_both]
        self._totals = same[has_both, np.newaxis], different[has_both, np.newaxis]

    def means(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The means of a value of each pair, (n_pairs,), over pairs by one hand and over those by
        two: (n_resamples,) each.
        """
        same, different = self._sums(np.zeros(len(values), np.int64), 1, values)
        return (same / self._totals[0])[:, 0], (different / self._totals[1])[:, 0]

    def shares(self, bins: NDArray[np.int64], n_bins: int) -> tuple[FloatArray, FloatArray]:
        """The share of the pairs that lies in each bin: (n_resamples, n_bins) for pairs by one
        hand, and for those by two.

        Args:
            bins: (n_pairs,) from 0 to n_bins - 1.
            n_bins: how many bins.
        """
        same, different = self._sums(bins, n_bins)
        return same / self._totals[0], different / self._totals[1]

    def _sums(
        self, bins: NDArray[np.int64], n_bins: int, values: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Sums of values (or counts) in each bin and resample, (n_resamples, n_bins), of both
        kinds.
        """
        n, same, other = self._n_groups, self._is_same, ~self._is_same

        def add(cells: NDArray[np.int64], chosen: NDArray[np.bool_], n_cells: int) -> FloatArray:
            weights = None if values is None else values[chosen]
            return np.bincount(cells[chosen], weights, n_bins * n_cells).astype(np.float64)

        of_one = add(bins * n + self._first, same, n).reshape(n_bins, n)
        of_two = add((bins * n + self._first) * n + self._second, other, n * n).reshape(n_bins, n, n)
        drawn = self._weights
        return drawn @ of_one.T, np.stack([((drawn @ table) * drawn).sum(axis=1) for table in of_two], axis=1)
