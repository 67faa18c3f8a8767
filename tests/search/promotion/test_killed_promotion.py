"""A promotion that is killed at one place after the other ends as one that nothing disturbed."""

import json
import signal
import subprocess
from collections import Counter

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from core.crash_points import PROMOTION_POINTS
from search.cli.main import CRASH_VARIABLE
from tests.command_line import COMMAND, Project, environment, records_of, whosehand, write_experiment

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]
MODEL = "whosehand-tiny"


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A sweep of one trial, a promotion for each point that dies there, and a last one that does
    not.
    """
    folder = tmp_path_factory.mktemp("killed")
    experiment = write_experiment(folder, {"budget": {"trials": 1}})
    answers = {"sweep": whosehand(folder, "sweep", experiment.name)}
    for point in PROMOTION_POINTS:
        died = whosehand(folder, "promote", "tiny", "--accept", variables={CRASH_VARIABLE: point})
        assert died.code == -signal.SIGKILL, (point, died)
    answers["promote"] = whosehand(folder, "promote", "tiny", "--accept")
    return Project(folder, answers)


def test_it_ends_with_a_champion_that_has_card_tags_and_history(killed: Project) -> None:
    assert killed.answers["promote"].code == 0, killed.answers["promote"]
    with records_of(killed.folder) as client:
        (version,) = client.search_model_versions(f"name = '{MODEL}'")
        champion = client.get_model_version_by_alias(MODEL, "champion")
        model = client.get_registered_model(MODEL)
    assert champion.version == version.version
    assert champion.description.startswith(f"# {MODEL}, version 1\n")
    assert champion.tags["promotion"] == "done"
    assert champion.tags["gate"] == "accepted"
    assert [entry.split(" ", 1)[1] for entry in champion.tags["history"].split("; ")] == ["champion"]
    assert "alias_move" not in model.tags


def test_the_test_set_is_opened_once(killed: Project) -> None:
    lines = (killed.folder / "mlruns" / "test_openings.jsonl").read_text().splitlines()
    assert len(lines) == 1
    assert json.loads(lines[0])["reason"].startswith("promote tiny trial 0")


def test_nothing_is_there_twice_in_mlflow(killed: Project) -> None:
    with records_of(killed.folder) as client:
        (refit,) = _runs(client, "refit-2")
        points = Counter(
            (name, point.step, point.timestamp)
            for name in refit.data.metrics
            for point in client.get_metric_history(refit.info.run_id, name)
        )
        experiment = client.get_experiment_by_name("tiny")
        assert experiment is not None
        models = client.search_logged_models([experiment.experiment_id])
    assert refit.info.status == "FINISHED"
    assert set(points.values()) == {1}
    of_test = [name for name, step, _ in points if name.startswith("test/") or name == "latency_s"]
    assert len(of_test) == len(set(of_test)), "told again with another time"
    kinds = Counter(model.tags["kind"] for model in models if model.tags["kind"] != "trial")
    assert kinds == {"refit-2": 1, "refit-2-identifier": 1}
    assert {str(model.status) for model in models} == {"READY"}


def test_no_temporary_file_stays(killed: Project) -> None:
    left = [path for path in (killed.folder / "mlruns" / "sweeps" / "tiny").rglob(".*") if path.is_file()]
    assert [path for path in left if path.name.endswith(".tmp")] == []
    assert list((killed.folder / "mlruns").rglob(".staging-*")) == []


def test_two_at_once_open_the_test_set_once_and_make_one_version(killed: Project) -> None:
    command = [str(COMMAND), "promote", "tiny", "--accept", "--epochs", "3"]
    first = subprocess.run(
        command, cwd=killed.folder, env=environment() | {CRASH_VARIABLE: "refit-done"}, capture_output=True, check=False
    )
    assert first.returncode == -signal.SIGKILL
    both = [
        subprocess.Popen(
            command, cwd=killed.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(2)
    ]
    said = [promotion.communicate(timeout=1800)[0] for promotion in both]
    assert all("Traceback" not in text for text in said), said
    assert {promotion.returncode for promotion in both} & {0, 2}, said  # the other may be told that it is under way
    reasons = [json.loads(line)["reason"] for line in (killed.folder / "mlruns" / "test_openings.jsonl").open()]
    assert [reason for reason in reasons if reason.endswith("3 epochs")] == ["promote tiny trial 0, 3 epochs"], said
    with records_of(killed.folder) as client:
        versions = client.search_model_versions(f"name = '{MODEL}'")
    assert len(versions) == 2, said


def _runs(client: MlflowClient, kind: str) -> list[Run]:
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.kind = '{kind}'"))
