"""A sweep on a split that leaks is marked wherever somebody may look, and nothing of it is
promoted.
"""

import html
import json
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from tests.command_line import Answer, whosehand, write_experiment

WARNING = (
    "Leaky split by patch: training and validation patches come from the same lines, and overlap. "
    "The scores say nothing about new pages."
)
LEAKY = ("--set", "split.leaky=patch", "--set", "budget.trials=1", "--set", "training.epochs=1")
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaky")
    write_experiment(folder, {"name": "leaky"})
    return folder


@pytest.fixture(scope="module")
def sweep(folder: Path) -> Answer:
    answer = whosehand(folder, "sweep", "leaky.yaml", *LEAKY)
    assert answer.code == 0, answer
    return answer


@pytest.fixture(scope="module")
def client(folder: Path, sweep: Answer) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")


def test_the_launch_says_so(sweep: Answer) -> None:
    assert WARNING in sweep.err


def test_every_run_has_the_tag_and_the_text(client: MlflowClient) -> None:
    experiment = client.get_experiment_by_name("leaky")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 2
    for run in runs:
        assert run.data.tags["warning"] == WARNING
        assert run.data.tags["mlflow.note.content"].startswith(f"**{WARNING}**")
        assert {data.dataset.name for data in run.inputs.dataset_inputs} == {"hands train", "hands validation"}
        assert all("patch (leaky)" in data.dataset.profile for data in run.inputs.dataset_inputs)


def test_the_split_and_the_model_card_say_so(folder: Path, client: MlflowClient) -> None:
    kept = json.loads((folder / "mlruns" / "sweeps" / "leaky" / "split.json").read_text(encoding="utf-8"))
    assert kept["warning"] == WARNING
    experiment = client.get_experiment_by_name("leaky")
    assert experiment is not None
    (model,) = client.search_logged_models([experiment.experiment_id])
    card = mlflow.artifacts.download_artifacts(
        artifact_uri=f"{model.artifact_location}/whosehand.json", tracking_uri=client.tracking_uri
    )
    assert json.loads(Path(card).read_text(encoding="utf-8"))["warning"] == WARNING


def test_a_comparison_says_so(folder: Path) -> None:
    answer = whosehand(folder, "compare", "leaky")
    assert WARNING in answer.err
    (report,) = (folder / "mlruns" / "sweeps" / "leaky").rglob("report.html")
    assert WARNING in html.unescape(report.read_text(encoding="utf-8"))


def test_nothing_is_promoted(folder: Path, sweep: Answer) -> None:
    message = whosehand(folder, "promote", "leaky").error
    assert "the split of 'leaky' is by patch" in message
    assert "Run the sweep without `split.leaky`, under another name" in message
    assert not (folder / "mlruns" / "test_openings.jsonl").exists()


def test_an_honest_sweep_does_not_go_on_with_it(folder: Path, sweep: Answer) -> None:
    message = whosehand(folder, "sweep", "leaky.yaml", "--set", "training.epochs=1").error
    assert 'split.leaky: "patch" -> null' in message
