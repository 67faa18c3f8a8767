"""Whether a ranking is better than chance, and whether one is better than another.

Against chance, the writers of the pages are shuffled among them: if a descriptor says nothing about
hands, every such assignment is as likely as the true one (a permutation test; Good 2005, chapter
3). Against another ranking of the same pages, the difference that each writer's queries make is
given a random sign: if the two are equally good, either sign is as likely. Writers are the units,
not queries or pairs, because a writer's pages resemble each other.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.retrieval.pairs import number_writers
from core.retrieval.similarities import Likeness, Similarities
from core.scoring.intervals import LEVEL, Interval, draw_resamples
from core.scoring.mean_scores import FloatArray, number_groups

FEWEST_WRITERS = 6
"""Below six writers no paired difference can pass 5 %: even if all go one way, chance does so with
2 / 2**5 = 6 %.
"""
_MOST_SHUFFLES, _FEWEST_SHUFFLES = 999, 199  # 199 can tell 1 % just so: 1 / 200
_MOST_CELLS = 200_000_000  # queries x pages x shuffles: some seconds
_MOST_QUERIES = 1000  # of more, evenly chosen ones
_N_SIGNS = 9999


@dataclass(frozen=True)
class ChanceTest:
    """A ranking beside those of shuffled writers.

    Attributes:
        score: mean average precision of the ranking.
        of_chance: the mean of the same where writers are shuffled.
        p_value: the share of rankings, this one among them, that are at least as good (one-sided).
        n_shuffles: how often writers were shuffled.
    """

    score: float
    of_chance: float
    p_value: float
    n_shuffles: int


@dataclass(frozen=True)
class PairedRankings:
    """How a first ranking differs from a second one of the same pages.

    Attributes:
        n_queries: pages that were looked for.
        n_writers: who wrote them, the units of the test.
        map_difference: mean average precision of the first minus that of the second.
        map_interval: its 95 % interval, a bootstrap over writers.
        n_writers_better: writers whose pages the first finds better.
        n_writers_worse: writers whose pages the second finds better.
        p_value: that such a difference is chance (a sign-flip test over writers, two-sided).
    """

    n_queries: int
    n_writers: int
    map_difference: float
    map_interval: Interval
    n_writers_better: int
    n_writers_worse: int
    p_value: float

    @property
    def is_better(self) -> bool:
        """The first one finds more, beyond chance."""
        return self.map_difference > 0 and self.p_value < 1 - LEVEL


def compare_with_chance(similarities: Similarities, writers: Sequence[str], seed: int = 0) -> ChanceTest:
    """Test a ranking against shuffled writers.

    Among equal similarities the order is drawn, so that the order of the files says nothing. Of
    more than 1,000 queries evenly chosen ones count, and the larger the corpus, the fewer shuffles
    there are: 199 at least, 999 at most.

    Args:
        similarities: of the pages.
        writers: of each page.
        seed: of the shuffling.

    Raises:
        ValueError: if there are not as many writers as pages.
        RetrievalError: if there are fewer than two writers, or none with two pages.
    """
    numbers = number_writers(writers, similarities.n_pages)
    generator = np.random.default_rng(seed)
    n_pages = len(numbers)
    queries = np.unique(np.linspace(0, n_pages - 1, min(n_pages, _MOST_QUERIES)).astype(np.int64))
    order = np.stack([_others_in_order(similarities.rows(q, q + 1)[0], q, generator) for q in queries.tolist()])
    n_shuffles = min(_MOST_SHUFFLES, max(_FEWEST_SHUFFLES, _MOST_CELLS // max(1, order.size)))
    score = _mean_precision(order, queries, numbers)
    shuffled = [_mean_precision(order, queries, generator.permutation(numbers)) for _ in range(n_shuffles)]
    n_as_good = sum(value >= score - 1e-12 for value in shuffled)
    return ChanceTest(score, float(np.mean(shuffled)), (1 + n_as_good) / (1 + n_shuffles), n_shuffles)


def least_p_value(writers: Sequence[str]) -> float:
    """The p-value of a perfect ranking: the share of all ways to shuffle the writers that leave the
    same pages together.

    >>> round(least_p_value(["a", "a", "b", "b"]), 6)  # 3 ways to make two pairs of four pages
    0.333333
    """
    counts = Counter(writers).values()
    same = sum(math.lgamma(n + 1) for n in counts) + sum(math.lgamma(n + 1) for n in Counter(counts).values())
    return math.exp(min(0.0, same - math.lgamma(len(writers) + 1)))


def compare_rankings(first: FloatArray, second: FloatArray, writers: Sequence[str], seed: int = 0) -> PairedRankings:
    """Compare two rankings query by query: what both find easy or hard cancels out.

    Args:
        first: (n_queries,) average precisions.
        second: (n_queries,) those of the same queries in the other ranking.
        writers: of each query.
        seed: of the signs, and of the bootstrap.

    Raises:
        ValueError: if there is no query, or the lengths differ.
    """
    if not len(first) == len(second) == len(writers) or len(first) == 0:
        raise ValueError(f"Queries must be equally many, but got {len(first)}, {len(second)} and {len(writers)}.")
    names, numbers = number_groups(writers)
    sums = np.bincount(numbers, first - second, len(names))
    counts = np.bincount(numbers, minlength=len(names)).astype(np.float64)
    resamples = draw_resamples(len(names), _N_SIGNS, seed)
    low, high = np.quantile((resamples @ sums) / (resamples @ counts), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), (_N_SIGNS, len(names)))
    n_as_large = int((np.abs(signs @ sums) >= abs(sums.sum()) - 1e-12).sum())
    return PairedRankings(
        n_queries=len(first),
        n_writers=len(names),
        map_difference=float((first - second).mean()),
        map_interval=(float(low), float(high)),
        n_writers_better=int((sums > 1e-12).sum()),
        n_writers_worse=int((sums < -1e-12).sum()),
        p_value=(1 + n_as_large) / (1 + _N_SIGNS),
    )


def _others_in_order(row: Likeness, query: int, generator: np.random.Generator) -> NDArray[np.int32]:
    """The other pages, the most alike first, equal ones in an order that is drawn: (n_pages -
    1,).
    """
    drawn = generator.permutation(len(row))
    order = drawn[np.argsort(-row[drawn], kind="stable")]
    return order[order != query].astype(np.int32)


def _mean_precision(order: NDArray[np.int32], queries: NDArray[np.int64], writers: NDArray[np.int64]) -> float:
    """Mean average precision; a query whose writer has no other page does not count."""
    is_right = writers[order] == writers[queries][:, np.newaxis]
    n_right = is_right.sum(axis=1)
    row, column = np.nonzero(is_right)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(n_right) - n_right, n_right) + 1
    precisions = np.bincount(row, nth / (column + 1), len(queries))
    return float((precisions[n_right > 0] / n_right[n_right > 0]).mean())
