"""How curves rank points: whether two corpora do it alike, and how soon a trial's end is told."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap, spearmanr

from benchmarks.curves.table import CurveTable, RecordedCurve
from core.space.search_space import PointKey

_FEWEST = 5  # points of a rank correlation
_N_RESAMPLES = 2000


@dataclass(frozen=True)
class Agreement:
    """How alike two corpora rank points.

    Attributes:
        horizon: epochs of their trials.
        n_points: that both have.
        rho: Spearman's rank correlation.
        low: lower end of its 95 % interval, by a bootstrap over points.
        high: upper end.
    """

    horizon: int
    n_points: int
    rho: float
    low: float
    high: float


def rank_agreement(first: CurveTable, second: CurveTable, metric: str, *, is_low_good: bool) -> Iterator[Agreement]:
    """Compare two tables, at each horizon of which both have five points or more.

    Args:
        first: with curves of some points.
        second: with curves of the same points, of another corpus.
        metric: that a curve is ranked by, with its best epoch; one that failed is the worst.
        is_low_good: whether low values of it are better.
    """
    for horizon in sorted({curve.horizon for curve in first.curves}):
        ours, theirs = (_first_curves(table, horizon) for table in (first, second))
        both = [key for key in ours if key in theirs]
        if len(both) < _FEWEST:
            continue
        pairs = [[_best(curves[key], metric, is_low_good) for key in both] for curves in (ours, theirs)]
        found = bootstrap(
            pairs, _rho, paired=True, vectorized=False, n_resamples=_N_RESAMPLES, method="percentile", rng=0
        ).confidence_interval
        yield Agreement(horizon, len(both), _rho(*pairs), float(found.low), float(found.high))


def early_ranks(table: CurveTable, metric: str, horizon: int, *, is_low_good: bool) -> list[float]:
    """How well the score after each epoch tells the best one of the whole trial: Spearman's rank
    correlation over the points, for each epoch of the horizon.

    Args:
        table: with curves of that horizon; those that failed do not count.
        metric: the score.
        horizon: of the trials.
        is_low_good: whether low values of it are better.
    """
    whole = [curve for curve in _first_curves(table, horizon).values() if len(curve.epochs) == horizon]
    best = [_best(curve, metric, is_low_good) for curve in whole]
    sign = 1.0 if is_low_good else -1.0
    return [_rho([sign * curve.epochs[k].metrics[metric] for curve in whole], best) for k in range(horizon)]


def _first_curves(table: CurveTable, horizon: int) -> dict[PointKey, RecordedCurve]:
    """Of each point the curve that was recorded first."""
    curves: dict[PointKey, RecordedCurve] = {}
    for curve in table.curves:
        if curve.horizon == horizon:
            curves.setdefault(curve.key[0], curve)
    return curves


def _best(curve: RecordedCurve, metric: str, is_low_good: bool) -> float:
    """What a curve is ranked by, low for good."""
    sign = 1.0 if is_low_good else -1.0
    scores = [] if curve.failed else [sign * epoch.metrics[metric] for epoch in curve.epochs]
    return min(scores, default=float(np.finfo(float).max))


def _rho(first: Sequence[float], second: Sequence[float]) -> float:
    return float(spearmanr(first, second).statistic)
