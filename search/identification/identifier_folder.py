"""The model that people use, as a folder: an MLflow pyfunc with everything that it needs inside.

    MLmodel, requirements.txt, ...      MLflow's own: signature, input example, pinned requirements
    identifier.py                       models-from-code: no pickle
    code/whosehand_model_<hash>/        a copy of the code of whosehand that it needs
    artifacts/model.keras               the network
    artifacts/whosehand.json            writers, ink, patches, calibration
    artifacts/split.json                on which pages it was trained and validated
    artifacts/gallery.npz               training patches of each writer with their embeddings
    artifacts/hands.npz                 descriptors of training pages, and of writers set aside
    artifacts/register.npz              writers who were enrolled later, if any
    artifacts/lineage.json              what the network saw whose weights it began with, if any

A trial's model is the network alone (`search.objectives.saved_model`), which is saved in a tenth of
the time; only what is promoted becomes such a folder.

A copy of the code that a model needs, to lie beside it under a name of its own.

A registered model must load where `core` is not installed, or another version of it is. So the
modules that it imports of this project are copied, and their imports of each other point to the
copy. The package's name holds a hash of its content: models of different versions load side by side
in one process.
"""

import ast
import base64
import hashlib
import importlib.util
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

import search.tracking  # noqa: F401  (throws MLflow's switches before MLflow is imported)
from core.errors import RegistryError
from core.handwriting.page import write_page
from core.handwriting.penmanship import draw_penmanship
from core.identification.model_record import PACKED_FOLDER, RECORD_FILE, ModelRecord
from core.splits.manifest import SplitManifest

OWN_PACKAGES = ("core", "search")
_PACKAGE_PREFIX = "whosehand_model_"
_IMPORT = re.compile(rf"^(\s*)(from|import) ({'|'.join(OWN_PACKAGES)})(?=[.\s])", re.MULTILINE)


@dataclass(frozen=True)
class VendoredCode:
    """A copied package.

    Attributes:
        package: its name.
        folder: it lies in `folder / package`.
        distributions: what it needs from elsewhere, by the names that pip knows.
    """

    package: str
    folder: Path
    distributions: tuple[str, ...]


def vendor_code(root_module: str, folder: Path) -> VendoredCode:
    """Copy a module with everything of this project that it imports, directly or not.

    Args:
        root_module: such as `search.identification.served_model`.
        folder: to write the package into.

    Raises:
        RegistryError: if a module is missing, or imports in a way that cannot be pointed elsewhere.
    """
    sources = _closure(root_module)
    content = "\0".join(f"{name}\0{source}" for name, source in sorted(sources.items()))
    package = _PACKAGE_PREFIX + hashlib.sha256(content.encode()).hexdigest()[:12]
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text('"""The code of whosehand that this model was made with."""\n')
    for name, source in sources.items():
        is_package = _is_package(name)
        path = folder.joinpath(package, *name.split("."))
        path = path / "__init__.py" if is_package else path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_IMPORT.sub(rf"\1\2 {package}.\3", source), encoding="utf-8")
    return VendoredCode(package, folder, _distributions(sources.values()))


def _closure(root_module: str) -> dict[str, str]:
    """The sources of all modules of this project that are imported, the packages around them among
    them.
    """
    sources: dict[str, str] = {}
    waiting = [root_module]
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        sources[name] = _source(name)
        waiting += [".".join(name.split(".")[:n]) for n in range(1, name.count(".") + 1)]
        waiting += _own_imports(name, sources[name])
    return sources


def _own_imports(name: str, source: str) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id in OWN_PACKAGES:
            raise RegistryError(f"{name} cannot be copied into a model: it uses the name `{node.id}` itself.")
        if isinstance(node, ast.ImportFrom) and node.level:
            raise RegistryError(f"{name} cannot be copied into a model: it has a relative import.")
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if _is_own(alias.name)]
        if isinstance(node, ast.ImportFrom) and node.module and _is_own(node.module):
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [node.module, *(module for module in below if _exists(module))]
    return found


