"""The model that people use, as a folder: an MLflow pyfunc with everything that it needs inside.

    MLmodel, requirements.txt, ...      MLflow's own: signature, input example, pinned requirements
    identifier.py                       models-from-code: no pickle
    code/whosehand_model_<hash>/        a copy of the code of whosehand that it needs
    artifacts/model.keras               the network
    artifacts/whosehand.json            writers, ink, patches, calibration
    artifacts/split.json                on which pages it was trained and validated
    artifacts/gallery.npz               training patches of each writer with their embeddings

A trial's model is the network alone (`search.objectives.saved_model`), which is saved in a tenth of the time;
only what is promoted becomes such a folder.
"""

import base64
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

import search.tracking.mlflow_environment  # noqa: F401  (before MLflow, which is imported below, late: it takes a second)
from core.handwriting.page import write_page
from core.handwriting.penmanship import draw_penmanship
from core.identification.model_record import RECORD_FILE, ModelRecord
from core.splits.manifest import SplitManifest
from search.identification.vendored_code import vendor_code

ARTIFACTS = "artifacts"
SPLIT = "split"
"""The artifact that says on which pages it was trained: a later model is compared with it on others."""
_ROOT_MODULE = "search.identification.served_model"
_MODEL_CODE = '''"""Models from code: MLflow runs this file to get the model."""

import mlflow.models
from {module} import ServedModel

mlflow.models.set_model(ServedModel())
'''


def save_identifier(
    network: Path, record: ModelRecord, folder: Path, further: Mapping[str, Path] | None = None
) -> Path:
    """Save the model as people use it.

    The caller's process imports the copied code, so it should be a worker.

    Args:
        network: a `.keras` file.
        record: with calibrations.
        folder: must not exist, or be empty.
        further: files or folders that go into `artifacts`, by the name under which the model finds them; each is kept
            under its own file name.

    Returns:
        The folder.
    """
    import mlflow.pyfunc
    import pandas as pd

    with tempfile.TemporaryDirectory(prefix="whosehand-") as temporary:
        staging = Path(temporary)
        code = vendor_code(_ROOT_MODULE, staging / "code")
        record.save(staging)
        model_code = staging / "identifier.py"
        model_code.write_text(_MODEL_CODE.format(module=f"{code.package}.{_ROOT_MODULE}"), encoding="utf-8")
        artifacts = {"network": network, "record": staging / RECORD_FILE, **(further or {})}
        with _importable(code.folder):
            mlflow.pyfunc.save_model(
                str(folder),
                python_model=str(model_code),
                code_paths=[str(code.folder / code.package)],
                artifacts={name: str(path) for name, path in artifacts.items()},
                signature=_signature(),
                input_example=pd.DataFrame({"image": [_example()]}),
                pip_requirements=[f"{name}=={metadata.version(name)}" for name in code.distributions],
            )
    return folder


def is_identifier(folder: Path) -> bool:
    """Whether a model's folder is one of these, and not a trial's network."""
    return (folder / ARTIFACTS / RECORD_FILE).is_file()


def read_record(folder: Path) -> ModelRecord:
    """The record of a model's folder, whichever kind it is.

    Raises:
        RegistryError: if it is no model of whosehand.
    """
    return ModelRecord.load(folder / ARTIFACTS if is_identifier(folder) else folder)


def read_split(folder: Path) -> SplitManifest | None:
    """On which pages the model was trained, if it says so.

    Raises:
        SplitError: if the file was edited.
    """
    path = folder / ARTIFACTS / f"{SPLIT}.json"
    return SplitManifest.load(path) if path.is_file() else None


def _signature() -> object:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType, Array, Object, Property

    ranked = Object([Property("writer_id", DataType.string), Property("probability", DataType.double)])
    outputs = [
        ColSpec(DataType.string, "writer_id", required=False),
        ColSpec(DataType.double, "probability", required=False),
        ColSpec(DataType.double, "none_of_these", required=False),
        ColSpec(DataType.boolean, "is_known", required=False),
        ColSpec(Array(ranked), "ranking"),
        ColSpec(DataType.long, "n_lines"),
        ColSpec(DataType.long, "n_patches"),
        ColSpec(DataType.string, "calibrated_on", required=False),
        ColSpec(DataType.string, "error", required=False),
        ColSpec(AnyType(), "evidence", required=False),
    ]
    params = [
        ParamSpec("top", DataType.long, 5),
        ParamSpec("read_as", DataType.string, "auto"),
        ParamSpec("on_error", DataType.string, "raise"),
        ParamSpec("evidence", DataType.long, 0),
    ]
    # Bytes, text and arrays are no common type of MLflow's: the model itself says what is wrong with a cell.
    return ModelSignature(Schema([ColSpec(AnyType(), "image")]), Schema(outputs), ParamSchema(params))


def _example() -> str:
    """A generated line as base64 text: nobody's handwriting."""
    generator = np.random.default_rng(0)
    buffer = BytesIO()
    page = write_page(draw_penmanship(generator), 1, generator)
    Image.fromarray(page.pixels).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
