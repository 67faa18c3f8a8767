"""From the scores of patches to those of what they were cut from: the mean log-probability."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

FloatArray = NDArray[np.float64]
"""Scores, probabilities and their sums."""
LOG_FLOOR = float(np.log(1e-7))
"""Log-probabilities of patches below this count as this, so that one certain mistake does not make
a score infinite."""


def mean_log_probabilities(
    log_probabilities: NDArray[np.floating], groups: Sequence[Hashable]
) -> tuple[list[Hashable], FloatArray]:
    """Average the patches of each group, and normalise.

    Args:
        log_probabilities: (n_patches, n_writers); clipped at `LOG_FLOOR` before averaging.
        groups: the image or page of each patch, length n_patches.

    Returns:
        The groups in the order in which they first appear, and their log-probabilities (n_groups,
        n_writers), the exponentials of each row summing to 1.

    Raises:
        ValueError: if the lengths differ, or a log-probability is not a number.
    """
    if len(log_probabilities) != len(groups):
        raise ValueError(f"Each patch needs a group, but got {len(log_probabilities)} patches, {len(groups)} groups.")
    clipped = clip_log_probabilities(log_probabilities)
    names, places = number_groups(groups)
    sums = np.zeros((len(names), clipped.shape[1]))
    np.add.at(sums, places, clipped)
    means = sums / np.bincount(places, minlength=len(names))[:, np.newaxis]
    return names, log_softmax(means, axis=1)


def clip_log_probabilities(log_probabilities: NDArray[np.floating]) -> FloatArray:
    """Raise what lies below `LOG_FLOOR` to it.

    Raises:
        ValueError: if a log-probability is not a number.
    """
    if np.isnan(log_probabilities).any():
        raise ValueError(f"Log-probabilities must be numbers, but {int(np.isnan(log_probabilities).sum())} are NaN.")
    return np.maximum(log_probabilities.astype(np.float64), LOG_FLOOR)


def number_groups(groups: Sequence[Hashable]) -> tuple[list[Hashable], NDArray[np.int64]]:
    """Number groups in the order in which they first appear."""
    place_of: dict[Hashable, int] = {}
    places = [place_of.setdefault(group, len(place_of)) for group in groups]
    return list(place_of), np.array(places, dtype=np.int64)
