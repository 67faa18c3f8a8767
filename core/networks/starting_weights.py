"""The weights of a trained network, for another one to begin with: all but the last layer's.

The last layer has a row for each writer, and other writers need other ones. What is below it (the
running statistics of batch norm among it) describes handwriting.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.durable_files import write_atomically
from core.errors import ModelError
from core.networks.layer_plan import Shapes, differences_of

if TYPE_CHECKING:  # the driver reads files of weights, too, and does without TensorFlow
    import keras

Weights = Mapping[str, Sequence[NDArray[np.generic]]]
"""The arrays of each layer that has some, by its name, from the input on."""
_LAYERS = "layers"


def weights_below_the_last_layer(model: "keras.Model") -> Weights:
    """The weights of all layers but the last one that has any."""
    *below, _ = [layer for layer in model.layers if layer.weights]
    return {layer.name: [np.asarray(weight) for weight in layer.get_weights()] for layer in below}


def begin_with(model: "keras.Model", weights: Weights, source: str) -> None:
    """Give a network the weights of another one; its last layer keeps its own.

    Args:
        model: has not been trained.
        weights: of the other network.
        source: what to call that.

    Raises:
        ModelError: if the layers of the two, but for the last one, differ in name or shape.
    """
    own = weights_below_the_last_layer(model)
    if wrong := differences_of(shapes_of(weights), shapes_of(own), source):
        raise ModelError(f"{wrong} Give both the same architecture, or leave training.start_from out.")
    for name, arrays in weights.items():
        model.get_layer(name).set_weights(list(arrays))


def shapes_of(weights: Weights) -> Shapes:
    """The shapes of each layer's arrays."""
    return {name: tuple(tuple(array.shape) for array in arrays) for name, arrays in weights.items()}


def save_weights(weights: Weights, path: Path) -> str:
    """Write weights into a file, whole or not at all.

    Returns:
        The SHA-256 of the file.

    Raises:
        OSError: if it cannot be written.
    """
    arrays = {f"{name}/{place}": array for name, of_layer in weights.items() for place, array in enumerate(of_layer)}
    header = np.frombuffer(json.dumps({name: len(arrays) for name, arrays in weights.items()}).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{_LAYERS: header, **arrays})
    content = buffer.getvalue()
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def load_weights(path: Path, sha256: str | None = None) -> Weights:
    """Read what `save_weights` wrote.

    Args:
        path: of the file.
        sha256: its expected hash, where it is known.

    Raises:
        ModelError: if the file is missing, damaged or of another content.
    """
    try:
        content = path.read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:  # zip's own checksums find damage
            layers: dict[str, int] = json.loads(archive[_LAYERS].tobytes())
            weights = {name: [archive[f"{name}/{place}"] for place in range(n)] for name, n in layers.items()}
    except FileNotFoundError:
        raise ModelError(f"Weights to begin with must lie in {path}, but that file is gone.") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} must hold weights to begin with, but is damaged: {error}.") from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise ModelError(f"{path} must have the hash {sha256[:12]}, but has {found[:12]}; it was changed.")
    return weights
