"""A trained model as a folder that MLflow and whosehand can both load.

MLflow's part of the folder says how to load the network and what it takes and gives. Ours, `whosehand.json`, says what
MLflow has no place for: which writer each class is, and how the pixels were prepared. The worker saves, the driver
only hands the folder on, so that it needs no TensorFlow.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import search.tracking.mlflow_environment  # noqa: F401  (before MLflow, which is imported below, late: it takes a second)
from core.errors import RegistryError
from core.ink import InkSettings
from core.patches import PatchSettings

if TYPE_CHECKING:
    import keras

CARD_FILE = "whosehand.json"
CARD_FORMAT = 1
REQUIRED_DISTRIBUTIONS = ("tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class ModelCard:
    """What must be known to name writers with a saved network.

    Attributes:
        writer_ids: class k of the network is `writer_ids[k]`.
        ink: how lines were found, scaled and toned.
        patches: how patches were cut from the lines.
        corpus: name of the corpus it was trained on.
        split_hash: of the division into training, validation and test pages.
        test_hash: of the sealed test pages alone.
        scores: final scores by name, of validation unless the name says otherwise.
        version: of whosehand.
        warning: what everyone must know who sees the scores, such as that the split leaks; empty if nothing.
    """

    writer_ids: tuple[str, ...]
    ink: InkSettings
    patches: PatchSettings
    corpus: str
    split_hash: str
    test_hash: str
    scores: Mapping[str, float]
    version: str
    warning: str = ""

    def save(self, folder: Path) -> None:
        """Write `whosehand.json` into a model folder."""
        card = asdict(self) | {
            "format": CARD_FORMAT,
            "ink": self.ink.model_dump(mode="json"),
            "patches": self.patches.model_dump(mode="json"),
        }
        (folder / CARD_FILE).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ModelCard":
        """Read `whosehand.json` of a model folder.

        Raises:
            RegistryError: if the folder is none of whosehand's models, or of a later format.
        """
        try:
            card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RegistryError(f"A model of whosehand holds a {CARD_FILE}, but {folder} has none.") from error
        except (OSError, ValueError) as error:
            raise RegistryError(f"The model's {folder / CARD_FILE} cannot be read: {error}.") from error
        if card.pop("format", None) != CARD_FORMAT:
            raise RegistryError(f"{folder / CARD_FILE} is not of format {CARD_FORMAT}; update whosehand to load it.")
        try:
            return cls(
                **card
                | {
                    "writer_ids": tuple(card["writer_ids"]),
                    "ink": InkSettings(**card["ink"]),
                    "patches": PatchSettings(**card["patches"]),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RegistryError(f"The model's {folder / CARD_FILE} is damaged: {error}.") from error


def save_model(model: "keras.Model", folder: Path, card: ModelCard, example: npt.NDArray[np.uint8]) -> Path:
    """Save a network with its signature, an input example and its card.

    The requirements are given and not inferred: inferring starts a process that imports TensorFlow, 6 to 11 s.
    One patch is enough as an example: MLflow writes it twice as JSON text, 0.1 s a patch.

    Args:
        model: takes patches of (n, height, width, 1) in 0..255, gives probabilities of (n, n_writers).
        folder: must not exist, or be empty.
        card: goes with it.
        example: (n, height, width, 1) patches, at least one; the first is kept.

    Returns:
        The folder.
    """
    import mlflow.tensorflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    # Without names: MLflow would hand named inputs to the network as a mapping, which a one-input network refuses.
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *example.shape[1:]))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, len(card.writer_ids)))]),
    )
    mlflow.tensorflow.save_model(
        _without_optimizer(model),
        str(folder),
        signature=signature,
        input_example=example[:1],
        pip_requirements=[f"{name}=={metadata.version(name)}" for name in REQUIRED_DISTRIBUTIONS],
    )
    card.save(folder)
    return folder


def load_model(folder: Path) -> "keras.Model":
    """Load the network of a model folder, for prediction only.

    Raises:
        RegistryError: if MLflow or Keras cannot load it.
    """
    import mlflow.tensorflow
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.tensorflow.load_model(str(folder), keras_model_kwargs={"compile": False})
    except (MlflowException, OSError, ValueError, TypeError) as error:
        raise RegistryError(f"The model in {folder} cannot be loaded: {error}") from error


def _without_optimizer(model: Any) -> Any:
    """The network alone: Adam's moments would make the file three times as large."""
    if getattr(model, "optimizer", None) is None:
        return model
    bare = type(model).from_config(model.get_config())
    bare.set_weights(model.get_weights())
    return bare
