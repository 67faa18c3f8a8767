"""Probabilities that mean what they say: one temperature for a model's scores, fitted on validation pages.

The mean log-probability of many patches ranks writers well, but its exponential is too timid or too bold. Dividing by
one number keeps the ranking (Guo et al., "On calibration of modern neural networks", 2017).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

FloatArray = NDArray[np.float64]
_LOG_RANGE = (-4.0, 4.0)  # of the temperature's logarithm: 0.018 to 55
_N_BINS = 10
_N_DRAWS = 1000


def fit_temperature(log_probabilities: FloatArray, true: NDArray[np.int64]) -> float:
    """Fit the temperature that gives the items the lowest cross-entropy.

    The targets are softened as Platt (1999) softens them: after n items the right writer is given (n + 1) / (n + 2),
    never 1. Otherwise a few pages that are all named rightly would make the model certain.

    Args:
        log_probabilities: (n_items, n_writers), mean log-probabilities of images or pages, normalised.
        true: (n_items,) right classes.

    Raises:
        ValueError: if there is no item, or the lengths differ.

    >>> timid = np.log([[0.6, 0.4]] * 50 + [[0.4, 0.6]])
    >>> fit_temperature(timid, np.zeros(51, dtype=np.int64)) < 0.2
    True
    """
    n_items, n_writers = log_probabilities.shape
    if n_items == 0 or len(true) != n_items:
        raise ValueError(f"Every item needs a right class, but got {n_items} items and {len(true)} classes.")
    certain = (n_items + 1) / (n_items + 2)
    targets = np.full((n_items, n_writers), (1 - certain) / max(1, n_writers - 1))
    targets[np.arange(n_items), true] = certain

    def cross_entropy(log_temperature: float) -> float:
        return float(-(targets * apply_temperature(log_probabilities, np.exp(log_temperature))).sum(axis=1).mean())

    found = minimize_scalar(cross_entropy, bounds=_LOG_RANGE, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def apply_temperature(log_probabilities: FloatArray, temperature: float) -> FloatArray:
    """Divide by the temperature and normalise: above 1 less certain, below 1 more; (n_items, n_writers)."""
    return np.asarray(log_softmax(log_probabilities / temperature, axis=-1), dtype=np.float64)


@dataclass(frozen=True)
class ReliabilityBin:
    """Decisions of about the same probability.

    Attributes:
        n: how many.
        probability: their mean, as the model says.
        share_right: how many of them were right.
    """

    n: int
    probability: float
    share_right: float


def reliability(probabilities: FloatArray, is_right: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Sort decisions by their probability into up to ten bins of equal numbers, at least ten decisions in each.

    Args:
        probabilities: (n_items,) of the named writer.
        is_right: (n_items,).
    """
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, max(1, min(_N_BINS, len(order) // 10)))
    return tuple(
        ReliabilityBin(len(part), float(probabilities[part].mean()), float(is_right[part].mean()))
        for part in parts
        if len(part)
    )


def calibration_error(probabilities: FloatArray, is_right: NDArray[np.bool_]) -> float:
    """The expected calibration error: by how much probability and share of right decisions differ, mean over bins.

    Bins of equal numbers, not of equal width: most decisions lie near 1. With few items chance alone makes it large.

    >>> calibration_error(np.full(100, 0.9), np.arange(100) % 10 > 0) < 0.1
    True
    """
    bins = reliability(probabilities, is_right)
    return sum(part.n * abs(part.probability - part.share_right) for part in bins) / max(1, len(probabilities))


def excess_calibration_error(
    probabilities: FloatArray, is_right: NDArray[np.bool_], seed: int = 0
) -> tuple[float, float]:
    """The calibration error beyond what chance gives a perfectly calibrated model with as many items.

    Right and wrong are drawn from the stated probabilities, many times (consistency resampling: Bröcker and Smith
    2007).

    Args:
        probabilities: (n_items,) of the named writer.
        is_right: (n_items,).
        seed: of the draws.

    Returns:
        The error less its mean under chance (not below 0), and the share of draws with at least as large an error:
        small where the probabilities are wrong beyond chance.
    """
    found = calibration_error(probabilities, is_right)
    draws = np.random.default_rng(seed).random((_N_DRAWS, len(probabilities))) < probabilities
    by_chance = np.array([calibration_error(probabilities, draw) for draw in draws])
    return max(0.0, found - float(by_chance.mean())), float((by_chance >= found).mean())
