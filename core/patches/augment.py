"""Small changes of a patch that a writer's hand could have made on another day, or another scanner to its image.

Slant, width, height and place change by one affine map; stroke width and ink tone change pixel by pixel. Ranges are
narrow on purpose: slant and proportions tell writers apart, and must not be washed out.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Patches = NDArray[np.uint8]
PAPER = 255
MAX_SHEAR = 0.2
"""Greatest change of slant at full strength: pixels to the right per pixel up."""
MAX_SCALE = 0.15
"""Greatest change of width and of height, as the logarithm of the factor."""
MAX_SHIFT = 0.04
"""Greatest shift in both directions, as a share of the patch's side."""
MAX_STROKE = 0.6
"""Greatest step towards strokes that are one pixel wider (or narrower) on each side."""
MAX_FADE = 0.35
"""Most of the ink's blackness that may be lost."""
MAX_GAMMA = 0.35
"""Greatest change of the grey levels between ink and paper, as the logarithm of the exponent."""
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def augment_patches(patches: Patches, strength: float, generator: np.random.Generator) -> Patches:
    """Change each patch at random.

    Every change is drawn on its own from a range that grows in proportion to `strength`. What a map brings in from
    outside a patch is paper.

    OpenCV's thread setting belongs to the whole process and is left alone: patches are too small for OpenCV to divide
    (measured at 113 pixels: 99 % of the work stays in the calling thread).

    Args:
        patches: (n, height, width), 0 is ink, 255 paper; not changed.
        strength: 0 (nothing changes) to 1.
        generator: source of all random numbers.

    Returns:
        New patches of the same shape.

    Raises:
        ValueError: if `strength` is not between 0 and 1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"`0 <= strength <= 1` must hold, but got {strength=}.")
    if strength == 0:
        return patches.copy()
    maps = _draw_maps(len(patches), patches.shape[1:], strength, generator)
    strokes = generator.uniform(-MAX_STROKE * strength, MAX_STROKE * strength, len(patches))
    tones = _draw_tones(len(patches), strength, generator)
    changed = np.empty_like(patches)
    size = (patches.shape[2], patches.shape[1])
    for patch, affine, stroke, tone, target in zip(patches, maps, strokes.tolist(), tones, changed, strict=True):
        moved = cv2.warpAffine(patch, affine, size, flags=cv2.INTER_LINEAR, borderValue=PAPER)
        cv2.LUT(_change_stroke(moved, stroke), tone, dst=target)
    return changed


def _draw_maps(n: int, shape: tuple[int, ...], strength: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw affine maps about the centre of a patch: (n, 2, 3)."""
    height, width = shape
    shear = generator.uniform(-MAX_SHEAR * strength, MAX_SHEAR * strength, n)
    scale = np.exp(generator.uniform(-MAX_SCALE * strength, MAX_SCALE * strength, (n, 2)))
    shift = generator.uniform(-MAX_SHIFT * strength, MAX_SHIFT * strength, (n, 2)) * (width, height)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    maps = np.zeros((n, 2, 3))
    maps[:, 0, 0], maps[:, 1, 1] = scale[:, 0], scale[:, 1]
    maps[:, 0, 1] = -shear * scale[:, 0]
    maps[:, :, 2] = centre + shift - maps[:, :, :2] @ centre
    return maps


def _draw_tones(n: int, strength: float, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draw tables from old to new grey level, paper staying paper: (n, 256)."""
    fade = 1 - generator.uniform(0, MAX_FADE * strength, (n, 1))
    gamma = np.exp(generator.uniform(-MAX_GAMMA * strength, MAX_GAMMA * strength, (n, 1)))
    blackness = np.linspace(1, 0, 256)
    return np.rint(PAPER * (1 - fade * blackness**gamma)).astype(np.uint8)


def _change_stroke(patch: NDArray[np.uint8], stroke: float) -> NDArray[np.uint8]:
    """Mix a patch with its own ink one pixel wider (`stroke > 0`) or narrower, in the proportion |stroke|."""
    spread = cv2.erode(patch, _CROSS) if stroke > 0 else cv2.dilate(patch, _CROSS)
    return cv2.addWeighted(spread, abs(stroke), patch, 1 - abs(stroke), 0).astype(np.uint8, copy=False)
