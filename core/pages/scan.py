"""A scan's tone and how far it is turned: paper to white, ink to black, lines level.

After that neither pen colour nor scanner names the writer.

The rows of writing are sharpest in the ink's projection at the right angle: the sum of squared
steps from row to row is largest there (Postl, "Detection of linear oblique structures and skew scan
in digitized documents", ICPR 1986; Baird, "The skew angle of printed documents", 1987). What is
projected are the left edges of strokes, so that neither a dash nor what is left of a ruled line
counts for more than one letter.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import ImageError

MIN_CONTRAST = 0.06
"""Ink darker than its paper by a smaller share than this cannot be told from stains."""
INK_LEVEL = 128
"""After tone normalisation a pixel below this value is ink."""
_PAPER_MAP_PX = 384
_MIN_INK_PIXELS = 12
_MANY_PIXELS, _SAMPLED_PIXELS = 4_000_000, 1_000_000
"""Of a page with many pixels a sample tells grain and ink."""
_STRIP_PIXELS = 60_000
MAX_SKEW_DEG = 11.0
_SKEW_MAP_PX = 1200
_LEAST_STROKES = 200
_LEAST_GAIN = 1.2
"""Rows must get so much sharper, or the page stays as it is."""


def normalise_tone(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Divide by the paper, then stretch so that two thirds of the ink are black.

    The paper is a wide running median, so that slow shading and vignettes go too. Stretching to the
    ink's middle (not to its darkest pixel) takes the level of a stroke's core and leaves the slopes
    of its edges: pencil, pale and dark pens come out alike. From the grey values on the ridges of
    the strokes alone a random forest names 47 % of DHSD's test words as they are, 5 % after this
    (37 writers).

    Args:
        grey: (height, width), 0..255, dark ink on light paper.

    Returns:
        (height, width), 255 is paper, 0 is ink.

    Raises:
        ImageError: if there is no ink, in other words nothing that is darker than the paper and its
            grain.
    """
    darkness = _darkness(grey)
    sample = darkness if darkness.size <= _MANY_PIXELS else darkness.ravel()[:: darkness.size // _SAMPLED_PIXELS | 1]
    grain = 1.4826 * float(np.median(np.abs(sample)))  # robust standard deviation: most pixels are paper
    floor = max(0.02, 3.0 * grain)
    level = _ink_darkness(sample, floor)
    if level < max(MIN_CONTRAST, 2.0 * floor):
        raise ImageError(
            f"There must be ink that is at least {max(MIN_CONTRAST, 2.0 * floor):.0%} darker than its paper, "
            f"but the darkest strokes are {max(0.0, level):.0%}. Is the image blank?"
        )
    tone = np.empty_like(grey)
    for rows in _strips(grey):
        ink = darkness[rows]  # a view: each step is done in place
        ink -= floor
        ink /= level - floor
        np.clip(ink, 0.0, 1.0, out=ink)
        np.subtract(1.0, ink, out=ink)
        ink *= 255.0
        tone[rows] = ink.round()
    return tone


def paper_level(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The paper's grey value under each pixel, never below 1.

    Args:
        grey: (height, width).

    Returns:
        (height, width), smooth.
    """
    height, width = grey.shape
    shrink = min(1.0, _PAPER_MAP_PX / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    small = cv2.dilate(small, np.ones((3, 3), np.uint8))  # thins the ink, so that the median meets paper
    window = max(3, min(min(small.shape) // 2, 64)) | 1
    small = cv2.medianBlur(small, window)
    smooth = cv2.GaussianBlur(small.astype(np.float32), (0, 0), window / 4.0)
    level = np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR))
    return np.maximum(level, 1.0, out=level)


def estimate_skew(page: NDArray[np.uint8]) -> float:
    """Estimate by how many degrees the lines of writing rise to the right, between -11 and 11.

    Args:
        page: (height, width), tone normalised, without rules.

    Returns:
        The angle, positive where lines rise; 0 if there is too little writing to tell.
    """
    ink = shrunk(page, _SKEW_MAP_PX) < INK_LEVEL + 32  # thin strokes pale when they are shrunk
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


def shrunk(page: NDArray[np.uint8], longer_px: int) -> NDArray[np.uint8]:
    """A page with its longer side so long, or as it is if that is shorter.

    By 2 or 3 first, then by the rest: OpenCV is several times faster with whole numbers.

    Args:
        page: (height, width).
        longer_px: of the longer side.
    """
    whole = min(3, max(page.shape) // longer_px, *page.shape)
    if whole > 1:
        height, width = page.shape[0] // whole, page.shape[1] // whole
        even = page[: height * whole, : width * whole]
        page = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    shrink = min(1.0, longer_px / max(page.shape))
    size = max(1, round(page.shape[1] * shrink)), max(1, round(page.shape[0] * shrink))
    return np.asarray(cv2.resize(page, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def level(page: NDArray[np.uint8], angle_deg: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Turn a page whose lines rise by an angle so that they are level; all of it stays on the page.

    Args:
        page: (height, width), 255 is paper.
        angle_deg: as `estimate_skew` tells it.

    Returns:
        The turned page, somewhat larger, and the affine map (2, 3) from its pixels to those of
        `page`.
    """
    height, width = page.shape
    turn = cv2.getRotationMatrix2D((0.5 * (width - 1), 0.5 * (height - 1)), -angle_deg, 1.0)
    sine, cosine = abs(turn[0, 1]), abs(turn[0, 0])
    size = int(np.ceil(width * cosine + height * sine)), int(np.ceil(width * sine + height * cosine))
    turn[:, 2] += (0.5 * (size[0] - width), 0.5 * (size[1] - height))
    turned = cv2.warpAffine(page, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=255)
    return np.asarray(turned, dtype=np.uint8), np.asarray(cv2.invertAffineTransform(turn), dtype=np.float64)


def _ink_darkness(darkness: NDArray[np.float32], floor: float) -> float:
    """How dark the ink is: two thirds of it are darker, ink being what is at least half as dark as
    its own median.
    """
    inked = darkness[darkness > 2.0 * floor]
    if inked.size < _MIN_INK_PIXELS:
        return 0.0
    level = float(np.percentile(inked, 90))
    for _ in range(3):
        level = float(np.median(inked[inked > 0.5 * level]))
    return float(np.percentile(inked[inked > 0.5 * level], 35))


def _darkness(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much darker than its paper each pixel is, (height, width), 1 for black."""
    darkness = paper_level(grey)
    for rows in _strips(grey):
        np.divide(grey[rows], darkness[rows], out=darkness[rows])
        np.subtract(1.0, darkness[rows], out=darkness[rows])
    return darkness


def _strips(page: NDArray[np.uint8]) -> list[slice]:
    """Parts of a page small enough for a processor's cache: several steps on one are twice as fast
    as on the page.
    """
    n_rows = max(1, _STRIP_PIXELS // page.shape[1])
    return [slice(top, top + n_rows) for top in range(0, page.shape[0], n_rows)]


def _sharpness(rows: NDArray[np.int64], columns: NDArray[np.float64], angle_deg: float) -> float:
    """The sum of squared steps of the projection along lines that rise by an angle."""
    slant = rows + np.tan(np.deg2rad(angle_deg)) * columns
    counts = np.bincount((slant - slant.min()).astype(np.int64)).astype(np.float64)
    smooth = np.convolve(counts, (0.25, 0.5, 0.25))
    return float((np.diff(smooth) ** 2).sum())
