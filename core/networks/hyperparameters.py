"""The typed point from which a network and its training are made, the default space, and the plan
of layers.

The plan says what a network will look like before it is built: sizes, weights and arithmetic,
without TensorFlow. It refuses points that cannot become a network, in microseconds, so that a
sweep's driver can test a space.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields

from core.errors import ModelError, SpaceError
from core.space import Categorical, Condition, Integer, Real, SearchSpace, Value

TRAINING_HYPERPARAMETERS = (
    "optimizer",
    "learning_rate",
    "schedule",
    "weight_decay",
    "label_smoothing",
    "batch_size",
    "augmentation",
)
"""Those that count whoever has built the network."""
MAX_WEIGHTS = 50_000_000  # 200 MB in float32, and as much again for each of Adam's two moments
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
    "n_dense": (0, 3),
    "dense_1": (1, 8192),
    "dense_2": (1, 8192),
    "dense_3": (1, 8192),
    "dropout": (0.0, 0.95),
    "learning_rate": (1e-8, 10.0),
    "weight_decay": (0.0, 1.0),
    "label_smoothing": (0.0, 0.9),
    "batch_size": (1, 8192),
    "augmentation": (0.0, 1.0),
}
"""Between which numbers a hyperparameter must lie, both included."""


@dataclass(frozen=True)
class Hyperparameters:
    """Everything that a sweep may vary about a network and its training, with sensible defaults.

    Attributes:
        input_px: side of the square that the network sees; the patch is average-pooled to it (113
            px as it is, or 56 px by 2).
        n_blocks: blocks of convolutions, each followed by a 2x2 pooling.
        filters: number of filters of the first block's convolutions.
        filters_growth: factor from one block's filters to the next one's, rounded to whole filters.
        convolutions_per_block: convolutions before each pooling.
        kernel_size: side of the kernels in px, but for the very first convolution.
        stem_kernel_size: side of the first convolution's kernel in px.
        stem_stride: stride of the first convolution in px.
        pooling: `max` or `average`, at the end of each block.
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
        batch_size: patches in one training step.
        augmentation: how much training patches are distorted, from 0 (not at all) to 1.

    Raises:
        SpaceError: names the field, the rule and the value.
    """

    input_px: int = 56
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
    batch_size: int = 64
    augmentation: float = 0.2

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

    @property
    def dense_units(self) -> tuple[int, ...]:
        """Units of the dense layers that are used, in order."""
        return (self.dense_1, self.dense_2, self.dense_3)[: self.n_dense]

    @property
    def block_filters(self) -> tuple[int, ...]:
        """Filters of each block's convolutions, in order."""
        return tuple(max(1, round(self.filters * self.filters_growth**block)) for block in range(self.n_blocks))


def seed_recipe() -> Hyperparameters:
    """The published three-block patch CNN: the baseline of every sweep, and its trial 0.

    56x56 inputs, 32/64/128 filters (5x5 with stride 2, then 3x3), max-pooling after each, dropout
    0.5 before the dense layers of 512 and 256 and before the output, Adam at 1e-3: 827,698 weights
    for 50 writers.
    """
    return Hyperparameters(
        input_px=56,
        n_blocks=3,
        filters=32,
        filters_growth=2.0,
        convolutions_per_block=1,
        kernel_size=3,
        stem_kernel_size=5,
        stem_stride=2,
        pooling="max",
        batch_norm=False,
        head="flatten",
        n_dense=2,
        dense_1=512,
        dense_2=256,
        dropout=0.5,
        optimizer="adam",
        learning_rate=1e-3,
        schedule="constant",
        label_smoothing=0.0,
        batch_size=128,
        augmentation=0.0,
    )


def default_space() -> SearchSpace:
    """The space that a sweep searches if its file names none; it holds the seed recipe and the
    defaults.

    Every point of it can be built for patches of 113 px. One forward pass of a patch costs at most
    50 times the seed recipe's arithmetic, half of the points less than 3 times (`plan_layers`
    counts it).
    """
    return SearchSpace(
        (
            Categorical("input_px", (56, 113)),
            Integer("n_blocks", 3, 4),
            Categorical("filters", (16, 24, 32, 48)),
            Categorical("filters_growth", (1.0, 1.5, 2.0)),
            Integer("convolutions_per_block", 1, 2),
            Categorical("stem_kernel_size", (3, 5, 7)),
            # at 113 px the default stride of 2 stays: with 1, a patch would cost four times as much
            Integer("stem_stride", 1, 2, when=Condition("input_px", (56,))),
            Categorical("pooling", ("max", "average")),
            Categorical("batch_norm", (True, False)),
            Categorical("head", ("global_average", "global_average_max", "flatten")),
            Integer("n_dense", 0, 2),
            Integer("dense_1", 128, 512, 128, when=Condition("n_dense", (1, 2))),
            Integer("dense_2", 128, 512, 128, when=Condition("n_dense", (2,))),
            Real("dropout", 0.0, 0.5, step=0.1),
            Categorical("optimizer", ("adamw", "adam")),
            Real("learning_rate", 3e-4, 1e-2, log=True),
            Categorical("schedule", ("cosine", "constant")),
            Real("weight_decay", 1e-3, 0.3, log=True, when=Condition("optimizer", ("adamw",))),
            Real("label_smoothing", 0.0, 0.2, step=0.05),
            Categorical("batch_size", (32, 64, 128)),
            Real("augmentation", 0.0, 1.0, step=0.1),
        )
    )


