"""How well pages by the same hand are found: each page a query, itself left out.

A query ranks all other pages. Pages by its own writer are right answers, all others wrong, those by
writers with a single page among them. A page whose writer has no other page cannot be a query: it
is excluded and counted. Of answers that are equally alike the wrong ones come first, so that a
descriptor that says nothing is not scored by the order of the files.

Average precision, top-k and their means are those of the ICDAR competitions on writer
identification ("soft" top-k: one right answer among the first k is enough; Louloudis et al. 2013).
Verification asks of each pair of pages whether one hand wrote both: the equal error rate, at which
as many pairs by one hand are missed as pairs by two are taken for one, and the area under the ROC
curve.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from core.retrieval.pairs import (
    MOST_PAIRS,
    PagePairs,
    WriterResamples,
    bin_pairs,
    blocks,
    collect_pairs,
    interval_of,
    number_writers,
)
from core.retrieval.similarities import Likeness, Similarities
from core.scoring.intervals import Interval, draw_resamples
from core.scoring.mean_scores import FloatArray

TOP_K = (1, 5, 10)


@dataclass(frozen=True, eq=False)
class RetrievalScores:
    """How well pages by the same hand are found.

    Attributes:
        metrics: `map` (mean average precision), `top1`, `top5`, `top10` of the queries, `eer` and
            `auroc` of the pairs; all from 0 to 1, and all but `eer` the better the higher.
        intervals: 95 %, by the same names: writers are drawn again, whole.
        n_pages: pages that were searched.
        n_writers: who wrote them.
        n_excluded: pages that were no query because their writer has no other page.
        n_same_pairs: pairs of pages by one hand.
        n_different_pairs: pairs of pages by two hands.
        queries: (n_queries,) the places of the pages that were queries.
        average_precisions: (n_queries,) of each, for paired comparisons of two descriptors.
        first_right: (n_queries,) the rank of the first right answer, from 1.
    """

    metrics: dict[str, float]
    intervals: dict[str, Interval]
    n_pages: int
    n_writers: int
    n_excluded: int
    n_same_pairs: int
    n_different_pairs: int
    queries: NDArray[np.int64]
    average_precisions: FloatArray
    first_right: NDArray[np.int64]


def score_retrieval(
    similarities: Similarities,
    writers: Sequence[str],
    n_resamples: int = 1000,
    seed: int = 0,
    most_pairs: int = MOST_PAIRS,
) -> RetrievalScores:
    """Score a descriptor by the usual protocol, each page a query.

    Where all queries of all writers are answered alike (0 or 1), the interval is the exact one for
    as many writers, as a bootstrap would claim to be certain.

    Args:
        similarities: of the pages.
        writers: of each page.
        n_resamples: of the bootstrap over writers; 0 for no intervals. The ranking of a query stays
            as it is; queries are weighed by how often their writer was drawn.
        seed: of the bootstrap, and of the choice among too many pairs.
        most_pairs: of each kind that are compared for `eer` and `auroc`.

    Raises:
        ValueError: if there are not as many writers as pages.
        RetrievalError: if there are fewer than two writers, or none with two pages.
    """
    numbers = number_writers(writers, similarities.n_pages)
    per_writer = np.bincount(numbers)
    is_query = per_writer[numbers] > 1
    precisions, first_right = _rank_all(similarities, numbers)
    precisions, first_right = precisions[is_query], first_right[is_query]
    of_queries = {"map": precisions, **{f"top{k}": (first_right <= k).astype(np.float64) for k in TOP_K}}
    pairs = collect_pairs(similarities, writers, most_pairs, seed)
    intervals = {}
    if n_resamples:
        intervals = _query_intervals(of_queries, numbers[is_query], n_resamples, seed) | verification_intervals(
            pairs, n_resamples, seed
        )
    return RetrievalScores(
        metrics={name: float(values.mean()) for name, values in of_queries.items()} | verification_scores(pairs),
        intervals=intervals,
        n_pages=len(numbers),
        n_writers=len(per_writer),
        n_excluded=int((~is_query).sum()),
        n_same_pairs=pairs.n_same,
        n_different_pairs=pairs.n_different,
        queries=np.flatnonzero(is_query),
        average_precisions=precisions,
        first_right=first_right,
    )


def verification_scores(pairs: PagePairs) -> dict[str, float]:
    """`eer` and `auroc` of pairs of both kinds, each from 0 to 1."""
    false_accepts, accepts, _ = roc_curve(pairs.is_same, pairs.scores)
    eer = equal_error_rate(false_accepts[np.newaxis], 1 - accepts[np.newaxis])[0]
    return {"eer": float(eer), "auroc": float(roc_auc_score(pairs.is_same, pairs.scores))}


def verification_intervals(pairs: PagePairs, n_resamples: int = 1000, seed: int = 0) -> dict[str, Interval]:
    """95 % intervals of `eer` and `auroc`, a bootstrap over writers.

    Similarities are sorted into some 250 bins, which are narrow where errors happen; what that
    changes of a score is added to its interval, so that both are about the same score.
    """
    bins, n_bins = bin_pairs(pairs)
    resamples = WriterResamples(pairs, n_resamples, seed)
    whole = _binned_scores(*_all_pairs(pairs, bins, n_bins))
    drawn = _binned_scores(*resamples.shares(bins, n_bins))
    exact = verification_scores(pairs)
    n_writers = min(pairs.n_writers_of_same, pairs.n_writers_of_different)
    return {
        name: interval_of(np.clip(drawn[name] + exact[name] - whole[name][0], 0, 1), exact[name], n_writers)
        for name in drawn
    }


def equal_error_rate(false_accepts: FloatArray, false_rejects: FloatArray) -> FloatArray:
    """Where the two rates cross, between two thresholds on a straight line.

    Args:
        false_accepts: (n, n_thresholds), rising from 0 to 1 as the threshold falls.
        false_rejects: (n, n_thresholds), falling from 1 to 0.

    Returns:
        (n,) rates.

    >>> equal_error_rate(np.array([[0.0, 0.1, 1.0]]), np.array([[1.0, 0.3, 0.0]]))
    array([0.25])
    """
    gap = false_rejects - false_accepts
    after = (gap <= 0).argmax(axis=1)
    row, before = np.arange(len(gap)), np.maximum(after - 1, 0)
    step = gap[row, before] - gap[row, after]
    share = np.divide(gap[row, before], step, out=np.zeros(len(gap)), where=step > 0)
    return false_accepts[row, before] + share * (false_accepts[row, after] - false_accepts[row, before])


def _rank_all(similarities: Similarities, writers: NDArray[np.int64]) -> tuple[FloatArray, NDArray[np.int64]]:
    """The average precision of each page as a query, and the rank of its first right answer; 0 and
    0 where there is no right one.
    """
    pages_of = [np.flatnonzero(writers == writer) for writer in range(int(writers.max()) + 1)]
    precisions, first_right = np.zeros(len(writers)), np.zeros(len(writers), dtype=np.int64)
    for start, rows in blocks(similarities):
        places = np.arange(start, start + len(rows))
        others = rows.copy()
        others[np.arange(len(rows)), places] = -np.inf  # the query itself comes last
        others.sort(axis=1)
        for place, row, rising in zip(places.tolist(), rows, others, strict=True):
            own = pages_of[writers[place]]
            ranks = _right_ranks(row[own[own != place]], rising)
            if len(ranks):
                precisions[place] = (np.arange(1, len(ranks) + 1) / ranks).mean()
                first_right[place] = ranks[0]
    return precisions, first_right


def _right_ranks(right: Likeness, rising: Likeness) -> NDArray[np.int64]:
    """The ranks of the right answers, the best first; among equals they come after the wrong ones.

    Args:
        right: (n_right,) their similarities.
        rising: (n_pages,) those of all answers, sorted.
    """
    right = np.sort(right)
    n_at_least = len(rising) - np.searchsorted(rising, right, side="left")
    n_right_at_least = len(right) - np.searchsorted(right, right, side="left")
    return (n_at_least - n_right_at_least)[::-1] + np.arange(1, len(right) + 1)


def _query_intervals(
    scores: dict[str, FloatArray], writers: NDArray[np.int64], n_resamples: int, seed: int
) -> dict[str, Interval]:
    places = np.unique(writers, return_inverse=True)[1]
    n_writers = int(places.max()) + 1
    resamples = draw_resamples(n_writers, n_resamples, seed)
    n_queries = resamples @ np.bincount(places)
    return {
        name: interval_of(resamples @ np.bincount(places, values) / n_queries, float(values.mean()), n_writers)
        for name, values in scores.items()
    }


def _all_pairs(pairs: PagePairs, bins: NDArray[np.int64], n_bins: int) -> tuple[FloatArray, FloatArray]:
    """The share of pairs in each bin, (1, n_bins), by one hand and by two."""
    kinds = (np.bincount(bins[chosen], minlength=n_bins) for chosen in (pairs.is_same, ~pairs.is_same))
    same, different = ((counts / counts.sum())[np.newaxis] for counts in kinds)
    return same, different


def _binned_scores(same: FloatArray, different: FloatArray) -> dict[str, FloatArray]:
    """`eer` and `auroc`, (n,) each, from shares of pairs in bins of rising similarity (n,
    n_bins).
    """
    start = np.zeros((len(same), 1))
    accepts = np.hstack([start, np.cumsum(same[:, ::-1], axis=1)])
    false_accepts = np.hstack([start, np.cumsum(different[:, ::-1], axis=1)])
    area = (np.diff(false_accepts, axis=1) * (accepts[:, 1:] + accepts[:, :-1]) / 2).sum(axis=1)
    return {"eer": equal_error_rate(false_accepts, 1 - accepts), "auroc": area}
