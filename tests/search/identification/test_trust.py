"""A model's folder may hold code, which is run only where it is as it was promoted, or with
--trust.
"""

import py_compile
import shutil
from collections.abc import Callable
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from core.errors import RegistryError
from search.identification.identifier_folder import folder_checksum
from search.identification.identify import identify
from search.tracking.aliases import set_champion
from search.tracking.registry import CHECKSUM_TAG, find_model, register_version
from search.tracking.store import TrackingStore, open_store
from tests.command_line import Answer
from tests.search.toy_model import save_toy_identifier, write_line

pytest_plugins = ["tests.finished_project"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NAME = "toy"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_identifier(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return write_line(tmp_path / "line.png")


def _with_code(folder: Path, copy: Path) -> tuple[Path, Path]:
    """A copy of a model whose code leaves a file behind when it runs."""
    shutil.copytree(folder, copy)
    trace = copy.with_name(f"{copy.name}-ran")
    code = copy / "identifier.py"
    code.write_text(f"open({str(trace)!r}, 'w').close()\n{code.read_text()}")
    return copy, trace


def _register(store: TrackingStore, folder: Path) -> None:
    """Register a folder as it is, as a promotion does."""
    client = store.client()
    experiment_id = client.create_experiment("toys", str(folder.parent / "artifacts"))
    run = client.create_run(experiment_id)
    model = client.create_logged_model(experiment_id, name="toy-000", source_run_id=run.info.run_id)
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    register_version(store, NAME, model.model_id, {CHECKSUM_TAG: folder_checksum(folder)})
    set_champion(store, NAME, 1, None)


@pytest.mark.long
def test_the_code_in_a_folder_is_not_run_and_the_installed_reader_answers_the_same(
    honest: Path, page: Path, tmp_path: Path
) -> None:
    evil, trace = _with_code(honest, tmp_path / "evil")
    safe = identify([page], evil)
    assert not trace.exists()
    trusted = identify([page], evil, runs_own_code=True)
    assert trace.exists()
    assert [w.writer_id for w in safe.images[0].ranking] == [w.writer_id for w in trusted.images[0].ranking]
    assert safe.images[0].probability == pytest.approx(trusted.images[0].probability, abs=1e-5)
    assert safe.images[0].none_of_these == trusted.images[0].none_of_these


@pytest.mark.long
def test_the_command_says_so_and_takes_trust(
    honest: Path, page: Path, tmp_path: Path, command: Callable[..., Answer]
) -> None:
    evil, trace = _with_code(honest, tmp_path / "evil")
    assert command("identify", page, "--model", evil).code == 0
    assert not trace.exists()
    assert command("identify", page, "--model", evil, "--trust").code == 0
    assert trace.exists()


@pytest.mark.long
def test_a_registered_version_runs_its_code_as_long_as_its_files_are_those_that_were_promoted(
    honest: Path, page: Path, tmp_path: Path, command: Callable[..., Answer]
) -> None:
    model, trace = _with_code(honest, tmp_path / "promoted")
    store = open_store(root=tmp_path)
    _register(store, model)
    assert command("identify", page, "--model", f"models:/{NAME}@champion").code == 0
    assert trace.exists()
    trace.unlink()
    found = find_model(store, f"models:/{NAME}/1")
    (found.folder / "identifier.py").write_text((found.folder / "identifier.py").read_text() + "\n# changed\n")
    answer = command("identify", page, "--model", NAME)
    assert answer.code == 0
    assert not trace.exists()
    assert "its files are not those that were promoted" in answer.err


@pytest.mark.long
def test_a_compiled_file_that_was_laid_beside_the_code_is_not_run(honest: Path, page: Path, tmp_path: Path) -> None:
    planted, trace = shutil.copytree(honest, tmp_path / "planted"), tmp_path / "planted-ran"
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(trace)!r}, 'w').close()\n{(planted / 'identifier.py').read_text()}")
    for code in planted.rglob("*.py"):
        source = evil if code.name == "identifier.py" else code
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(source), cache_from_source(str(code)), dfile=str(code), invalidation_mode=mode)
    assert folder_checksum(planted) == folder_checksum(honest), "compiled files do not count"
    assert identify([page], planted, runs_own_code=True).images[0].probability is not None
    assert not trace.exists()


@pytest.mark.long
def test_a_network_that_needs_code_of_its_own_is_refused_with_what_to_do(
    honest: Path, page: Path, tmp_path: Path
) -> None:
    import keras

    inputs = keras.Input((113, 113, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Lambda(lambda pixels: pixels / 255.0)(inputs))
    network = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(pooled))
    folder = tmp_path / "own"
    shutil.copytree(honest, folder)
    network.save(folder / "artifacts" / "model.keras")
    with pytest.raises(RegistryError, match=r"code of its own.*--trust"):
        identify([page], folder)