@dataclass(frozen=True)
class LayerPlan:
    """The shapes of a network.

    Attributes:
        shrink: factor of the average pooling that makes `input_px` of the patch.
        block_sizes: side of the square feature map after each block (and its pooling), in px.
        head_size: length of the vector that the head gives.
        n_weights: trained ones and the running statistics of batch norm.
        n_multiplications: of one patch in one forward pass, convolutions and dense layers only.
    """

    shrink: int
    block_sizes: tuple[int, ...]
    head_size: int
    n_weights: int
    n_multiplications: int


def plan_layers(hyperparameters: Hyperparameters, patch_px: int, n_writers: int) -> LayerPlan:
    """Follow the feature map through the network.

    Args:
        hyperparameters: of the network.
        patch_px: side of the square patch.
        n_writers: length of the output, at least 2.

    Raises:
        ModelError: if the input cannot be shrunk as asked, the feature map shrinks to nothing, or
            there would be more than 50 million weights.
    """
    if n_writers < 2:
        raise ModelError(f"A network must tell 2 writers or more apart, but got {n_writers=}.")
    shrink = _shrink(patch_px, hyperparameters.input_px)
    size, channels, n_weights, n_multiplications = hyperparameters.input_px, 1, 0, 0
    block_sizes = []
    for block, filters in enumerate(hyperparameters.block_filters):
        for kernel, stride in convolutions_of(hyperparameters, block):
            size = -(-size // stride)
            kernel_weights = kernel * kernel * channels * filters
            n_weights += kernel_weights + filters * (4 if hyperparameters.batch_norm else 1)
            n_multiplications += kernel_weights * size * size
            channels = filters
        size = _pooled(size, block, hyperparameters)
        block_sizes.append(size)
    head_size = channels * {"flatten": size * size, "global_average_max": 2}.get(hyperparameters.head, 1)
    n_inputs = head_size
    for units in (*hyperparameters.dense_units, n_writers):
        n_weights += (n_inputs + 1) * units
        n_multiplications += n_inputs * units
        n_inputs = units
    if n_weights > MAX_WEIGHTS:
        raise ModelError(
            f"A network may have {MAX_WEIGHTS:,} weights, but these hyperparameters give {n_weights:,}; take fewer "
            f"filters or dense units, more blocks, or a global head (head={hyperparameters.head} gives {head_size:,})."
        )
    return LayerPlan(shrink, tuple(block_sizes), head_size, n_weights, n_multiplications)


def possible_inputs(patch_px: int) -> tuple[int, ...]:
    """The values of `input_px` to which a patch of that side can be shrunk, the largest first.

    >>> possible_inputs(113)[:4]
    (113, 56, 37, 28)
    """
    return tuple(sorted({patch_px // factor for factor in range(1, patch_px // 8 + 1)}, reverse=True))


def convolutions_of(hyperparameters: Hyperparameters, block: int) -> Iterator[tuple[int, int]]:
    """Give (side of the kernel, stride) of each convolution of a block, counted from 0; padding is
    `same`.
    """
    for place in range(hyperparameters.convolutions_per_block):
        is_stem = block == 0 and place == 0
        yield (
            (hyperparameters.stem_kernel_size, hyperparameters.stem_stride)
            if is_stem
            else (hyperparameters.kernel_size, 1)
        )


def _check_range(name: str, value: float) -> None:
    low, high = RANGES[name]
    if not math.isfinite(value) or not low <= value <= high:
        raise SpaceError(f"{name} must lie in [{low}, {high}], but got {value}.")


def _name(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _shrink(patch_px: int, input_px: int) -> int:
    shrink = patch_px // input_px
    if shrink < 1 or patch_px // shrink != input_px:
        possible = possible_inputs(patch_px)
        raise ModelError(
            f"input_px must be a patch's side divided by a whole number, but got input_px={input_px} for patches of "
            f"{patch_px} px; possible are {', '.join(str(size) for size in possible)}."
        )
    return shrink


def _pooled(size: int, block: int, hyperparameters: Hyperparameters) -> int:
    if size < 2:
        raise ModelError(
            f"A block must have 2 px or more to pool, but block {block + 1} of {hyperparameters.n_blocks} has a "
            f"feature map of {size}x{size} (input_px={hyperparameters.input_px}, "
            f"stem_stride={hyperparameters.stem_stride}); take {block} blocks, a larger input or a smaller stride."
        )
    return size // 2
