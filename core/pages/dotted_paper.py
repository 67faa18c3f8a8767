"""Dotted paper: small dots at even distances, taken off before lines are looked for."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from core.pages.scan import INK_LEVEL

_LEAST_DOTS = 150
_LARGEST_PX = 14
_OFF_PX = 2.0
_LEAST_REGULAR = 0.6
_LEAST_PITCH_PX = 20


def erase_dots(page: NDArray[np.uint8]) -> bool:
    """Paint the dots of dotted paper over with paper, in place; what strokes touch stays.

    Args:
        page: (height, width), tone normalised; what it becomes.

    Returns:
        Whether there were any.
    """
    # Pale dots are less dark than ink after normalisation.
    dark = (page < INK_LEVEL + 64).view(np.uint8)
    _, labels, found, centres = cv2.connectedComponentsWithStatsWithAlgorithm(dark, 8, cv2.CV_32S, cv2.CCL_BBDT)
    stats = np.asarray(found)
    sides = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1)
    small = np.flatnonzero(sides <= _LARGEST_PX)
    if len(small) < _LEAST_DOTS:
        return False
    tree = cKDTree(centres[small])
    nearest = tree.query(centres[small], k=2)[0][:, 1]
    # Specks and dots over an i lie at any distance: the most common one is that of the paper.
    counts = np.bincount(np.rint(nearest[nearest < 400]).astype(np.int64), minlength=3)
    pitch = float(counts.argmax())
    is_even = np.abs(nearest - pitch) <= _OFF_PX
    if pitch < _LEAST_PITCH_PX or is_even.mean() < _LEAST_REGULAR or is_even.sum() < _LEAST_DOTS:
        return False
    middle_side = np.median(sides[small][is_even])
    alike = np.abs(sides[small] - middle_side) <= max(2.0, 0.5 * middle_side)
    dots = np.zeros(len(stats), dtype=np.bool_)
    dots[small[is_even & alike]] = True
    grid = cKDTree(centres[dots])
    distance = grid.query(centres[small], k=4, distance_upper_bound=pitch + _OFF_PX)[0]
    dots[small[alike & (np.abs(distance - pitch) <= _OFF_PX).any(axis=1)]] = True
    dots[0] = False
    halo = cv2.dilate(dots[labels].view(np.uint8), np.ones((5, 5), np.uint8)) > 0
    others = cv2.dilate(((labels > 0) & ~dots[labels]).view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    page[halo & ~others] = 255
    return True
