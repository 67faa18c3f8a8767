"""Whether a network's probabilities can be taken at their word.

The reliability diagram has bins of equal numbers of decisions, not of equal width (Nguyen and
O'Connor, "Posterior calibration and exploratory analysis for natural language processing models",
2015): most decisions lie near 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
N_BINS = 10
LEAST_IN_BIN = 10
_N_DRAWS = 1000


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