def _is_own(module: str) -> bool:
    return module.split(".")[0] in OWN_PACKAGES


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _is_package(module: str) -> bool:
    found = importlib.util.find_spec(module)
    return found is not None and found.submodule_search_locations is not None


def _source(module: str) -> str:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise RegistryError(f"A model needs the code that it is made with, but there is no module {module!r}.")
    return Path(found.origin).read_text(encoding="utf-8")


def _distributions(sources: Iterable[str]) -> tuple[str, ...]:
    tops: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                tops |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                tops.add(node.module.split(".")[0])
    foreign = tops - set(sys.stdlib_module_names) - set(OWN_PACKAGES)
    provided = metadata.packages_distributions()
    missing = sorted(top for top in foreign if top not in provided)
    if missing:
        raise RegistryError(f"A model's requirements must be installed, but {', '.join(missing)} are of no package.")
    return tuple(sorted({_preferred(top, provided[top]) for top in foreign}))


def _preferred(top: str, names: list[str]) -> str:
    """Of several distributions that hold a module (mlflow and mlflow-skinny) the one that is named
    like it, if any.
    """
    return top if top in names else sorted(names)[0]


ARTIFACTS = PACKED_FOLDER
SPLIT = "split"
"""The artifact that says on which pages it was trained: a later model is compared with it on
others.
"""
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
        further: files or folders that go into `artifacts`, by the name under which the model finds
            them; each is kept under its own file name.

    Returns:
        The folder.
    """
    import mlflow.pyfunc
    import pandas as pd

    # Beside the folder, so that a killed worker leaves nothing where nobody looks.
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=folder.parent) as temporary:
        staging = Path(temporary)
        code = vendor_code(_ROOT_MODULE, staging / "code")
        record.save(staging)
        model_code = staging / "identifier.py"
        model_code.write_text(_MODEL_CODE.format(module=f"{code.package}.{_ROOT_MODULE}"), encoding="utf-8")
        artifacts = {"network": network, "record": staging / RECORD_FILE, **(further or {})}
        with _importable(code):
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


def folder_checksum(folder: Path) -> str:
    """The SHA-256 of a model's files with their names: the same wherever the folder lies.

    Python's compiled copies of the code do not count: who runs the model writes them, and
    `ModelProcess` reads none.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.relative_to(folder).parts:
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256}\n".encode())
    return digest.hexdigest()


def is_as_promoted(folder: Path, checksum: str | None) -> bool:
    """Whether a folder holds the files with this checksum, as a promotion recorded it; `None` is no
    checksum.
    """
    return checksum is not None and folder_checksum(folder) == checksum


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
        ColSpec(Array(DataType.double), "descriptor", required=False),
    ]
    params = [
        ParamSpec("top", DataType.long, 5),
        ParamSpec("read_as", DataType.string, "auto"),
        ParamSpec("on_error", DataType.string, "raise"),
        ParamSpec("evidence", DataType.long, 0),
        ParamSpec("describe", DataType.boolean, False),
    ]
    # Bytes, text and arrays are no common type of MLflow's: the model itself says what is wrong
    # with a cell.
    return ModelSignature(Schema([ColSpec(AnyType(), "image")]), Schema(outputs), ParamSchema(params))


def _example() -> str:
    """A generated line as base64 text: nobody's handwriting."""
    generator = np.random.default_rng(0)
    buffer = BytesIO()
    page = write_page(draw_penmanship(generator), 1, generator)
    Image.fromarray(page.pixels).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


@contextmanager
def _importable(code: VendoredCode) -> Iterator[None]:
    """Let the copied code be imported; forget it afterwards, or a later load of the same code would
    look for further modules in this folder, which goes away.
    """
    sys.path.insert(0, str(code.folder))
    try:
        yield
    finally:
        sys.path.remove(str(code.folder))
        for name in [name for name in sys.modules if name.split(".")[0] == code.package]:
            del sys.modules[name]
