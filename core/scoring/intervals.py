"""How sure a score is, and whether one model is better than another on the same pages.

Intervals are 95 % intervals over the units that were drawn independently, the pages. Patches and
lines of one page resemble each other, so intervals over patches would be far too narrow. The units
are drawn again, whole, with what belongs to them. The paired test does the same with differences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import binomtest
from scipy.stats import t as student

from core.scoring.mean_scores import FloatArray

Interval = tuple[float, float]
LEVEL = 0.95
_N_RESAMPLES = 5000
_CELLS_AT_ONCE = 2**20
"""Of resamples x writers: 8 MB for each array that is made of them."""


@dataclass(frozen=True, eq=False)
class ClusteredScores:
    """Scores of items (patches, images or pages), summed by the unit that each item belongs to.

    Attributes:
        n_items: (n_units,) items of each unit.
        sums: for each score that is a mean over items, its (n_units,) sums.
        hits: (n_writers, n_units) items that were decided correctly, by true writer; sparse, as are
            the two below.
        true: (n_writers, n_units) items by true writer.
        predicted: (n_writers, n_units) items by predicted writer.
    """

    n_items: FloatArray
    sums: Mapping[str, FloatArray]
    hits: csr_array
    true: csr_array
    predicted: csr_array

    @classmethod
    def collect(
        cls,
        units: NDArray[np.int64],
        n_units: int,
        true: NDArray[np.int64],
        predicted: NDArray[np.int64],
        n_writers: int,
        scores: Mapping[str, FloatArray],
    ) -> "ClusteredScores":
        """Sum per unit.

        Args:
            units: (n_items,) the unit of each item, from 0.
            n_units: number of units.
            true: (n_items,) the right writers.
            predicted: (n_items,) the decisions.
            n_writers: number of writers.
            scores: (n_items,) values by name.
        """

        def count(writers: NDArray[np.int64], chosen: NDArray[np.bool_]) -> csr_array:
            ones = np.ones(int(chosen.sum()))
            return csr_array((ones, (writers[chosen], units[chosen])), shape=(n_writers, n_units))

        everything = np.ones(len(units), dtype=np.bool_)
        return cls(
            np.bincount(units, minlength=n_units).astype(np.float64),
            {name: np.bincount(units, values, n_units).astype(np.float64) for name, values in scores.items()},
            count(true, predicted == true),
            count(true, everything),
            count(predicted, everything),
        )


def draw_resamples(n_units: int, n_resamples: int, seed: int) -> FloatArray:
    """Draw units with replacement: (n_resamples, n_units), how often each unit is in each
    resample.
    """
    generator = np.random.default_rng(seed)
    return generator.multinomial(n_units, np.full(n_units, 1 / n_units), size=n_resamples).astype(np.float64)


def bootstrap_means(scores: ClusteredScores, resamples: FloatArray) -> dict[str, Interval]:
    """Percentile intervals of the mean scores (Efron and Tibshirani 1993, chapter 13), units drawn
    whole.
    """
    n_items = resamples @ scores.n_items
    return {name: _percentiles(resamples @ sums / n_items) for name, sums in scores.sums.items()}


def bootstrap_macro_f1(scores: ClusteredScores, resamples: FloatArray) -> Interval:
    """Percentile interval of macro-F1; in each resample the mean is over the writers that are in
    it.
    """
    n_at_once = max(1, _CELLS_AT_ONCE // scores.true.shape[0])
    some = [resamples[start : start + n_at_once] for start in range(0, len(resamples), n_at_once)]
    return _percentiles(np.concatenate([_macro_f1(scores, few) for few in some]))


def _macro_f1(scores: ClusteredScores, resamples: FloatArray) -> FloatArray:
    """Of each resample."""
    drawn = np.ascontiguousarray(resamples.T)
    # counts are whole numbers, so that no order of summing rounds them
    hits, true, predicted = (
        np.ascontiguousarray((counts @ drawn).T) for counts in (scores.hits, scores.true, scores.predicted)
    )
    present = true > 0
    f1 = np.divide(2 * hits, true + predicted, out=np.zeros_like(hits), where=present)
    means: FloatArray = f1.sum(axis=1) / present.sum(axis=1)
    return means


def exact_interval(share: float, n_units: int) -> Interval:
    """Clopper-Pearson interval of a share that is 0 or 1, where a bootstrap would claim to be
    certain.

    >>> low, high = exact_interval(1.0, 20)
    >>> round(low, 3), high
    (0.832, 1.0)
    """
    interval = binomtest(round(share * n_units), n_units).proportion_ci(confidence_level=LEVEL, method="exact")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class PairedTest:
    """How a first model differs from a second one on the same items.

    Attributes:
        n_items: items (images, or pages) compared.
        n_units: pages (or images where there are no pages) that were drawn independently.
        logloss_difference: mean log-loss of the first minus that of the second, in nats an item;
            negative is in favour of the first.
        logloss_interval: its 95 % interval, a bootstrap over units.
        top1_difference: share of units that the first decides correctly minus that of the second;
            positive is in favour of the first.
        top1_interval: likewise.
        n_only_first: units that the first alone decides correctly.
        n_only_second: units that the second alone decides correctly.
        p_value: that such an imbalance is chance (McNemar's exact test, two-sided).
    """

    n_items: int
    n_units: int
    logloss_difference: float
    logloss_interval: Interval
    top1_difference: float
    top1_interval: Interval
    n_only_first: int
    n_only_second: int
    p_value: float

    @property
    def is_better(self) -> bool:
        """The first one's log-loss is lower beyond chance, and its correct decisions are not fewer
        beyond chance.
        """
        loses_decisions = self.n_only_second > self.n_only_first and self.p_value < 1 - LEVEL
        return self.logloss_interval[1] < 0 and not loses_decisions


def compare_paired(
    first_losses: Sequence[float] | FloatArray,
    second_losses: Sequence[float] | FloatArray,
    units: Sequence[int],
    first_correct: Sequence[bool],
    second_correct: Sequence[bool],
    seed: int = 0,
) -> PairedTest:
    """Compare two models on the same items: what both find easy or hard cancels out.

    Args:
        first_losses: (n_items,) log-loss of each item.
        second_losses: (n_items,) of the same items.
        units: (n_items,) the page of each item, numbered from 0 without gaps.
        first_correct: (n_units,) whether each page is decided correctly.
        second_correct: (n_units,) likewise.
        seed: of the bootstrap.

    Raises:
        ValueError: if there is nothing to compare, or lengths differ.
    """
    n_units = len(first_correct)
    if not len(first_losses) == len(second_losses) == len(units) or len(second_correct) != n_units:
        raise ValueError("Losses and units, and the decisions of both, must be equally many.")
    if n_units == 0 or set(units) != set(range(n_units)):
        raise ValueError(f"Units must be numbered from 0 to {n_units - 1} and each have an item.")
    losses = np.asarray(first_losses, dtype=np.float64) - np.asarray(second_losses, dtype=np.float64)
    sums = np.bincount(np.asarray(units), weights=losses, minlength=n_units)
    counts = np.bincount(np.asarray(units), minlength=n_units).astype(np.float64)
    hits = np.asarray(first_correct, dtype=np.float64) - np.asarray(second_correct, dtype=np.float64)
    resamples = draw_resamples(n_units, _N_RESAMPLES, seed)
    n_only_first, n_only_second = int((hits > 0).sum()), int((hits < 0).sum())
    n_discordant = n_only_first + n_only_second
    return PairedTest(
        n_items=len(losses),
        n_units=n_units,
        logloss_difference=float(losses.mean()),
        logloss_interval=_percentiles((resamples @ sums) / (resamples @ counts)),
        top1_difference=float(hits.mean()),
        top1_interval=_percentiles(resamples @ hits / n_units),
        n_only_first=n_only_first,
        n_only_second=n_only_second,
        p_value=float(binomtest(n_only_first, n_discordant).pvalue) if n_discordant else 1.0,
    )


@dataclass(frozen=True)
class ResampledTest:
    """How two ways to train differ over repeated random divisions of the same pages.

    Attributes:
        n_repeats: divisions.
        difference: mean over them.
        interval: its 95 % interval.
        p_value: of no difference, two-sided.
    """

    n_repeats: int
    difference: float
    interval: Interval
    p_value: float


def compare_resampled(differences: Sequence[float] | FloatArray, n_judged: float, n_given: float) -> ResampledTest:
    """Test differences over random divisions, corrected as Nadeau and Bengio do ("Inference for
    the generalization error", Machine Learning 52, 2003).

    Divisions of the same pages overlap, so that their scores vary together: the plain t-test takes
    them for independent and is far too sure. The variance of the mean is here (1/J + n2/n1) times
    that of the differences, for J repeats, n1 pages to train on and n2 to judge on.

    Args:
        differences: (n_repeats,) of a score, one way minus the other on the same judged pages.
        n_judged: pages (or images) that each repeat is judged on.
        n_given: the others, which are given to both ways.

    Raises:
        ValueError: if there are fewer than two repeats, or nothing to judge or train on.

    >>> test = compare_resampled([0.1, 0.2, 0.3], n_judged=1, n_given=2)
    >>> round(test.difference, 3), round(test.p_value, 3)
    (0.2, 0.16)
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2 or n_judged <= 0 or n_given <= 0:
        raise ValueError(
            f"Two repeats or more are needed, each with pages to judge and to train on, but got {len(values)} with "
            f"{n_judged} and {n_given}."
        )
    error = float(np.sqrt((1 / len(values) + n_judged / n_given) * values.var(ddof=1)))
    mean, degrees = float(values.mean()), len(values) - 1
    if error == 0:
        return ResampledTest(len(values), mean, (mean, mean), 1.0 if mean == 0 else 0.0)
    reach = float(student.ppf((1 + LEVEL) / 2, degrees)) * error
    p_value = 2 * float(student.sf(abs(mean) / error, degrees))
    return ResampledTest(len(values), mean, (mean - reach, mean + reach), p_value)


def _percentiles(values: FloatArray) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
