"""The model that people use, loaded where this project's code is not, or is another version."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from core.errors import RegistryError
from core.identification.writer_identifier import WriterIdentifier
from core.pages.image_files import read_grey
from search.identification.identifier_folder import is_identifier, read_record
from search.identification.model_process import ModelProcess
from search.objectives.saved_model import network_file
from tests.search.toy_model import RECORD, WRITER_IDS, calibrated_record, save_toy_identifier, write_line

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LOAD_AND_ASK = """
import base64, json, sys
from pathlib import Path
import mlflow.pyfunc, numpy as np, pandas as pd
from mlflow.exceptions import MlflowException
from PIL import Image

path = sys.argv[2]
model = mlflow.pyfunc.load_model(sys.argv[1])
content = Path(path).read_bytes()
text = base64.b64encode(content).decode()
pixels = np.asarray(Image.open(path))
images = [path, content, text, f"data:image/png;base64,{text}", pixels, pixels.tolist()]
rows = model.predict(pd.DataFrame({"image": images}), params={"top": 0}).to_dict("records")
rows += model.predict(pd.DataFrame({"image": [path]}), params={"top": 1, "read_as": "line"}).to_dict("records")
rows += model.predict(pd.DataFrame({"image": ["no.png", path]}), params={"on_error": "report"}).to_dict("records")
errors = []
for image in (b"text", b"", "bm8gaW1hZ2U=", "not base64", "gone.png", np.zeros((2, 2)), [[1], [2, 3]], 5, None):
    try:
        model.predict(pd.DataFrame({"image": [image]}))
        errors.append("none")
    except MlflowException as error:
        errors.append(f"{error.error_code} {error.message}")
example = model.predict(model.input_example).to_dict("records")
model.unwrap_python_model().identifier = None  # whatever else may go wrong
broken = model.predict(pd.DataFrame({"image": [path]}), params={"on_error": "report"}).to_dict("records")[0]["error"]
try:
    model.predict(pd.DataFrame({"image": [path]}))
except MlflowException as error:
    broken = [broken, f"{error.error_code} {error.message}"]
