"""Paper to white, ink to black, so that neither pen colour nor scanner names the writer."""

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


def normalise_tone(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Divide by the paper, then stretch so that two thirds of the ink are black.

    The paper is a wide running median, so that slow shading and vignettes go too. Stretching to the ink's middle
    (not to its darkest pixel) takes the level of a stroke's core and leaves the slopes of its edges: pencil, pale and
    dark pens come out alike. From the grey values on the ridges of the strokes alone a random forest names
    47 % of DHSD's test words as they are, 5 % after this (37 writers).

    Args:
        grey: (height, width), 0..255, dark ink on light paper.

    Returns:
        (height, width), 255 is paper, 0 is ink.

    Raises:
        ImageError: if there is no ink, in other words nothing that is darker than the paper and its grain.
    """
    darkness = 1.0 - grey.astype(np.float32) / _paper_level(grey)
    grain = 1.4826 * float(np.median(np.abs(darkness)))  # robust standard deviation: most pixels are paper
    floor = max(0.02, 3.0 * grain)
    level = _ink_darkness(darkness, floor)
    if level < max(MIN_CONTRAST, 2.0 * floor):
        raise ImageError(
            f"There must be ink that is at least {max(MIN_CONTRAST, 2.0 * floor):.0%} darker than its paper, "
            f"but the darkest strokes are {max(0.0, level):.0%}. Is the image blank?"
        )
    ink = np.clip((darkness - floor) / (level - floor), 0.0, 1.0)
    return (255.0 * (1.0 - ink)).round().astype(np.uint8)


def _paper_level(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The paper's grey value under each pixel, (height, width), never below 1."""
    height, width = grey.shape
    shrink = min(1.0, _PAPER_MAP_PX / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    small = cv2.dilate(small, np.ones((3, 3), np.uint8))  # thins the ink, so that the median meets paper
    window = max(3, min(min(small.shape) // 2, 64)) | 1
    small = cv2.medianBlur(small, window)
    smooth = cv2.GaussianBlur(small.astype(np.float32), (0, 0), window / 4.0)
    return np.maximum(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), 1.0)


def _ink_darkness(darkness: NDArray[np.float32], floor: float) -> float:
    """How dark the ink is: two thirds of it are darker, ink being what is at least half as dark as its own median."""
    inked = darkness[darkness > 2.0 * floor]
    if inked.size < _MIN_INK_PIXELS:
        return 0.0
    level = float(np.percentile(inked, 90))
    for _ in range(3):
        level = float(np.median(inked[inked > 0.5 * level]))
    return float(np.percentile(inked[inked > 0.5 * level], 35))
