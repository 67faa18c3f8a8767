"""A trial's network as a folder that MLflow and whosehand can both load.

MLflow's part of the folder says how to load the network and what it takes and gives. Ours,
`whosehand.json`, says what MLflow has no place for: which writer each class is, and how the pixels
were prepared. The worker saves, the driver only hands the folder on, so that it needs no
TensorFlow.
"""

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import search.tracking  # noqa: F401  (throws MLflow's switches before MLflow is imported)
from core.errors import RegistryError
from core.identification.model_record import ModelRecord, own_layers

if TYPE_CHECKING:
    import keras

REQUIRED_DISTRIBUTIONS = ("tensorflow", "keras", "numpy")


def save_model(model: "keras.Model", folder: Path, record: ModelRecord, example: npt.NDArray[np.uint8]) -> Path:
    """Save a network with its signature, an input example and its record.

    The requirements are given and not inferred: inferring starts a process that imports TensorFlow,
    6 to 11 s. One patch is enough as an example: MLflow writes it twice as JSON text, 0.1 s a
    patch.

    Args:
        model: takes patches of (n, height, width, 1) in 0..255, gives probabilities of (n,
            n_writers).
        folder: must not exist, or be empty.
        record: goes with it.
        example: (n, height, width, 1) patches, at least one; the first is kept.

    Returns:
        The folder.
    """
    import mlflow.tensorflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    # Without names: MLflow would hand named inputs to the network as a mapping, which a one-input
    # network refuses.
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *example.shape[1:]))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, len(record.writer_ids)))]),
    )
    mlflow.tensorflow.save_model(
        _without_optimizer(model),
        str(folder),
        signature=signature,
        input_example=example[:1],
        pip_requirements=[f"{name}=={installed_version(name)}" for name in REQUIRED_DISTRIBUTIONS],
    )
    record.save(folder)
    return folder


def installed_version(name: str) -> str:
    """The version of a distribution, also where its variant for processors alone is installed, such
    as tensorflow-cpu: a model needs either.
    """
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return metadata.version(f"{name}-cpu")


def load_model(folder: Path) -> "keras.Model":
    """Load the network of a model folder, for prediction only.

    Raises:
        RegistryError: if MLflow or Keras cannot load it.
    """
    import mlflow.tensorflow
    from mlflow.exceptions import MlflowException

    try:
        with own_layers(folder):
            return mlflow.tensorflow.load_model(str(folder), keras_model_kwargs={"compile": False})
    except (MlflowException, OSError, ValueError, TypeError) as error:
        raise RegistryError(f"The model in {folder} cannot be loaded: {error}") from error


def network_file(folder: Path) -> Path:
    """Where MLflow has put the network in a model folder: a `.keras` file, which Keras alone can
    load.
    """
    return folder / "data" / "model.keras"


def _without_optimizer(model: Any) -> Any:
    """The network alone: Adam's moments would make the file three times as large."""
    if getattr(model, "optimizer", None) is None:
        return model
    bare = type(model).from_config(model.get_config())
    bare.set_weights(model.get_weights())
    return bare
