"""What a network will look like before it is built: sizes, weights and arithmetic, without
TensorFlow.

It refuses points that cannot become a network, in microseconds, so that a sweep's driver can test a
space.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.errors import ModelError
from core.networks.hyperparameters import Hyperparameters

MAX_WEIGHTS = 50_000_000  # 200 MB in float32, and as much again for each of Adam's two moments
EARLY_STRIDE = 2
Shapes = Mapping[str, tuple[tuple[int, ...], ...]]
"""The shapes of the weights of each layer that has some, by its name, from the input on."""
_NAMED = 3  # so many differences are told


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
    per_filter = 4 if hyperparameters.batch_norm else 1
    if hyperparameters.early_filters:
        size, n_weights = -(-size // EARLY_STRIDE), hyperparameters.stem_kernel_size**2 * hyperparameters.early_filters
        n_multiplications = n_weights * size * size
        channels = hyperparameters.early_filters
        n_weights += channels * per_filter
    block_sizes = []
    for block, filters in enumerate(hyperparameters.block_filters):
        for kernel, stride in convolutions_of(hyperparameters, block):
            size = -(-size // stride)
            kernel_weights = kernel * kernel * channels * filters
            n_weights += kernel_weights + filters * per_filter
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
        kernel, stride = hyperparameters.kernel_size, 1
        if place == 0 and block == 0:
            kernel = kernel if hyperparameters.early_filters else hyperparameters.stem_kernel_size
            stride = hyperparameters.stem_stride
        yield kernel, stride


def shapes_below_the_last_layer(hyperparameters: Hyperparameters, patch_px: int) -> Shapes:
    """The shapes of the weights of all layers but the last one, as `build_model` makes them.

    Args:
        hyperparameters: of the network.
        patch_px: side of the square patch.

    Raises:
        ModelError: if no such network can be built.
    """
    head_size = plan_layers(hyperparameters, patch_px, 2).head_size
    shapes: dict[str, tuple[tuple[int, ...], ...]] = {}
    channels = 1

    def add(name: str, kernel: int, filters: int) -> None:
        nonlocal channels
        bias = () if hyperparameters.batch_norm else ((filters,),)
        shapes[name.format("convolution")] = ((kernel, kernel, channels, filters), *bias)
        if hyperparameters.batch_norm:
            shapes[name.format("batch_norm")] = ((filters,),) * 4
        channels = filters

    if hyperparameters.early_filters:
        add("early_{}", hyperparameters.stem_kernel_size, hyperparameters.early_filters)
    for block, filters in enumerate(hyperparameters.block_filters):
        for place, (kernel, _) in enumerate(convolutions_of(hyperparameters, block), start=1):
            add(f"block_{block + 1}_{{}}_{place}", kernel, filters)
    n_inputs = head_size
    for place, units in enumerate(hyperparameters.dense_units, start=1):
        shapes[f"dense_{place}"] = ((n_inputs, units), (units,))
        n_inputs = units
    return shapes


def differences_of(source: Shapes, own: Shapes, name: str) -> str:
    """What keeps a network from beginning with another one's weights, in a sentence; empty if
    nothing does.

    Args:
        source: of the other network.
        own: of the network.
        name: of the other network.
    """
    unlike = [layer for layer in dict.fromkeys((*own, *source)) if own.get(layer) != source.get(layer)]
    if not unlike:
        return ""
    told = "; ".join(
        f"{layer} is {_in_words(source.get(layer))} there and {_in_words(own.get(layer))} here"
        for layer in unlike[:_NAMED]
    )
    more = f"; and {len(unlike) - _NAMED} more" if len(unlike) > _NAMED else ""
    return (
        f"A network begins with the weights of one of its own architecture, but that of {name} differs: {told}{more}."
    )


def _in_words(shapes: tuple[tuple[int, ...], ...] | None) -> str:
    return "missing" if not shapes else "x".join(map(str, shapes[0]))


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