answer = {"rows": rows, "errors": errors, "broken": broken, "example": example, "modules": sorted(sys.modules)}
print(json.dumps(answer, default=float))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_identifier(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_line(tmp_path_factory.mktemp("pages") / "line.png")


@pytest.fixture(scope="module")
def elsewhere(folder: Path, page: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What the model says in a process in which `core` and `search` are another project's, which
    fail when imported.
    """
    others = tmp_path_factory.mktemp("others")
    for name in ("core", "search"):
        (others / name).mkdir()
        (others / name / "__init__.py").write_text("raise RuntimeError('another project')")
    run = subprocess.run(
        [sys.executable, "-P", "-c", LOAD_AND_ASK, str(folder), str(page)],
        cwd=others,
        env=os.environ | {"PYTHONPATH": str(others), "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answer: Mapping[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer


def test_the_process_that_saves_it_forgets_the_code_of_a_folder_that_is_gone(folder: Path) -> None:
    assert not [name for name in sys.modules if name.startswith("whosehand_model_")]


def test_it_loads_beside_another_core_and_uses_none(elsewhere: Mapping[str, Any]) -> None:
    tops = {module.split(".")[0] for module in elsewhere["modules"]}
    assert not {"core", "search"} & tops
    assert any(top.startswith("whosehand_model_") for top in tops)


def test_its_probabilities_are_those_of_the_network_here(
    elsewhere: Mapping[str, Any], folder: Path, page: Path
) -> None:
    network = network_file(folder.parent / "network")
    here = WriterIdentifier.load(network, folder / "artifacts").identify(read_grey(page), "line")
    for row in elsewhere["rows"][:6]:
        assert [writer["writer_id"] for writer in row["ranking"]] == [writer.writer_id for writer in here.ranking]
        np.testing.assert_allclose(
            [writer["probability"] for writer in row["ranking"]],
            [writer.probability for writer in here.ranking],
            atol=1e-5,
        )
        assert row["writer_id"] == row["ranking"][0]["writer_id"]
        assert (row["n_lines"], row["n_patches"], row["calibrated_on"]) == (1, 6, "image")
        assert row["none_of_these"] == pytest.approx(here.none_of_these)
        assert row["is_known"] == here.is_known


def test_params_choose_how_many_writers_and_how_to_read(elsewhere: Mapping[str, Any]) -> None:
    row = elsewhere["rows"][6]
    assert len(row["ranking"]) == 1
    assert row["probability"] == row["ranking"][0]["probability"]


def test_one_bad_image_can_be_reported_among_good_ones(elsewhere: Mapping[str, Any]) -> None:
    bad, good = elsewhere["rows"][7:]
    assert "there is no no.png" in bad["error"]
    assert bad["ranking"] == []
    assert good["error"] is None
    assert good["writer_id"] in WRITER_IDS


def test_what_goes_wrong_without_the_images_fault_is_a_reason_and_no_stack_trace(elsewhere: Mapping[str, Any]) -> None:
    reason = "image 1 could not be answered (AttributeError: "
    reported, raised = elsewhere["broken"]
    assert reported.startswith(reason)
    assert raised.startswith(f"INTERNAL_ERROR {reason}")


def test_what_is_no_image_is_an_invalid_parameter_with_a_reason(elsewhere: Mapping[str, Any]) -> None:
    reasons = (
        *("image 1 is none", "0 bytes", "image 1 is none", "A text must be base64", "there is no gone.png"),
        *("at least 8 x 8", "rows of equal length", "image 1 is int", "image 1 is NoneType"),
    )
    for error, reason in zip(elsewhere["errors"], reasons, strict=True):
        assert error.startswith("INVALID_PARAMETER_VALUE ")
        assert reason in error


def test_its_example_is_a_generated_line_that_it_can_answer(elsewhere: Mapping[str, Any], folder: Path) -> None:
    assert elsewhere["example"][0]["error"] is None
    example = json.loads((folder / "input_example.json").read_text())
    content = base64.b64decode(example["data"][0][0])
    assert content.startswith(b"\x89PNG")


def test_nothing_in_it_is_pickled_and_every_requirement_is_pinned(folder: Path) -> None:
    assert [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".pyc")] == []
    requirements = (folder / "requirements.txt").read_text().split()
    assert all(len(requirement.split("==")) == 2 for requirement in requirements)
    described = yaml.safe_load((folder / "MLmodel").read_text())
    assert described["signature"]["inputs"] == '[{"type": "any", "name": "image", "required": true}]'


def test_its_record_says_what_kind_of_folder_it_is(folder: Path, tmp_path: Path) -> None:
    network = folder.parent / "network"
    assert (is_identifier(folder), is_identifier(network)) == (True, False)
    assert read_record(folder) == calibrated_record()
    assert read_record(network) == RECORD
    with pytest.raises(RegistryError, match="has none"):
        read_record(tmp_path)


@pytest.mark.long
def test_a_damaged_model_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "model"
    damaged.mkdir()
    for path in folder.rglob("*"):
        if path.is_file():
            (damaged / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (damaged / path.relative_to(folder)).write_bytes(path.read_bytes())
    (damaged / "artifacts" / "model.keras").write_bytes(b"no network")
    with pytest.raises(RegistryError, match=r"cannot be loaded: .*model\.keras"), ModelProcess(damaged):
        pass


def test_a_page_of_several_lines_has_the_calibration_of_pages(folder: Path, page: Path, tmp_path: Path) -> None:
    line = np.asarray(Image.open(page))
    Image.fromarray(np.concatenate([line] * 3)).save(tmp_path / "page.png")
    network = network_file(folder.parent / "network")
    answer = WriterIdentifier.load(network, folder / "artifacts").identify(read_grey(tmp_path / "page.png"), "page")
    assert (answer.n_lines, answer.calibrated_on) == (3, "page")
