"""How far a page is turned, and turning it back.

The rows of writing are sharpest in the ink's projection at the right angle: the sum of squared steps from row to row is
largest there (Postl, "Detection of linear oblique structures and skew scan in digitized documents", ICPR 1986; Baird,
"The skew angle of printed documents", 1987). What is projected are the left edges of strokes, so that neither a dash
nor what is left of a ruled line counts for more than one letter.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from core.pages.tone import INK_LEVEL

MAX_SKEW_DEG = 6.0
_MAP_PX = 1200
_LEAST_STROKES = 200
_LEAST_GAIN = 1.2
"""Rows must get so much sharper, or the page stays as it is."""


def estimate_skew(page: NDArray[np.uint8]) -> float:
    """Estimate by how many degrees the lines of writing rise to the right, between -6 and 6.

    Args:
        page: (height, width), tone normalised, without rules.

    Returns:
        The angle, positive where lines rise; 0 if there is too little writing to tell.
    """
    shrink = min(1.0, _MAP_PX / max(page.shape))
    small = cv2.resize(page, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    ink = np.asarray(small) < INK_LEVEL + 32  # thin strokes pale when they are shrunk
    starts = ink.copy()
    starts[:, 1:] &= ~ink[:, :-1]
    rows, columns = np.nonzero(starts)
    if len(rows) < _LEAST_STROKES:
        return 0.0
    centred = columns - 0.5 * ink.shape[1]
    coarse = np.arange(-MAX_SKEW_DEG, MAX_SKEW_DEG + 0.01, 0.5)
    scores = np.array([_sharpness(rows, centred, angle) for angle in coarse])
    best = float(coarse[scores.argmax()])
    fine = best + np.arange(-0.4, 0.41, 0.1)
    fine_scores = np.array([_sharpness(rows, centred, angle) for angle in fine])
    if fine_scores.max() < _LEAST_GAIN * _sharpness(rows, centred, 0.0):
        return 0.0
    return float(fine[fine_scores.argmax()])


def level(page: NDArray[np.uint8], angle_deg: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Turn a page whose lines rise by an angle so that they are level; all of it stays on the page.

    Args:
        page: (height, width), 255 is paper.
        angle_deg: as `estimate_skew` tells it.

    Returns:
        The turned page, somewhat larger, and the affine map (2, 3) from its pixels to those of `page`.
    """
    height, width = page.shape
    turn = cv2.getRotationMatrix2D((0.5 * (width - 1), 0.5 * (height - 1)), -angle_deg, 1.0)
    sine, cosine = abs(turn[0, 1]), abs(turn[0, 0])
    size = int(np.ceil(width * cosine + height * sine)), int(np.ceil(width * sine + height * cosine))
    turn[:, 2] += (0.5 * (size[0] - width), 0.5 * (size[1] - height))
    turned = cv2.warpAffine(page, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=255)
    return np.asarray(turned, dtype=np.uint8), np.asarray(cv2.invertAffineTransform(turn), dtype=np.float64)


def _sharpness(rows: NDArray[np.int64], columns: NDArray[np.float64], angle_deg: float) -> float:
    """The sum of squared steps of the projection along lines that rise by an angle."""
    slant = rows + np.tan(np.deg2rad(angle_deg)) * columns
    counts = np.bincount((slant - slant.min()).astype(np.int64)).astype(np.float64)
    smooth = np.convolve(counts, (0.25, 0.5, 0.25))
    return float((np.diff(smooth) ** 2).sum())
