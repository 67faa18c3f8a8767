"""Probabilities that mean what they say: one temperature for a model's scores, fitted on validation pages.

The mean log-probability of many patches ranks writers well, but its exponential is too timid or too bold. Dividing by
one number keeps the ranking (Guo et al., "On calibration of modern neural networks", 2017).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

FloatArray = NDArray[np.float64]
_LOG_RANGE = (-4.0, 4.0)  # of the temperature's logarithm: 0.018 to 55


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
