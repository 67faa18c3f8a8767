"""Whether the best trial is better than the published seed recipe: paired, on the same validation pages."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from core.scoring.intervals import LEVEL, Interval
from core.scoring.mean_scores import LOG_FLOOR
from search.comparison.trial_table import Decided

_N_RESAMPLES = 2000


@dataclass(frozen=True)
class PairedScores:
    """Two trials' decisions for the same pages.

    Attributes:
        n_items: pages, or images where there are no pages.
        both_right: decided rightly by both.
        only_first: by the first one only.
        only_second: by the second one only.
        neither: by none.
        top1_gain: share right of the first less that of the second.
        top1_interval: 95 %, bootstrap over the items.
        logloss_gain: log-loss of the second less that of the first, in nats.
        logloss_interval: likewise.
        p_value: of McNemar's exact test that both are equally often right.
    """

    n_items: int
    both_right: int
    only_first: int
    only_second: int
    neither: int
    top1_gain: float
    top1_interval: Interval
    logloss_gain: float
    logloss_interval: Interval
    p_value: float


def pair_decisions(first: Sequence[Decided], second: Sequence[Decided], seed: int = 0) -> PairedScores | None:
    """Compare two trials item by item; `None` if they have no item in common."""
    others = {decided.item: decided for decided in second}
    pairs = [(decided, others[decided.item]) for decided in first if decided.item in others]
    if not pairs:
        return None
    right = np.array([[decided.true == decided.predicted for decided in pair] for pair in pairs])
    floor = float(np.exp(LOG_FLOOR))
    loss = np.array([[-np.log(max(decided.true_probability, floor)) for decided in pair] for pair in pairs])
    only_first, only_second = int((right[:, 0] & ~right[:, 1]).sum()), int((~right[:, 0] & right[:, 1]).sum())
    n_unlike = only_first + only_second
    top1, logloss = right[:, 0] * 1.0 - right[:, 1], loss[:, 1] - loss[:, 0]
    return PairedScores(
        n_items=len(pairs),
        both_right=int(right.all(axis=1).sum()),
        only_first=only_first,
        only_second=only_second,
        neither=int((~right).all(axis=1).sum()),
        top1_gain=float(top1.mean()),
        top1_interval=_bootstrap(top1, seed),
        logloss_gain=float(logloss.mean()),
        logloss_interval=_bootstrap(logloss, seed),
        p_value=float(binomtest(only_first, n_unlike).pvalue) if n_unlike else 1.0,
    )


def _bootstrap(differences: NDArray[np.float64], seed: int) -> Interval:
    n = len(differences)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=_N_RESAMPLES)
    low, high = np.quantile(drawn @ differences / n, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
