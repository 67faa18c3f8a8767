"""Does evidence hold? Paint over what it calls decisive, and the right writer must lose more than by chance.

The deletion test of explanations: Samek et al., "Evaluating the visualization of what a deep neural network has
learned", 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.identification.evidence import decisive_patches, first_two, weigh_patches
from core.identification.image_lines import ImageLines
from core.identification.writer_identifier import WriterIdentifier
from core.ink import TextLine
from core.mean_scores import mean_log_probabilities
from core.patches import PatchPlan

_PAPER = 255


@dataclass(frozen=True)
class DeletionLoss:
    """What the right writer of one image loses, in nats of the mean log-probability over its patches.

    Attributes:
        n_painted: patches painted over.
        decisive: when those were the decisive ones.
        random: when they were drawn at random, for each draw.
    """

    n_painted: int
    decisive: float
    random: tuple[float, ...]

    @property
    def difference(self) -> float:
        """How much more is lost with the decisive patches than with random ones, on average."""
        return self.decisive - float(np.mean(self.random))


def deletion_loss(
    identifier: WriterIdentifier, lines: ImageLines, writer_id: str, share: float, n_draws: int, seed: int
) -> DeletionLoss | None:
    """Paint patches of one image over, and ask about the same places again.

    Args:
        identifier: network and record.
        lines: of the image.
        writer_id: who wrote it.
        share: of its patches to paint over, at least one patch.
        n_draws: of random patches.
        seed: of the draws.

    Returns:
        `None` if not so many patches speak for the named writer.
    """
    plan = identifier.plan_patches(lines)
    scores = identifier.log_probabilities(lines, plan)
    weights = weigh_patches(scores, *first_two(identifier, identifier.answer(scores, len(lines.lines))))
    n = max(1, round(share * len(plan)))
    decisive = decisive_patches(weights, n)
    if len(decisive) < n:
        return None
    right = identifier.record.writer_ids.index(writer_id)
    generator = np.random.default_rng(seed)

    def loss(chosen: Sequence[int]) -> float:
        painted = identifier.log_probabilities(paint_over(lines, plan, chosen), plan)
        return _mean(scores, right) - _mean(painted, right)

    draws = [generator.choice(len(plan), n, replace=False).tolist() for _ in range(n_draws)]
    return DeletionLoss(n, loss(decisive), tuple(loss(draw) for draw in draws))


def paint_over(lines: ImageLines, plan: PatchPlan, chosen: Sequence[int]) -> ImageLines:
    """The lines with paper where the chosen patches are."""
    found = [TextLine(lines.pixels(i).copy(), lines.is_ink(i).copy()) for i in range(len(lines.lines))]
    for number in chosen:
        line, top, left = (int(values[number]) for values in (plan.lines, plan.tops, plan.lefts))
        part = (slice(top, top + plan.size_px), slice(left, left + plan.size_px))
        found[line].pixels[part] = _PAPER
        found[line].is_ink[part] = False
    return ImageLines(lines.lines[0].image_id, found, lines.height_px, lines.unit)


def _mean(log_probabilities: NDArray[np.float32], writer: int) -> float:
    """The image's normalised mean log-probability of a writer."""
    return float(mean_log_probabilities(log_probabilities, [None] * len(log_probabilities))[1][0, writer])
