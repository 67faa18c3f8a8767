"""How sure a score is: 95 % intervals over the units that were drawn independently, the pages.

Patches and lines of one page resemble each other, so intervals over patches would be far too narrow. The units are
drawn again, whole, with what belongs to them.

Is one model better than another on the same pages? Paired tests: what both find easy or hard cancels out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

Interval = tuple[float, float]
FloatArray = NDArray[np.float64]
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class ClusteredScores:
    """Scores of items (patches, images or pages), summed by the unit that each item belongs to.

    Attributes:
        n_items: (n_units,) items of each unit.
        sums: for each score that is a mean over items, its (n_units,) sums.
        hits: (n_units, n_writers) items that were decided rightly, by true writer.
        true: (n_units, n_writers) items by true writer.
        predicted: (n_units, n_writers) items by predicted writer.
    """

    n_items: FloatArray
    sums: Mapping[str, FloatArray]
    hits: FloatArray
    true: FloatArray
    predicted: FloatArray

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

        def count(writers: NDArray[np.int64], chosen: NDArray[np.bool_]) -> FloatArray:
            cells = np.bincount((units * n_writers + writers)[chosen], minlength=n_units * n_writers)
            return cells.reshape(n_units, n_writers).astype(np.float64)

        everything = np.ones(len(units), dtype=np.bool_)
        return cls(
            np.bincount(units, minlength=n_units).astype(np.float64),
            {name: np.bincount(units, values, n_units).astype(np.float64) for name, values in scores.items()},
            count(true, predicted == true),
            count(true, everything),
            count(predicted, everything),
        )


def draw_resamples(n_units: int, n_resamples: int, seed: int) -> FloatArray:
    """Draw units with replacement: (n_resamples, n_units), how often each unit is in each resample."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(n_units, np.full(n_units, 1 / n_units), size=n_resamples).astype(np.float64)


def bootstrap_means(scores: ClusteredScores, resamples: FloatArray) -> dict[str, Interval]:
    """Percentile intervals of the mean scores (Efron and Tibshirani 1993, chapter 13), units drawn whole."""
    n_items = resamples @ scores.n_items
    return {name: _percentiles(resamples @ sums / n_items) for name, sums in scores.sums.items()}


def bootstrap_macro_f1(scores: ClusteredScores, resamples: FloatArray) -> Interval:
    """Percentile interval of macro-F1; in each resample the mean is over the writers that are in it."""
    true = resamples @ scores.true
    hits, predicted = resamples @ scores.hits, resamples @ scores.predicted
    present = true > 0
    f1 = np.divide(2 * hits, true + predicted, out=np.zeros_like(hits), where=present)
    return _percentiles(f1.sum(axis=1) / present.sum(axis=1))


def exact_interval(share: float, n_units: int) -> Interval:
    """Clopper-Pearson interval of a share that is 0 or 1, where a bootstrap would claim to be certain.

    >>> low, high = exact_interval(1.0, 20)
    >>> round(low, 3), high
    (0.832, 1.0)
    """
    interval = binomtest(round(share * n_units), n_units).proportion_ci(confidence_level=LEVEL, method="exact")
    return float(interval.low), float(interval.high)


def _percentiles(values: FloatArray) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


_N_RESAMPLES = 5000


@dataclass(frozen=True)
class PairedTest:
    """How a candidate differs from a champion; negative differences are in the candidate's favour.

    Attributes:
        n_items: images compared.
        n_units: pages (or images) that were drawn independently.
        difference: mean log-loss of the candidate minus that of the champion, in nats an image.
        low: lower end of its 95 % interval, a bootstrap over units.
        high: upper end.
        n_only_candidate: units that the candidate alone decides rightly.
        n_only_champion: units that the champion alone decides rightly.
        p_value: that such an imbalance is chance (McNemar's exact test, two-sided).
    """

    n_items: int
    n_units: int
    difference: float
    low: float
    high: float
    n_only_candidate: int
    n_only_champion: int
    p_value: float

    @property
    def is_better(self) -> bool:
        """The log-loss is lower beyond chance, and right decisions are not fewer beyond chance."""
        loses_decisions = self.n_only_champion > self.n_only_candidate and self.p_value < 1 - LEVEL
        return self.high < 0 and not loses_decisions

    def __str__(self) -> str:
        """In words."""
        drawn = (
            f"{self.n_items} images"
            if self.n_units == self.n_items
            else f"{self.n_items} images in {self.n_units} pages"
        )
        return (
            f"log-loss {self.difference:+.3f} nats an image (95 % from {self.low:+.3f} to {self.high:+.3f}, "
            f"{drawn}); decided rightly by the candidate alone "
            f"{self.n_only_candidate}, by the champion alone {self.n_only_champion} (McNemar p = {self.p_value:.2g})"
        )


def compare_paired(
    candidate_losses: Sequence[float] | FloatArray,
    champion_losses: Sequence[float] | FloatArray,
    units: Sequence[int],
    candidate_right: Sequence[bool],
    champion_right: Sequence[bool],
    seed: int = 0,
) -> PairedTest:
    """Compare two models.

    Args:
        candidate_losses: (n_items,) log-loss of each image.
        champion_losses: (n_items,) of the same images.
        units: (n_items,) the page of each image, numbered from 0 without gaps.
        candidate_right: (n_units,) whether each page is decided rightly.
        champion_right: (n_units,) likewise.
        seed: of the bootstrap.

    Raises:
        ValueError: if there is nothing to compare, or lengths differ.
    """
    n_units = len(candidate_right)
    if not len(candidate_losses) == len(champion_losses) == len(units) or len(champion_right) != n_units:
        raise ValueError("Losses and units, and the decisions of both, must be equally many.")
    if n_units == 0 or set(units) != set(range(n_units)):
        raise ValueError(f"Units must be numbered from 0 to {n_units - 1} and each have an image.")
    differences = np.asarray(candidate_losses, dtype=np.float64) - np.asarray(champion_losses, dtype=np.float64)
    sums = np.bincount(np.asarray(units), weights=differences, minlength=n_units)
    counts = np.bincount(np.asarray(units), minlength=n_units).astype(np.float64)
    resamples = draw_resamples(n_units, _N_RESAMPLES, seed)
    low, high = np.quantile((resamples @ sums) / (resamples @ counts), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    only_candidate = sum(ours and not theirs for ours, theirs in zip(candidate_right, champion_right, strict=True))
    only_champion = sum(theirs and not ours for ours, theirs in zip(candidate_right, champion_right, strict=True))
    n_discordant = only_candidate + only_champion
    p_value = float(binomtest(only_candidate, n_discordant).pvalue) if n_discordant else 1.0
    return PairedTest(
        len(differences),
        n_units,
        float(differences.mean()),
        float(low),
        float(high),
        only_candidate,
        only_champion,
        p_value,
    )
