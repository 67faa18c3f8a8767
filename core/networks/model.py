"""Hyperparameters to a Keras network and its optimizer."""

from collections.abc import Sequence

import keras

from core.errors import ModelError
from core.networks.hyperparameters import Hyperparameters
from core.networks.inference import LOGITS_LAYER, NETWORK_NAME
from core.networks.layer_plan import EARLY_STRIDE, convolutions_of, plan_layers

WARM_UP_SHARE = 0.05  # of the horizon's steps
_MOMENTUM = 0.9


def build_model(
    hyperparameters: Hyperparameters, patch_shape: Sequence[int], n_writers: int, seed: int = 0
) -> keras.Model:
    """Build the patch network, uncompiled, of Keras' own layers only: a saved model loads without
    this package.

    Scaling, inversion (ink 1, paper 0) and shrinking are layers of it, so that it takes patches as
    they are stored. Under the policy `mixed_bfloat16` the logits and the softmax are still computed
    in float32.

    Args:
        hyperparameters: of the network; those of the training are not looked at.
        patch_shape: (height, width, 1) of a patch, a square.
        n_writers: length of the output.
        seed: of the first weights and of dropout.

    Returns:
        A model from patches (n, height, width, 1) of any number type, 0 ink to 255 paper, to
        probabilities (n, n_writers) in float32. Its layer `logits` gives their logarithms up to a
        constant.

    Raises:
        ModelError: if no such network can be built, or it would have more than 50 million weights.
    """
    if len(patch_shape) != 3 or patch_shape[0] != patch_shape[1] or patch_shape[2] != 1:
        raise ModelError(f"The shape of a patch must be (side, side, 1), but got {tuple(patch_shape)}.")
    plan = plan_layers(hyperparameters, patch_shape[0], n_writers)
    seeds = _Seeds(seed)
    inputs = keras.Input(tuple(patch_shape), name="patches")
    x = inputs
    if plan.shrink > 1:
        x = keras.layers.AveragePooling2D(plan.shrink, name="shrink")(x)
    x = keras.layers.Rescaling(-1 / 255, offset=1.0, name="ink")(x)
    if hyperparameters.early_filters:
        kernel = hyperparameters.stem_kernel_size
        x = _convolution(x, hyperparameters, hyperparameters.early_filters, (kernel, EARLY_STRIDE), "early_{}", seeds)
        x = keras.layers.ReLU(name="early_relu")(x)
    for block, filters in enumerate(hyperparameters.block_filters):
        x = _block(x, hyperparameters, block, filters, seeds)
    x = _head(x, hyperparameters.head)
    for place, units in enumerate(hyperparameters.dense_units, start=1):
        x = _dropped(x, hyperparameters.dropout, f"dropout_{place}", seeds)
        x = keras.layers.Dense(units, activation="relu", kernel_initializer=_he_normal(seeds), name=f"dense_{place}")(x)
    x = _dropped(x, hyperparameters.dropout, "dropout_output", seeds)
    initializer = keras.initializers.GlorotUniform(seeds.next())
    x = keras.layers.Dense(n_writers, kernel_initializer=initializer, dtype="float32", name=LOGITS_LAYER)(x)
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, probabilities, name=NETWORK_NAME)


def build_optimizer(hyperparameters: Hyperparameters, n_steps: int) -> keras.optimizers.Optimizer:
    """Build the optimizer with its learning-rate schedule.

    Weight decay is decoupled (Loshchilov and Hutter 2019) and spares biases and batch norm.

    Args:
        hyperparameters: of the training.
        n_steps: batches in the trial's full horizon, over which the schedule runs.
    """
    rate = _learning_rate(hyperparameters, n_steps)
    optimizer: keras.optimizers.Optimizer
    match hyperparameters.optimizer:
        case "adam":
            return keras.optimizers.Adam(rate)
        case "rmsprop":
            return keras.optimizers.RMSprop(rate)
        case "adamw":
            optimizer = keras.optimizers.AdamW(rate, weight_decay=hyperparameters.weight_decay)
        case _:
            decay = hyperparameters.weight_decay
            optimizer = keras.optimizers.SGD(rate, momentum=_MOMENTUM, nesterov=True, weight_decay=decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


class _Seeds:
    """Counts up, so that no two layers start alike."""

    def __init__(self, seed: int) -> None:
        self._next = seed * 1000

    def next(self) -> int:
        self._next += 1
        return self._next


def _he_normal(seeds: _Seeds) -> keras.initializers.Initializer:
    return keras.initializers.HeNormal(seeds.next())


def _block(
    x: keras.KerasTensor, hyperparameters: Hyperparameters, block: int, filters: int, seeds: _Seeds
) -> keras.KerasTensor:
    for place, size in enumerate(convolutions_of(hyperparameters, block), start=1):
        name = f"block_{block + 1}_{{}}_{place}"
        x = _convolution(x, hyperparameters, filters, size, name, seeds)
        x = keras.layers.ReLU(name=name.format("relu"))(x)
    pooling = keras.layers.MaxPooling2D if hyperparameters.pooling == "max" else keras.layers.AveragePooling2D
    return pooling(2, name=f"block_{block + 1}_pooling")(x)


def _convolution(
    x: keras.KerasTensor,
    hyperparameters: Hyperparameters,
    filters: int,
    size: tuple[int, int],
    name: str,
    seeds: _Seeds,
) -> keras.KerasTensor:
    """A convolution of (kernel, stride) and its batch norm."""
    kernel, stride = size
    x = keras.layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        use_bias=not hyperparameters.batch_norm,
        kernel_initializer=_he_normal(seeds),
        name=name.format("convolution"),
    )(x)
    if hyperparameters.batch_norm:
        x = keras.layers.BatchNormalization(momentum=0.95, name=name.format("batch_norm"))(x)
    return x


def _head(x: keras.KerasTensor, head: str) -> keras.KerasTensor:
    match head:
        case "flatten":
            return keras.layers.Flatten(name="flatten")(x)
        case "global_average":
            return keras.layers.GlobalAveragePooling2D(name="global_average")(x)
        case "global_max":
            return keras.layers.GlobalMaxPooling2D(name="global_max")(x)
    average = keras.layers.GlobalAveragePooling2D(name="global_average")(x)
    largest = keras.layers.GlobalMaxPooling2D(name="global_max")(x)
    return keras.layers.Concatenate(name="global_average_max")([average, largest])


def _dropped(x: keras.KerasTensor, rate: float, name: str, seeds: _Seeds) -> keras.KerasTensor:
    return keras.layers.Dropout(rate, seed=seeds.next(), name=name)(x) if rate > 0 else x


def _learning_rate(hyperparameters: Hyperparameters, n_steps: int) -> float | keras.optimizers.schedules.CosineDecay:
    rate = hyperparameters.learning_rate
    if hyperparameters.schedule == "constant":
        return rate
    n_warm_up = min(round(WARM_UP_SHARE * n_steps), n_steps - 1)
    if n_warm_up < 1:
        return keras.optimizers.schedules.CosineDecay(rate, max(n_steps, 1))
    return keras.optimizers.schedules.CosineDecay(0.0, n_steps - n_warm_up, warmup_target=rate, warmup_steps=n_warm_up)
