"""Ways to train a network whose embedding is to find pages by hands that it never saw: what differs
from the plain way is the loss, where patches are cut, or how they are changed.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from core.lines.source import LineSource
from core.networks.hyperparameters import Hyperparameters
from core.patches.augmentation import Augmentation
from core.patches.feed import TrainingFeed
from core.patches.plan import PatchSampler
from core.settings import PatchSettings

POINT = Hyperparameters(n_blocks=4, filters=16, convolutions_per_block=1, augmentation=0.3)
"""A small network, a sixth of the arithmetic of the defaults; its embedding has 128 values."""
_SMALL_PX = 56  # a quarter of the area of a patch as high as the line, and the same cost


@dataclass(frozen=True)
class Training:
    """A way to train.

    Attributes:
        name: in the table.
        point: of the network, of its augmentation and of the loss.
        margin: that the right writer's cosine is lowered by (`benchmarks.margin`); 0 for the plain
            softmax.
        size_px: side of a patch; lines are 113 px high.
        is_at_ink: patches have a point of a stroke's edge in their middle, instead of lying
            anywhere.
    """

    name: str = field(compare=False)
    point: Hyperparameters = POINT
    margin: float = 0.0
    size_px: int = 113
    is_at_ink: bool = False

    def as_dict(self) -> dict[str, Any]:
        """All that the network depends on."""
        return {key: value for key, value in asdict(self).items() if key not in ("name", "point")}

    def feed(
        self, lines: LineSource, image_ids: Sequence[str], writers: Sequence[str], settings: PatchSettings, seed: int
    ) -> TrainingFeed:
        """The batches of patches that it trains on."""
        settings = settings.model_copy(update={"at": "ink" if self.is_at_ink else "random"})
        sampler = PatchSampler(lines, image_ids, writers, settings, seed)
        return TrainingFeed(sampler, self.point.batch_size, Augmentation(**self.point.augmentation_parts), seed)


PLAIN = Training("plain: softmax, patches anywhere")
_STRONG = replace(POINT, augment_tone=3.0, augment_stroke=3.0, augment_noise=1.0)
_HALF_BINARISED = replace(POINT, augment_binarise=0.5 / POINT.augmentation)
_SMALL = replace(POINT, input_px=_SMALL_PX)
SMALL = Training("anywhere, 56 px", _SMALL, size_px=_SMALL_PX)
TRAININGS = (
    PLAIN,
    Training("strong tone and stroke", _STRONG),
    Training("half of the patches binarised", _HALF_BINARISED),
    Training("contrastive 0.5", replace(POINT, contrastive=0.5)),
    Training("margin 0.2", margin=0.2),
    Training("margin 0.2, contrastive 0.5", replace(POINT, contrastive=0.5), margin=0.2),
    Training("at ink, 113 px", is_at_ink=True),
    SMALL,
    Training("at ink, 56 px", _SMALL, size_px=_SMALL_PX, is_at_ink=True),
)
