import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import mlflow
import numpy as np
import pytest

from core.errors import RegistryError
from core.identification.model_record import ModelRecord
from core.networks.origin import Origin
from search.objectives.saved_model import installed_version, load_model, save_model
from tests.search.toy_model import EXAMPLE, RECORD, WRITER_IDS, save_toy_model


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_model(tmp_path_factory.mktemp("saved") / "model")


def test_a_saved_model_loads_and_predicts_as_before(model_folder: Path) -> None:
    model = load_model(model_folder)
    probabilities = np.asarray(model(EXAMPLE))
    assert probabilities.shape == (1, 3)
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)


def test_a_saved_model_is_an_mlflow_model_with_signature_and_example(model_folder: Path) -> None:
    flavor = mlflow.pyfunc.load_model(str(model_folder))
    assert flavor.metadata.signature.inputs.to_dict()[0]["tensor-spec"] == {
        "dtype": "uint8",
        "shape": (-1, 113, 113, 1),
    }
    assert flavor.metadata.signature.outputs.to_dict()[0]["tensor-spec"] == {"dtype": "float32", "shape": (-1, 3)}
    example = flavor.input_example
    assert np.array_equal(example, EXAMPLE)
    direct = np.asarray(load_model(model_folder)(EXAMPLE))
    assert np.allclose(flavor.predict(example), direct, atol=1e-6)
    requirements = (model_folder / "requirements.txt").read_text().splitlines()
    assert {line.split("==")[0] for line in requirements} >= {"tensorflow", "keras", "numpy"}


def test_the_optimizer_is_not_saved(tmp_path: Path, model_folder: Path) -> None:
    model = load_model(model_folder)
    before = np.asarray(model(EXAMPLE))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    again = save_model(model, tmp_path / "model", RECORD, EXAMPLE)
    sizes = [(folder / "data" / "model.keras").stat().st_size for folder in (model_folder, again)]
    assert sizes[1] < 1.2 * sizes[0]
    assert np.allclose(np.asarray(load_model(again)(EXAMPLE)), before)


def test_the_record_comes_back_as_it_was(model_folder: Path) -> None:
    assert ModelRecord.load(model_folder) == RECORD


def test_a_record_says_what_the_training_began_with_and_else_what_earlier_versions_read(tmp_path: Path) -> None:
    RECORD.save(tmp_path)
    assert "origin" not in json.loads((tmp_path / "whosehand.json").read_text())
    begun = replace(RECORD, origin=Origin("models:/dhsd/3", "abc", "run-1"))
    begun.save(tmp_path)
    assert ModelRecord.load(tmp_path) == begun


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "has none"), ("{torn", "cannot be read"), ("{}", "not of format 1"), ('{"format": 1}', "is damaged")],
)
def test_a_folder_without_a_whole_record_is_refused(tmp_path: Path, text: str | None, reason: str) -> None:
    if text is not None:
        (tmp_path / "whosehand.json").write_text(text)
    with pytest.raises(RegistryError, match=reason):
        ModelRecord.load(tmp_path)


def test_a_folder_with_a_record_but_no_network_is_refused(tmp_path: Path) -> None:
    RECORD.save(tmp_path)
    assert json.loads((tmp_path / "whosehand.json").read_text())["writer_ids"] == list(WRITER_IDS)
    with pytest.raises(RegistryError, match="cannot be loaded"):
        load_model(tmp_path)


def test_a_variant_for_processors_counts_as_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "somelib_cpu-2.5.dist-info").mkdir()
    (tmp_path / "somelib_cpu-2.5.dist-info" / "METADATA").write_text("Name: somelib-cpu\nVersion: 2.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_version("somelib") == "2.5"
    with pytest.raises(metadata.PackageNotFoundError):
        installed_version("another")
