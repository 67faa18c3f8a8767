"""Plain statistics of ink: what can be said of a hand without any learned filter."""

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

INK_LEVEL = 128
N_DIRECTIONS = 12
N_BANDS = 8


def simple_statistics(patch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Stroke width, slant, density and height of the ink.

    Args:
        patch: (height, width), 0 is ink, 255 paper.

    Returns:
        (8,): mean and deviation of the stroke width in px, slant (mean and deviation of the shear,
        by moments of connected parts), share of ink, mean darkness of the ink, upper and lower
        quartile row of the ink.
    """
    ink = (patch < INK_LEVEL).astype(np.uint8)
    if not ink.any():
        return np.zeros(8, dtype=np.float32)
    widths = _stroke_widths(ink)
    shears = _shears(ink)
    rows = np.nonzero(ink)[0]
    return np.array(
        [
            widths.mean(),
            widths.std(),
            shears.mean(),
            shears.std(),
            ink.mean(),
            patch[ink > 0].mean(),
            np.percentile(rows, 25),
            np.percentile(rows, 75),
        ],
        dtype=np.float32,
    )


def shape_statistics(line: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Ink shape of a whole line or word: `simple_statistics`, stroke directions, vertical profile,
    gaps and parts.

    Args:
        line: (height, width), 0 is ink, 255 paper. Grey levels are used only to find the ink.

    Returns:
        (8 - 1 + 12 + 12 + 8 + 7,): grey level left out, directions of edges weighted by strength
        and their changes along x, share of ink in eight bands from top to bottom, and sizes of
        parts and gaps.
    """
    ink = (line < INK_LEVEL).astype(np.uint8)
    simple = np.delete(simple_statistics(line), 5)
    binary = np.where(ink > 0, 0, 255).astype(np.uint8)
    smooth = cv2.GaussianBlur(binary, (5, 5), 1.0).astype(np.float32)
    horizontal, vertical = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    directions = _directions(horizontal, vertical)
    corners = _directions(cv2.Sobel(horizontal, cv2.CV_32F, 1, 0), cv2.Sobel(vertical, cv2.CV_32F, 0, 1))
    bands = np.array([band.mean() for band in np.array_split(ink, N_BANDS)], dtype=np.float32)
    return np.concatenate([simple, directions, corners, bands / max(float(bands.sum()), 1e-6), _parts(ink)]).astype(
        np.float32
    )


def _stroke_widths(ink: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Twice the distance to paper on the ridge of each stroke."""
    distance = cv2.distanceTransform(ink, cv2.DIST_L2, 3)
    ridge = (distance > 0) & (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8)))
    return (2 * distance[ridge]).astype(np.float32)


def _shears(ink: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Shear of each connected part of at least 20 px: covariance of x and y over the variance of
    y.
    """
    n_parts, labels = cv2.connectedComponents(ink)
    shears = []
    for part in range(1, n_parts):
        rows, columns = np.nonzero(labels == part)
        if len(rows) >= 20 and rows.std() > 1:
            shears.append(-np.cov(columns, rows)[0, 1] / rows.var())
    return np.array(shears or [0.0], dtype=np.float32)


def _directions(horizontal: MatLike, vertical: MatLike) -> NDArray[np.float32]:
    angle = np.mod(np.arctan2(vertical, horizontal), np.pi)
    counts, _ = np.histogram(angle, bins=N_DIRECTIONS, range=(0, np.pi), weights=np.hypot(horizontal, vertical))
    return (counts / max(float(counts.sum()), 1e-6)).astype(np.float32)


def _parts(ink: NDArray[np.uint8]) -> NDArray[np.float32]:
    n_parts, _, boxes, _ = cv2.connectedComponentsWithStats(ink)
    boxes = boxes[1:]
    inked = ink.any(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inked.astype(np.int8), [0]])))
    gaps = edges[2::2] - edges[1:-1:2]
    width = max(int(inked.sum()), 1)
    if len(boxes) == 0:
        return np.zeros(7, dtype=np.float32)
    return np.array(
        [
            n_parts / width,
            boxes[:, cv2.CC_STAT_WIDTH].mean(),
            boxes[:, cv2.CC_STAT_HEIGHT].mean(),
            np.median(boxes[:, cv2.CC_STAT_AREA]),
            len(gaps) / width,
            gaps.mean() if len(gaps) else 0.0,
            inked.mean(),
        ],
        dtype=np.float32,
    )
