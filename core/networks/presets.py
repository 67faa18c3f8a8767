"""The points and spaces that have a name."""

from core.networks.hyperparameters import Hyperparameters
from core.space import Categorical, Condition, Integer, Real, SearchSpace


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


def recipe_space() -> SearchSpace:
    """The published recipe with its numbers free: three blocks of a convolution and a max-pooling,
    one or two dense layers, ReLU, Adam; filters, dense units, dropout, learning rate and batch size
    are searched.
    """
    return SearchSpace(
        (
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
    ).with_fixed({name: value for name, value in seed_recipe().as_dict().items() if name in _FIXED_IN_RECIPE})


def small_space() -> SearchSpace:
    """Networks of two early strides for sweeps of some minutes on two cores."""
    return _early_space((8, 12, 16), (4, 8), (1, 2))


def standard_space() -> SearchSpace:
    """Networks of two early strides for sweeps of half an hour on two cores."""
    return _early_space((16, 24, 32), (8, 16), (2,))


def large_space() -> SearchSpace:
    """Networks of two early strides for sweeps of many hours, or of many cores."""
    return _early_space((32, 48, 64), (16, 32), (2, 3))


_FIXED_IN_RECIPE = {
    *("input_px", "n_blocks", "convolutions_per_block", "kernel_size", "stem_stride", "pooling", "batch_norm"),
    *("head", "optimizer", "schedule", "label_smoothing", "augmentation"),
}


def _early_space(filters: tuple[int, ...], early: tuple[int, ...], convolutions: tuple[int, ...]) -> SearchSpace:
    """A space whose networks see the whole patch, and halve it by two strides before they pool."""
    return SearchSpace(
        (
            Categorical("early_filters", early),
            Categorical("stem_kernel_size", (3, 5, 7)),
            Categorical("filters", filters),
            Categorical("filters_growth", (1.5, 2.0)),
            Categorical("convolutions_per_block", convolutions),
            Categorical("head", ("global_average", "global_average_max")),
            Real("dropout", 0.0, 0.4, step=0.1),
            Real("learning_rate", 1e-3, 1e-2, log=True),
            Real("weight_decay", 1e-3, 0.3, log=True),
            Real("label_smoothing", 0.0, 0.1, step=0.05),
            Categorical("batch_size", (32, 64)),
            Real("augmentation", 0.0, 0.6, step=0.1),
        )
    ).with_fixed(
        {
            "input_px": 113,
            "n_blocks": 3,
            "stem_stride": 2,
            "pooling": "max",
            "batch_norm": True,
            "n_dense": 0,
            "optimizer": "adamw",
            "schedule": "cosine",
        }
    )
