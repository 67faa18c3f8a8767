"""Does evidence hold? Paint over what it calls decisive, and the right writer must lose more than
by chance.

The deletion test of explanations: Samek et al., "Evaluating the visualization of what a deep neural
network has learned", 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.identification.evidence import decisive_patches, first_two, weigh_patches
from core.identification.writer_identifier import WriterIdentifier
from core.lines.source import ImageLines
from core.pages.text_lines import TextLine
from core.patches.plan import PatchPlan, distinct_patches
from core.scoring.mean_scores import mean_log_probabilities

_PAPER = 255


@dataclass(frozen=True)
class Painted:
    """What painting some patches of an image over did.

    Attributes:
        loss: of the right writer, in nats of the mean log-probability over all patches.
        ink: share of the image's ink that was hidden, 0 to 1.
    """

    loss: float
    ink: float


@dataclass(frozen=True)
class DeletionLoss:
    """What the right writer of one image loses.

    Attributes:
        n_painted: patches painted over.
        decisive: when those were the decisive ones.
        random: when they were drawn at random, for each draw.
    """

    n_painted: int
    decisive: Painted
    random: tuple[Painted, ...]

    @property
    def difference(self) -> float:
        """How much more is lost with the decisive patches than with random ones, on average, in
        nats.
        """
        return self.decisive.loss - float(np.mean([draw.loss for draw in self.random]))


def deletion_loss(
    identifier: WriterIdentifier, lines: ImageLines, writer_id: str, share: float, n_draws: int, seed: int
) -> DeletionLoss | None:
    """Paint patches of one image over, and ask about the same places again.

    Decisive and random patches are as many, and of both kinds none shares more than half of its
    area with another: heavy patches lie close together, and a few drawn at random would otherwise
    hide more of a short word.

    Args:
        identifier: network and record.
        lines: of the image.
        writer_id: who wrote it.
        share: of its distinct patches to paint over, at least one patch.
        n_draws: of random patches.
        seed: of the draws.

    Returns:
        `None` if not so many patches speak for the named writer.
    """
    plan = identifier.plan_patches(lines)
    scores = identifier.log_probabilities(lines, plan)
    prediction = identifier.predict(scores, len(lines.lines), writer_id)
    weights = weigh_patches(scores, *first_two(identifier, prediction))
    n = max(1, round(share * len(distinct_patches(range(len(plan)), plan, len(plan)))))
    decisive = decisive_patches(weights, plan, n)
    if len(decisive) < n:
        return None
    right = identifier.record.writer_ids.index(writer_id)
    generator = np.random.default_rng(seed)
    n_ink = _n_ink(lines)

    def painted(chosen: Sequence[int]) -> Painted:
        rest = paint_over(lines, plan, chosen)
        asked = identifier.log_probabilities(rest, plan)
        return Painted(_mean(scores, right) - _mean(asked, right), 1 - _n_ink(rest) / max(1, n_ink))

    draws = [distinct_patches(generator.permutation(len(plan)).tolist(), plan, n) for _ in range(n_draws)]
    return DeletionLoss(n, painted(decisive), tuple(painted(draw) for draw in draws))


def paint_over(lines: ImageLines, plan: PatchPlan, chosen: Sequence[int]) -> ImageLines:
    """The lines with paper where the chosen patches are."""
    found = [TextLine(lines.pixels(i).copy(), lines.is_ink(i).copy()) for i in range(len(lines.lines))]
    for number in chosen:
        line, top, left = (int(values[number]) for values in (plan.lines, plan.tops, plan.lefts))
        part = (slice(top, top + plan.size_px), slice(left, left + plan.size_px))
        found[line].pixels[part] = _PAPER
        found[line].is_ink[part] = False
    return ImageLines(lines.lines[0].image_id, found, lines.height_px, lines.unit)


def _n_ink(lines: ImageLines) -> int:
    return sum(int(lines.is_ink(line).sum()) for line in range(len(lines.lines)))


def _mean(log_probabilities: NDArray[np.float32], writer: int) -> float:
    """The image's normalised mean log-probability of a writer."""
    return float(mean_log_probabilities(log_probabilities, [None] * len(log_probabilities))[1][0, writer])
