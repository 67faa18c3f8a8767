"""Whether a network's probabilities can be taken at their word: the reliability diagram and its summary."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_BINS = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """Decisions whose probability lies between two bounds.

    Attributes:
        low: bound of the probability.
        high: likewise, included.
        n: decisions.
        mean_probability: of the named writer.
        share_right: of these decisions.
    """

    low: float
    high: float
    n: int
    mean_probability: float
    share_right: float


@dataclass(frozen=True)
class Reliability:
    """How well probabilities fit what came true.

    Attributes:
        bins: those with decisions, the lowest first.
        ece: expected calibration error, 0 to 1: the mean distance of probability and share right over the bins,
            weighted by decisions (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017). Few decisions raise it by
            chance.
        n: decisions.
        mean_probability: of all.
        share_right: of all.
    """

    bins: tuple[ReliabilityBin, ...]
    ece: float
    n: int
    mean_probability: float
    share_right: float


def measure_reliability(probabilities: NDArray[np.floating], is_right: NDArray[np.bool_]) -> Reliability:
    """Compare probabilities with what came true, in `N_BINS` bins of equal width.

    Args:
        probabilities: (n,) of the named writers, 0 to 1.
        is_right: (n,) whether the named writer was the right one.

    Raises:
        ValueError: if there is no decision, the lengths differ or a probability lies outside of 0 to 1.
    """
    if len(probabilities) == 0 or len(probabilities) != len(is_right):
        raise ValueError(f"Decisions must be as many as outcomes, but got {len(probabilities)} and {len(is_right)}.")
    if probabilities.min() < 0 or probabilities.max() > 1 + 1e-6:
        raise ValueError(f"Probabilities must lie in [0, 1], but got {probabilities.min()}..{probabilities.max()}.")
    place = np.clip(np.ceil(probabilities * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
    bins = tuple(
        ReliabilityBin(
            low=float(k / N_BINS),
            high=float((k + 1) / N_BINS),
            n=int((place == k).sum()),
            mean_probability=float(probabilities[place == k].mean()),
            share_right=float(is_right[place == k].mean()),
        )
        for k in np.unique(place)
    )
    ece = sum(bin_.n * abs(bin_.mean_probability - bin_.share_right) for bin_ in bins) / len(probabilities)
    return Reliability(bins, float(ece), len(probabilities), float(probabilities.mean()), float(is_right.mean()))
