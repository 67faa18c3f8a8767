"""Where a network goes wrong: whether its probabilities can be taken at their word, and who is
taken for whom.

The reliability diagram has bins of equal numbers of decisions, not of equal width (Nguyen and
O'Connor, "Posterior calibration and exploratory analysis for natural language processing models",
2015): most decisions lie near 1. Confused writers are put side by side, and the worst pairs listed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

Floats = NDArray[np.floating]
N_BINS = 10
LEAST_IN_BIN = 10
_N_DRAWS = 1000
_MOST_ORDERED_OPTIMALLY = 200  # the optimal order of the leaves costs the cube of the writers


@dataclass(frozen=True)
class ReliabilityBin:
    """Decisions of about the same probability.

    Attributes:
        n: decisions.
        mean_probability: of the named writer.
        share_right: of these decisions.
    """

    n: int
    mean_probability: float
    share_right: float


@dataclass(frozen=True)
class Reliability:
    """How well probabilities fit what came true.

    Attributes:
        bins: the lowest probabilities first.
        ece: expected calibration error, 0 to 1: the mean distance of probability and share right
            over the bins, weighted by decisions (Naeini, Cooper and Hauskrecht 2015; Guo et al.
            2017). Few decisions raise it by chance: see `excess_calibration_error`.
        n: decisions.
        mean_probability: of all.
        share_right: of all.
    """

    bins: tuple[ReliabilityBin, ...]
    ece: float
    n: int
    mean_probability: float
    share_right: float


def measure_reliability(probabilities: Floats, is_right: NDArray[np.bool_]) -> Reliability:
    """Compare probabilities with what came true, in up to `N_BINS` bins of at least `LEAST_IN_BIN`
    decisions.

    Args:
        probabilities: (n,) of the named writers, 0 to 1.
        is_right: (n,) whether the named writer was the right one.

    Raises:
        ValueError: if there is no decision, the lengths differ or a probability lies outside of 0
            to 1.

    >>> round(measure_reliability(np.full(100, 0.9), np.arange(100) % 10 > 0).ece, 3)
    0.0
    """
    if len(probabilities) == 0 or len(probabilities) != len(is_right):
        raise ValueError(f"Decisions must be as many as outcomes, but got {len(probabilities)} and {len(is_right)}.")
    if probabilities.min() < 0 or probabilities.max() > 1 + 1e-6:
        raise ValueError(f"Probabilities must lie in [0, 1], but got {probabilities.min()}..{probabilities.max()}.")
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, max(1, min(N_BINS, len(order) // LEAST_IN_BIN)))
    bins = tuple(
        ReliabilityBin(len(part), float(probabilities[part].mean()), float(is_right[part].mean())) for part in parts
    )
    ece = sum(part.n * abs(part.mean_probability - part.share_right) for part in bins) / len(probabilities)
    return Reliability(bins, float(ece), len(probabilities), float(probabilities.mean()), float(is_right.mean()))


def excess_calibration_error(probabilities: Floats, is_right: NDArray[np.bool_], seed: int = 0) -> tuple[float, float]:
    """The calibration error beyond what chance gives a perfectly calibrated model with as many
    decisions.

    Right and wrong are drawn from the stated probabilities, many times (consistency resampling:
    Bröcker and Smith 2007).

    Args:
        probabilities: (n,) of the named writers.
        is_right: (n,).
        seed: of the draws.

    Returns:
        The error less its mean under chance (not below 0), and the share of draws with at least as
        large an error: small where the probabilities are wrong beyond chance.

    Raises:
        ValueError: as `measure_reliability` does.
    """
    found = measure_reliability(probabilities, is_right).ece
    draws = np.random.default_rng(seed).random((_N_DRAWS, len(probabilities))) < probabilities
    by_chance = np.array([measure_reliability(probabilities, draw).ece for draw in draws])
    return max(0.0, found - float(by_chance.mean())), float((by_chance >= found).mean())


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


def confused_pairs(confusion: NDArray[np.integer], n_pairs: int) -> tuple[ConfusedPair, ...]:
    """The pairs with the highest rates of mutual confusion, the worst first; pairs without any are
    left out.

    Args:
        confusion: (n_writers, n_writers) counts, true writers in rows.
        n_pairs: at most.
    """
    totals = confusion.sum(axis=1)
    pairs = []
    for i, j in zip(*np.nonzero(np.triu(confusion + confusion.T, k=1)), strict=True):
        is_turned = confusion[j, i] * max(totals[i], 1) > confusion[i, j] * max(totals[j], 1)
        one, other = (int(j), int(i)) if is_turned else (int(i), int(j))
        counts = confusion[one, other], totals[one], confusion[other, one], totals[other]
        pairs.append(ConfusedPair(one, other, *map(int, counts)))
    return tuple(sorted(pairs, key=lambda pair: (-pair.rate, pair.one, pair.other))[:n_pairs])
