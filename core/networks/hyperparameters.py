"""The typed point from which a network and its training are made."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from core.errors import SpaceError
from core.space import Value

TRAINING_HYPERPARAMETERS = (
    "optimizer",
    "learning_rate",
    "schedule",
    "weight_decay",
    "label_smoothing",
    "batch_size",
    "average_weights",
    "augmentation",
    "augment_slant",
    "augment_scale",
    "augment_stroke",
    "augment_tone",
    "augment_noise",
    "augment_binarise",
)
"""Those that count whoever has built the network."""
NO_ARCHITECTURE = (*TRAINING_HYPERPARAMETERS, "contrastive", "dropout")
"""Those that change no weight's shape and no layer that has weights."""
CHOICES: Mapping[str, tuple[str, ...]] = {
    "pooling": ("max", "average"),
    "head": ("flatten", "global_average", "global_max", "global_average_max"),
    "optimizer": ("adam", "adamw", "sgd", "rmsprop"),
    "schedule": ("constant", "cosine"),
}
"""What a hyperparameter of words may be."""
RANGES: Mapping[str, tuple[float, float]] = {
    "input_px": (8, 1024),
    "n_blocks": (1, 8),
    "filters": (1, 1024),
    "filters_growth": (0.5, 4.0),
    "convolutions_per_block": (1, 4),
    "kernel_size": (1, 15),
    "stem_kernel_size": (1, 31),
    "stem_stride": (1, 4),
    "early_filters": (0, 512),
    "n_dense": (0, 3),
    "dense_1": (1, 8192),
    "dense_2": (1, 8192),
    "dense_3": (1, 8192),
    "dropout": (0.0, 0.95),
    "learning_rate": (1e-8, 10.0),
    "weight_decay": (0.0, 1.0),
    "label_smoothing": (0.0, 0.9),
    "contrastive": (0.0, 10.0),
    "batch_size": (1, 8192),
    "augmentation": (0.0, 1.0),
    "augment_slant": (0.0, 3.0),
    "augment_scale": (0.0, 3.0),
    "augment_stroke": (0.0, 3.0),
    "augment_tone": (0.0, 3.0),
    "augment_noise": (0.0, 3.0),
    "augment_binarise": (0.0, 5.0),
}
"""Between which numbers a hyperparameter must lie, both included."""
_PART = "augment_"
_LATER = ("early_filters", "contrastive", "average_weights", *(name for name in RANGES if name.startswith(_PART)))


