"""Small changes that a writer's hand could have made on another day, or another scanner to its
image.

Each part has a strength of its own: slant, scale and place (both in one warp), stroke width, ink
tone, paper, and how many patches lose their greys. The ranges are narrow on purpose: slant and
proportions tell writers apart, and must not be washed out.

NumPy and OpenCV only.
"""

from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

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
MAX_GRAIN = 14.0
"""Greatest standard deviation of the paper's grain, in grey levels."""
MAX_SHADE = 30.0
"""Most grey levels by which one side of the paper is darker than the other."""
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_N_GRAINS = 16

Patches = NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """How strong each part of the augmentation is, from 0 (not at all) to 1.

    Attributes:
        slant: of the shear along the line.
        scale: of width, height and place.
        stroke: of the stroke's width, by morphology.
        tone: of the ink's darkness.
        noise: of the paper's grain and of a shade across it.
        binarise: share of the patches that become ink or paper, as a bilevel scanner makes them.

    Raises:
        ValueError: if a strength is not between 0 and 1.
    """

    slant: float = 0.0
    scale: float = 0.0
    stroke: float = 0.0
    tone: float = 0.0
    noise: float = 0.0
    binarise: float = 0.0

    def __post_init__(self) -> None:
        """Check the strengths."""
        for field in fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise ValueError(f"`0 <= {field.name} <= 1` must hold, but got {getattr(self, field.name)}.")

    @classmethod
    def even(cls, strength: float) -> "Augmentation":
        """The same strength of slant, scale, stroke and tone, and nothing else."""
        return cls(strength, strength, strength, strength)

    @property
    def is_none(self) -> bool:
        """Whether nothing changes."""
        return not any(getattr(self, field.name) for field in fields(self))


def augment_patches(patches: Patches, strengths: Augmentation, generator: np.random.Generator) -> Patches:
    """Change each patch at random, by itself.

    Every change is drawn on its own from a range that grows in proportion to its strength. What a
    warp brings in from outside a patch is paper.

    OpenCV's thread setting belongs to the whole process and is left alone: patches are too small
    for OpenCV to divide (measured at 113 pixels: 99 % of the work stays in the calling thread).

    Args:
        patches: (n, height, width), 0 is ink, 255 paper; not changed.
        strengths: of the parts.
        generator: source of all random numbers.

    Returns:
        New patches of the same shape.
    """
    if strengths.is_none:
        return patches.copy()
    n, height, width = patches.shape
    maps = _draw_maps(n, (height, width), strengths, generator)
    strokes = MAX_STROKE * strengths.stroke
    widths = generator.uniform(-strokes, strokes, (n,))
    tones = _draw_tones(n, strengths.tone, generator)
    changed = np.empty_like(patches)
    for patch, affine, stroke, tone, target in zip(patches, maps, widths.tolist(), tones, changed, strict=True):
        moved = cv2.warpAffine(patch, affine, (width, height), flags=cv2.INTER_LINEAR, borderValue=PAPER)
        cv2.LUT(_change_stroke(moved, stroke), tone, dst=target)
    if strengths.noise:
        changed = _on_paper(changed, strengths.noise, generator)
    return _binarise(changed, strengths.binarise, generator) if strengths.binarise else changed


def _draw_maps(
    n: int, shape: tuple[int, int], strengths: Augmentation, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draw affine maps about the centre of a patch: (n, 2, 3)."""
    height, width = shape
    shear = generator.uniform(-MAX_SHEAR * strengths.slant, MAX_SHEAR * strengths.slant, (n,))
    scale = np.exp(generator.uniform(-MAX_SCALE * strengths.scale, MAX_SCALE * strengths.scale, (n, 2)))
    shift = generator.uniform(-MAX_SHIFT * strengths.scale, MAX_SHIFT * strengths.scale, (n, 2)) * (width, height)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    maps = np.zeros((n, 2, 3))
    maps[:, 0, 0], maps[:, 1, 1] = scale[:, 0], scale[:, 1]
    maps[:, 0, 1] = -shear * scale[:, 0]
    maps[:, :, 2] = centre + shift - maps[:, :, :2] @ centre
    return maps


def _draw_tones(n: int, strength: float, generator: np.random.Generator) -> Patches:
    """Draw tables from old to new grey level, paper staying paper: (n, 256)."""
    fade = 1 - generator.uniform(0, MAX_FADE * strength, (n, 1))
    gamma = np.exp(generator.uniform(-MAX_GAMMA * strength, MAX_GAMMA * strength, (n, 1)))
    blackness = np.linspace(1, 0, 256)
    return np.rint(PAPER * (1 - fade * blackness**gamma)).astype(np.uint8)


def _change_stroke(patch: Patches, stroke: float) -> Patches:
    """Mix a patch with its own ink one pixel wider (`stroke > 0`) or narrower, in the proportion
    |stroke|.
    """
    spread = cv2.erode(patch, _CROSS) if stroke > 0 else cv2.dilate(patch, _CROSS)
    return cv2.addWeighted(spread, abs(stroke), patch, 1 - abs(stroke), 0).astype(np.uint8, copy=False)


def _on_paper(patches: Patches, strength: float, generator: np.random.Generator) -> Patches:
    """Add the grain and the shade of a paper: a few fields of grain for a batch, each turned and
    moved anew.
    """
    n, height, width = patches.shape
    fields_ = generator.standard_normal((min(n, _N_GRAINS), height, width), dtype=np.float32)
    grain = generator.uniform(0, MAX_GRAIN * strength, (n,))
    shade = generator.uniform(0, MAX_SHADE * strength, (n,))
    angle = generator.uniform(0, 2 * np.pi, (n,))
    rows, columns = np.linspace(-0.5, 0.5, height)[:, np.newaxis], np.linspace(-0.5, 0.5, width)
    noisy = np.empty_like(patches)
    for place, patch in enumerate(patches):
        field = np.roll(fields_[place % len(fields_)], 7 * place, axis=1)
        slope = shade[place] * (np.cos(angle[place]) * columns + np.sin(angle[place]) * rows - 0.7)
        noisy[place] = np.clip(patch + grain[place] * field + slope, 0, PAPER)
    return noisy


def _binarise(patches: Patches, share: float, generator: np.random.Generator) -> Patches:
    """Make each patch ink or paper with a probability, by Otsu's threshold of its own."""
    for place in np.flatnonzero(generator.random(len(patches)) < share).tolist():
        cv2.threshold(patches[place], 0, PAPER, cv2.THRESH_BINARY | cv2.THRESH_OTSU, dst=patches[place])
    return patches
