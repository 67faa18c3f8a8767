"""What is no paper on a scan or photograph: lid, desk, a fold's shadow, a corner, a punched hole.

It is wider than any stroke, darker than the paper beside it, and touches the edge of the image, or
is round and close to it. An opening (morphology: Serra, "Image analysis and mathematical
morphology", 1982) takes all that is narrower out of the dark parts. What is black is told by that
alone; what is grey must be a band along a side, and darker than the sheet some way further in, so
that a lamp's slow shading stays what it is.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from core.pages.scan import shrunk

_MAP_PX = 512
_WIDEST_STROKE = 7
"""In pixels of the map (an odd number), 48 px on a page at 300 dpi: 4 mm."""
_BLACK, _GREY = 0.5, 0.86
"""Of the paper's grey: darker is no paper anywhere at the edge, or in a band along a side."""
_BAND_SHARE, _BAND_LENGTH = 0.1, 0.08
"""A grey band's most width over the image's longer side, and its least length over that of its side."""  # noqa: W505
_STROKE, _MOST_STROKES = 0.75, 0.01
"""A band with writing on it, which is darker than the band, is paper in the shade."""
_HOLE_PX = (6, 26)
_HOLE_SHARE = 0.12
"""A hole's middle is so close to a side, over the image's width or height."""
_LEAST_SHARE = 0.001


def find_dark_edges(grey: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Find what lies around the sheet, and what was punched out of it.

    Args:
        grey: (height, width), dark ink on light paper.

    Returns:
        (height, width), whether a pixel is no paper, with some pixels of margin; `None` if there is
        next to nothing.
    """
    height, width = grey.shape
    small = shrunk(grey, _MAP_PX)
    size = small.shape[1], small.shape[0]
    paper = float(np.percentile(small, 80))
    dark = (small < _BLACK * paper).astype(np.uint8)
    pad = _WIDEST_STROKE
    padded = cv2.copyMakeBorder(dark, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=1)  # thin edges count too
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, np.ones((pad, pad), np.uint8))
    _, pieces, found, centres = cv2.connectedComponentsWithStats(opened, connectivity=4)
    holes = _holes(np.asarray(found), np.asarray(centres, dtype=np.float64) - pad, size)
    around = (pieces == pieces[0, 0]) | np.isin(pieces, holes)
    bands = _grey_bands(small)
    edge = np.asarray(around[pad:-pad, pad:-pad]) | bands
    if not (edge.mean() > _LEAST_SHARE or holes or bands.any()) or edge.mean() >= 1.0 - _LEAST_SHARE:
        return None
    wide = cv2.dilate(edge.astype(np.uint8), np.ones((5, 5), np.uint8))
    return cv2.resize(wide, (width, height), interpolation=cv2.INTER_NEAREST) > 0


def _holes(found: NDArray[np.integer], centres: NDArray[np.float64], size: tuple[int, int]) -> list[int]:
    """The numbers of black pieces that are as round, small and close to a side as punched holes."""
    holes = []
    for number in range(1, len(found)):
        width, height, area = (
            int(found[number, of]) for of in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA)
        )
        x, y = centres[number]
        off_side = min(x / size[0], 1 - x / size[0], y / size[1], 1 - y / size[1])
        is_round = 0.7 < width / height < 1.4 and area > 0.65 * width * height
        if is_round and _HOLE_PX[0] <= max(width, height) <= _HOLE_PX[1] and off_side < _HOLE_SHARE:
            holes.append(number)
    return holes


def _grey_bands(small: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Grey bands along the four sides of an image."""
    bands = np.zeros(small.shape, dtype=np.bool_)
    if min(small.shape) < 8 * _WIDEST_STROKE:
        return bands
    # The closing takes strokes out and leaves paper and what is wide.
    kernel = np.ones((_WIDEST_STROKE, _WIDEST_STROKE), np.uint8)
    pad = _WIDEST_STROKE
    padded = cv2.copyMakeBorder(small, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)  # thin bands count too
    bare = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[pad:-pad, pad:-pad]
    filled = np.array(bare)
    for turns in (*range(4), *range(4)):  # once more for the corners, whose neighbours are known then
        # Each side in turn is the left one; the views write through.
        turned, target, known = (np.rot90(image, turns) for image in (np.asarray(bare), bands, filled))
        n_wide = max(2, round(min(_BAND_SHARE * max(turned.shape), 0.25 * turned.shape[1])))
        inside = np.median(known[:, n_wide + 2 : 2 * n_wide + 2], axis=1)
        paper = cv2.blur(inside[:, None].astype(np.float32), (1, 31), borderType=cv2.BORDER_REPLICATE)
        dark = turned[:, :n_wide] < _GREY * np.asarray(paper).reshape(-1, 1)
        unbroken = np.cumprod(dark, axis=1, dtype=np.uint8)  # without a break from the side on
        length = np.ones((max(3, round(_BAND_LENGTH * len(unbroken))), 1), np.uint8)
        is_long = cv2.morphologyEx(unbroken[:, :1], cv2.MORPH_OPEN, length, borderValue=0)
        reach = (unbroken * np.asarray(is_long)) > 0
        strokes = np.rot90(small, turns)[:, :n_wide] < _STROKE * turned[:, :n_wide]
        if reach.any() and strokes[reach].mean() <= _MOST_STROKES:
            np.logical_or(target[:, :n_wide], reach, out=target[:, :n_wide])
            known[:, :n_wide][reach] = np.uint8(np.median(inside))
    return bands


def paint_paper(grey: NDArray[np.uint8], edge: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Paint paper over what is none, in the grey of the paper next to it.

    Args:
        grey: (height, width).
        edge: (height, width), what to paint over.

    Returns:
        (height, width), a copy.
    """
    height, width = grey.shape
    small = shrunk(grey, _MAP_PX)
    outside = cv2.resize(edge.view(np.uint8), small.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    bare = cv2.dilate(small, np.ones((3, 3), np.uint8))  # thins the ink
    kept = np.where(outside, 0, 1).astype(np.float32)
    # Normalised convolution (Knutsson, Westin, 1993): the mean of what is known nearby.
    known = cv2.GaussianBlur(kept, (0, 0), _MAP_PX / 16) + np.float32(1e-6)
    level = cv2.GaussianBlur(kept * bare, (0, 0), _MAP_PX / 16) / known
    level = np.where(known > 1e-3, level, np.median(bare[~outside]) if (~outside).any() else 255.0)
    paper = cv2.resize(level.round().clip(0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    painted = grey.copy()
    np.copyto(painted, paper, where=edge)
    return painted
