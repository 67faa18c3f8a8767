"""The points and spaces that have a name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from core.networks.hyperparameters import Hyperparameters
from core.space import Categorical, Condition, Dimension, Integer, Real, SearchSpace


def seed_recipe() -> Hyperparameters:
    """The published three-block patch CNN: the baseline of every sweep.

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


@dataclass(frozen=True)
class Preset:
    """A space with a name.

    Attributes:
        space: what is searched.
        middle: its usual point; a point that leaves a hyperparameter out has this one's value.
    """

    space: SearchSpace
    middle: Hyperparameters


def find_preset(name: str) -> Preset:
    """The preset of that name, one of `PRESETS`."""
    return PRESETS[name]()


def recipe_preset() -> Preset:
    """The published recipe with its numbers free: three blocks of a convolution and a max-pooling,
    one or two dense layers, ReLU, Adam; filters, dense units, dropout, learning rate and batch size
    are searched.
    """
    dimensions = (
        Categorical("filters", (16, 24, 32, 48, 64)),
        Categorical("filters_growth", (1.0, 1.5, 2.0)),
        Categorical("stem_kernel_size", (3, 5, 7)),
        Integer("n_dense", 1, 2),
        Integer("dense_1", 128, 1024, 128),
        Integer("dense_2", 128, 512, 128, when=Condition("n_dense", (2,))),
        Real("dropout", 0.0, 0.5, step=0.1),
        Real("learning_rate", 1e-4, 1e-2, log=True),
        Categorical("batch_size", (32, 64, 128)),
    )
    return _preset(seed_recipe(), dimensions)


def small_preset() -> Preset:
    """As `standard`, with networks of at most 0.9 times the seed recipe's arithmetic, its middle
    0.3 times: for sweeps of some minutes on two cores, whose short fits want less augmentation.
    """
    own = Categorical("filters", (8, 12, 16, 24)), Real("augmentation", 0.0, 0.6, step=0.1)
    return _patchwise_preset(replace(_PATCHWISE, filters=16, augmentation=0.2), *own)


def standard_preset() -> Preset:
    """The space that a sweep searches if its file names none: networks whose first convolution
    takes the whole patch of 113 px in strides of 4 px, so that full resolution costs next to
    nothing, with a convolution in each of three or four blocks.

    Every point can be built for patches of 113 px. A forward pass of a patch costs 0.5 to 1.5 times
    the seed recipe's arithmetic (`plan_layers` counts it), its middle 1.0 times: some half an
    hour of two cores for a sweep.
    """
    return _patchwise_preset(_PATCHWISE, Categorical("filters", (24, 32)), _MUCH_AUGMENTATION)


def large_preset() -> Preset:
    """As `standard`, with one or two convolutions in each block and 0.9 to 18 times the seed
    recipe's arithmetic, its middle 2.1 times: for sweeps of many hours, or of many cores.
    """
    widths = Categorical("filters", (32, 48, 64)), Integer("convolutions_per_block", 1, 2)
    return _patchwise_preset(replace(_PATCHWISE, filters=48), *widths, _MUCH_AUGMENTATION)


def pooled_preset() -> Preset:
    """The default space of version 0.1: networks that pool the patch to 56 px or have one stride.

    It holds the seed recipe and the defaults. One forward pass of a patch costs at most 50 times
    the seed recipe's arithmetic, half of the points less than 3 times.
    """
    dimensions = (
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
    return Preset(SearchSpace(dimensions), Hyperparameters())


PRESETS: Mapping[str, Callable[[], Preset]] = {
    "recipe": recipe_preset,
    "small": small_preset,
    "standard": standard_preset,
    "large": large_preset,
    "pooled": pooled_preset,
}
"""Each preset by its name."""
_PATCHWISE = Hyperparameters(
    input_px=113,
    n_blocks=3,
    filters=32,
    convolutions_per_block=1,
    stem_kernel_size=7,
    stem_stride=4,
    head="global_average_max",
    dropout=0.0,
    learning_rate=4e-3,
    augmentation=0.5,
    batch_size=16,
    average_weights=True,
)


_MUCH_AUGMENTATION = Real("augmentation", 0.4, 0.8, step=0.1)
"""A long fit wants more than the trials of a sweep would choose."""


def _patchwise_preset(middle: Hyperparameters, *own: Dimension) -> Preset:
    dimensions = (
        *own,
        Integer("n_blocks", 3, 4),
        Categorical("stem_kernel_size", (5, 7, 9)),
        Categorical("head", ("global_average", "global_average_max")),
        Real("dropout", 0.0, 0.2, step=0.1),
        Real("learning_rate", 2e-3, 1e-2, log=True),
        Real("weight_decay", 3e-3, 0.1, log=True),
        Real("label_smoothing", 0.0, 0.1, step=0.05),
        Categorical("batch_size", (16, 32)),
    )
    return _preset(middle, dimensions)


def _preset(middle: Hyperparameters, dimensions: tuple[Dimension, ...]) -> Preset:
    """The dimensions, and everything else fixed as in the middle."""
    searched = {dimension.name for dimension in dimensions}
    fixed = {name: value for name, value in middle.as_identity().items() if name not in searched}
    unused = {f"dense_{place}" for place in range(middle.n_dense + 1, 4)}
    return Preset(SearchSpace(dimensions).with_fixed({k: v for k, v in fixed.items() if k not in unused}), middle)
