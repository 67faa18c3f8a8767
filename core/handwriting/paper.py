"""Paper and scanner: what a page looks like apart from its strokes, by page and not by writer."""

import cv2
import numpy as np
from numpy.typing import NDArray


def scan(cover: NDArray[np.float32], darkness: float, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A grey page as a scanner would give it.

    Args:
        cover: (height, width), share of each pixel that the pen covered, 0..1.
        darkness: of the ink, 1 for black.
        generator: for the paper's tone, its slow changes, the flow of ink and the scanner's noise and blur.

    Returns:
        (height, width), 0 for black to 255.
    """
    height, width = cover.shape
    paper = generator.uniform(222, 250) + generator.uniform(0.5, 2) * _clouds(height, width, 5, generator)
    ink = cv2.GaussianBlur(cover, (0, 0), generator.uniform(0.45, 0.75))
    ink *= np.clip(darkness * (1 + 0.07 * _clouds(height, width, 24, generator)), 0, 1)
    page = paper * (1 - ink)
    noise = generator.integers(0, 256, (height, width), dtype=np.uint8).astype(np.float32)
    page += np.float32(generator.uniform(0.5, 1.4) / 74) * (noise - 127.5)  # 74 is the deviation of 0..255
    return np.clip(page, 0, 255).astype(np.uint8)


def _clouds(height: int, width: int, n: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """A smooth field of about unit variance with `n` hills across."""
    coarse = generator.normal(0, 1, (n, n)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]
