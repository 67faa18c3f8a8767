"""Whether two corpora rank the same points of a space alike."""

from collections.abc import Iterator

import numpy as np
from scipy.stats import bootstrap, spearmanr

from benchmarks.curves.table import CurveTable
from core.space.search_space import PointKey

_FEWEST = 5  # points of a rank correlation
_N_RESAMPLES = 2000


def rank_agreement(
    first: CurveTable, second: CurveTable, metric: str, *, is_low_good: bool
) -> Iterator[tuple[int, int, float, float, float]]:
    """Spearman's rank correlation of two tables.

    A curve that failed counts as the worst.

    Args:
        first: with curves of some points.
        second: with curves of the same points, of another corpus.
        metric: that a curve is ranked by, with its best epoch.
        is_low_good: whether low values of it are better.

    Returns:
        For each horizon of which both have five points or more: the horizon, the points, rho, and
        its 95 % interval by a bootstrap over points.
    """
    for horizon in sorted({curve.horizon for curve in first.curves}):
        ours, theirs = (_best(table, metric, horizon, is_low_good) for table in (first, second))
        both = [key for key in ours if key in theirs]
        if len(both) < _FEWEST:
            continue
        pairs = [ours[key] for key in both], [theirs[key] for key in both]
        found = bootstrap(
            pairs, _rho, paired=True, vectorized=False, n_resamples=_N_RESAMPLES, method="percentile", rng=0
        ).confidence_interval
        yield horizon, len(both), _rho(*pairs), float(found.low), float(found.high)


def _best(table: CurveTable, metric: str, horizon: int, is_low_good: bool) -> dict[PointKey, float]:
    """What each point is ranked by, low for good."""
    sign = 1.0 if is_low_good else -1.0
    best: dict[PointKey, float] = {}
    for curve in table.curves:
        if curve.horizon == horizon:
            scores = [] if curve.failed else [sign * epoch.metrics[metric] for epoch in curve.epochs]
            best.setdefault(curve.key[0], min(scores, default=np.finfo(float).max))
    return best


def _rho(first: object, second: object) -> float:
    return float(spearmanr(first, second).statistic)
