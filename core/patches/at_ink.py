"""Training patches at ink: each has a point of a stroke's edge in its middle.

Fiel and Sablatnig, "Writer identification and retrieval using a convolutional neural network" (CAIP
2015), and many after them cut patches at key points of the strokes instead of anywhere.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from core.lines.source import LineSource


def move_to_ink(
    store: LineSource,
    lines: NDArray[np.int32],
    tops: NDArray[np.int32],
    lefts: NDArray[np.int32],
    size_px: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Move each patch to a point of its line that is drawn at random, as near to the patch's middle
    as the line's ends allow; two patches may come to the same place.

    Args:
        store: holds the lines.
        lines: (n_patches,) places in `store.lines`.
        tops: (n_patches,) first pixel rows; those of a line without edges stay.
        lefts: (n_patches,) first pixel columns, likewise.
        size_px: side of a patch.
        generator: of the points.

    Returns:
        The new tops and lefts.
    """
    tops, lefts = tops.copy(), lefts.copy()
    order = np.argsort(lines, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(lines[order])) + 1):
        if len(own) == 0:  # there are no patches
            continue
        pixels = store.pixels(int(lines[own[0]]))
        points = edge_points(pixels)
        if len(points) > 0:
            corners = points[generator.integers(len(points), size=len(own))] - size_px // 2
            tops[own], lefts[own] = np.clip(corners, 0, np.maximum(0, np.array(pixels.shape) - size_px)).T
    return tops, lefts


def edge_points(pixels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The ink pixels that have paper beside, above or below them, ink by Otsu's threshold.

    Args:
        pixels: (height, width), 0 ink to 255 paper.

    Returns:
        (n, 2), row and column.
    """
    is_ink = cv2.threshold(pixels, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)[1]
    inside = cv2.erode(is_ink, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    return np.argwhere((is_ink > 0) & (inside == 0))