@dataclass(frozen=True)
class Hyperparameters:
    """Everything that a sweep may vary about a network and its training, with sensible defaults.

    Attributes:
        input_px: side of the square that the network sees; the patch is average-pooled to it (113
            px as it is, or 56 px by 2).
        early_filters: filters of a convolution before the first block, at the input's full
            resolution, with `stem_kernel_size` and a stride of 2 px; 0 for none.
        n_blocks: blocks of convolutions, each at half the resolution of the one before.
        filters: number of filters of the first block's convolutions.
        filters_growth: factor from one block's filters to the next one's, rounded to whole filters.
        convolutions_per_block: convolutions of each block.
        kernel_size: side of the kernels in px, but for the very first convolution.
        stem_kernel_size: side of the first convolution's kernel in px.
        stem_stride: stride of the first block's first convolution in px.
        pooling: `max` or `average`, 2x2 at the end of each block.
        batch_norm: normalise after each convolution; the convolutions then have no bias.
        head: how the last feature map becomes a vector: `flatten`, `global_average`, `global_max`,
            or `global_average_max` (both, one after the other).
        n_dense: dense layers between head and output.
        dense_1: units of the first dense layer; unused where there is none.
        dense_2: units of the second dense layer; unused where there is none.
        dense_3: units of the third dense layer; unused where there is none.
        dropout: share of the inputs that is dropped before every dense layer and before the output.
        optimizer: how weights follow gradients: `adam`, `adamw`, `sgd` (Nesterov momentum 0.9) or
            `rmsprop`.
        learning_rate: the highest learning rate of the fit.
        schedule: how the learning rate moves: `constant`, or `cosine`: a linear warm-up over the
            first 5 % of the horizon, then half a cosine down to zero at its end.
        weight_decay: how fast kernels shrink, per step and times the learning rate (decoupled);
            used by `adamw` and `sgd`.
        label_smoothing: share of the target that is spread over all writers.
        contrastive: weight of a term that draws patches by one hand together in the embedding and
            those by others apart; for hands that training does not see.
        batch_size: patches in one training step.
        average_weights: validate and keep the running mean of the weights, over the last tenth of
            the fit so far.
        augmentation: how much training patches are distorted, from 0 (not at all) to 1; each part
            below is a factor of it.
        augment_slant: of the slant.
        augment_scale: of width, height and place.
        augment_stroke: of the stroke's width.
        augment_tone: of the ink's darkness.
        augment_noise: of the paper's grain and shading.
        augment_binarise: of the share of patches that become ink or paper without greys.

    Raises:
        SpaceError: names the field, the rule and the value.
    """

    input_px: int = 56
    early_filters: int = 0
    n_blocks: int = 3
    filters: int = 24
    filters_growth: float = 2.0
    convolutions_per_block: int = 2
    kernel_size: int = 3
    stem_kernel_size: int = 3
    stem_stride: int = 2
    pooling: str = "max"
    batch_norm: bool = True
    head: str = "global_average"
    n_dense: int = 0
    dense_1: int = 512
    dense_2: int = 256
    dense_3: int = 256
    dropout: float = 0.2
    optimizer: str = "adamw"
    learning_rate: float = 3e-3
    schedule: str = "cosine"
    weight_decay: float = 0.02
    label_smoothing: float = 0.0
    contrastive: float = 0.0
    batch_size: int = 64
    average_weights: bool = False
    augmentation: float = 0.2
    augment_slant: float = 1.0
    augment_scale: float = 1.0
    augment_stroke: float = 1.0
    augment_tone: float = 1.0
    augment_noise: float = 0.0
    augment_binarise: float = 0.0

    def __post_init__(self) -> None:
        """Check the rules."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is float and type(value) is int:
                value = float(value)
                object.__setattr__(self, field.name, value)
            if type(value) is not field.type:
                raise SpaceError(f"{field.name} must be of type {_name(field.type)}, but got {value!r}.")
            if field.name in CHOICES and value not in CHOICES[field.name]:
                raise SpaceError(f"{field.name} must be one of {', '.join(CHOICES[field.name])}, but got {value!r}.")
            if field.name in RANGES:
                _check_range(field.name, value)

    @classmethod
    def from_point(cls, point: Mapping[str, Value]) -> "Hyperparameters":
        """Complete a point by the defaults.

        Raises:
            SpaceError: if a name is not a hyperparameter's, or a value breaks a rule.
        """
        names = [field.name for field in fields(cls)]
        for name in point:
            if name not in names:
                raise SpaceError(f"A hyperparameter must be one of {', '.join(names)}, but got {name!r}.")
        # by a loop over names that were just checked; each value's type is checked at construction
        return cls(**dict(point))  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, Value]:
        """Every hyperparameter by name, the unused ones among them."""
        return asdict(self)

    def as_identity(self) -> dict[str, Value]:
        """What tells two points apart: as `as_dict`, without later hyperparameters that change
        nothing.

        So a fit that began before there was such a hyperparameter is still the same fit.
        """
        neutral = {field.name: field.default for field in fields(self) if field.name in _LATER}
        return {name: value for name, value in asdict(self).items() if name not in neutral or value != neutral[name]}

    @property
    def architecture(self) -> dict[str, Value]:
        """What decides which layers the network has; a dense layer's size only where there is
        one.
        """
        unused = {f"dense_{place}" for place in range(self.n_dense + 1, 4)}
        return {name: value for name, value in asdict(self).items() if name not in {*NO_ARCHITECTURE, *unused}}

    @property
    def augmentation_parts(self) -> dict[str, float]:
        """The strength of each part of the augmentation, at most 1."""
        parts = [field.name for field in fields(self) if field.name.startswith(_PART)]
        return {name.removeprefix(_PART): min(1.0, self.augmentation * getattr(self, name)) for name in parts}

    @property
    def dense_units(self) -> tuple[int, ...]:
        """Units of the dense layers that are used, in order."""
        return (self.dense_1, self.dense_2, self.dense_3)[: self.n_dense]

    @property
    def block_filters(self) -> tuple[int, ...]:
        """Filters of each block's convolutions, in order."""
        return tuple(max(1, round(self.filters * self.filters_growth**block)) for block in range(self.n_blocks))


def _check_range(name: str, value: float) -> None:
    low, high = RANGES[name]
    if not math.isfinite(value) or not low <= value <= high:
        raise SpaceError(f"{name} must lie in [{low}, {high}], but got {value}.")


def _name(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)
