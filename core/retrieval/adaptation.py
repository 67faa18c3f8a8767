"""Descriptors adapted to the pages at hand, whose writers nobody needs to know.

Where a network meets pens, scanners or scripts that it was not trained on, pages differ most in
directions that say little about hands. These are shortened: descriptors are multiplied by the
inverse root of the pages' covariance, to which a multiple of its mean variance is added. Without
that (whitening) the directions in which a few hands differ are lost, too: `docs/results.md` has the
figures.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from core.scoring.mean_scores import FloatArray

_RIDGE = 30.0
"""Of the mean variance. 10 gained more where there were 50 hands, and lost where there were 8."""


class Adaptation:
    """Turns descriptors so that directions in which an archive's pages differ much count for less.

    Args:
        matrix: (n_dimensions, n_dimensions), symmetric, that descriptors are multiplied by.
    """

    def __init__(self, matrix: FloatArray) -> None:
        self._matrix = matrix

    @classmethod
    def fit(cls, archive: NDArray[np.floating]) -> Self:
        """Look at the pages of an archive.

        Args:
            archive: (n_pages, n_dimensions), descriptors; nothing changes where there are fewer
                than two, or all are the same.
        """
        n_pages, n_dimensions = archive.shape
        if n_pages < 2:
            return cls(np.eye(n_dimensions))
        covariance = np.cov(np.asarray(archive, dtype=np.float64), rowvar=False, bias=True).reshape(n_dimensions, -1)
        mean_variance = float(np.trace(covariance)) / n_dimensions
        if mean_variance <= np.finfo(np.float32).eps ** 2:
            return cls(np.eye(n_dimensions))
        variances, directions = np.linalg.eigh(covariance / mean_variance)
        return cls((directions / np.sqrt(np.maximum(variances, 0) + _RIDGE)) @ directions.T)

    def adapt(self, descriptors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Adapt descriptors, those of the archive or others.

        Args:
            descriptors: (n_pages, n_dimensions).

        Returns:
            Of the same shape, each row of length 1, or all 0 if it was.
        """
        turned = self.turn(descriptors)
        lengths = np.linalg.norm(turned, axis=1, keepdims=True)
        return (turned / np.maximum(lengths, np.finfo(np.float64).tiny)).astype(np.float32)

    def turn(self, vectors: NDArray[np.floating]) -> FloatArray:
        """The same without the length: linear, so that the parts of a descriptor can be adapted.

        Args:
            vectors: (n, n_dimensions).
        """
        return np.asarray(vectors, dtype=np.float64) @ self._matrix
