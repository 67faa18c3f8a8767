"""Dark edges of a scan or photograph: the scanner's lid, the desk below the sheet, a fold's shadow.

They are far darker and wider than any stroke and reach the edge of the image. An opening
(morphology: Serra, "Image analysis and mathematical morphology", 1982) takes all that is narrower
out of the dark parts; what is left and touches the edge goes.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_MAP_PX = 512
_WIDEST_STROKE = 7
"""In pixels of the map (an odd number), 48 px on a page at 300 dpi: 4 mm."""
_DARKEST_PAPER = 0.5
_LEAST_SHARE = 0.001


def find_dark_edges(grey: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Find what lies around the sheet.

    Args:
        grey: (height, width), dark ink on light paper.

    Returns:
        (height, width), whether a pixel is no paper, with some pixels of margin; `None` if there is
        next to nothing.
    """
    height, width = grey.shape
    shrink = min(1.0, _MAP_PX / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    paper = float(np.percentile(small, 80))
    dark = (small < _DARKEST_PAPER * paper).astype(np.uint8)
    pad = _WIDEST_STROKE
    padded = cv2.copyMakeBorder(dark, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=1)  # thin edges count too
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, np.ones((pad, pad), np.uint8))
    _, pieces = cv2.connectedComponents(opened, connectivity=4)
    around = pieces == pieces[0, 0]
    edge = np.asarray(around[pad:-pad, pad:-pad])
    if not _LEAST_SHARE < edge.mean() < 1.0 - _LEAST_SHARE:
        return None
    wide = cv2.dilate(edge.astype(np.uint8), np.ones((5, 5), np.uint8))
    return cv2.resize(wide, (width, height), interpolation=cv2.INTER_NEAREST) > 0


def paint_paper(grey: NDArray[np.uint8], edge: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Paint paper over what is none, in the grey of the paper next to it.

    Args:
        grey: (height, width).
        edge: (height, width), what to paint over.

    Returns:
        (height, width), a copy.
    """
    height, width = grey.shape
    shrink = min(1.0, _MAP_PX / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    outside = cv2.resize(edge.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    small = cv2.dilate(small, np.ones((3, 3), np.uint8))  # thins the ink
    kept = np.where(outside, 0, 1).astype(np.float32)
    # Normalised convolution (Knutsson, Westin, 1993): the mean of what is known nearby.
    known = cv2.GaussianBlur(kept, (0, 0), _MAP_PX / 16) + np.float32(1e-6)
    level = cv2.GaussianBlur(kept * small, (0, 0), _MAP_PX / 16) / known
    level = np.where(known > 1e-3, level, np.median(small[~outside]) if (~outside).any() else 255.0)
    paper = cv2.resize(level.round().clip(0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    painted = grey.copy()
    np.copyto(painted, paper, where=edge)
    return painted
