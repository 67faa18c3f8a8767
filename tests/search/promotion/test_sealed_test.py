import json
from pathlib import Path

import pytest

from core.errors import RegistryError
from core.splits.manifest import SplitManifest
from search.executors.local.executor import LocalExecutor, modules_to_preload
from search.experiment.experiment import load_experiment
from search.experiment.workspace import Workspace
from search.ledger.access_log import SealedTestSet
from search.objectives.tasks import PatchTask
from search.promotion.examination import SCORE_PATCH_CNN, kept_scores, score_test_set
from search.sweep.launch import patch_task
from search.sweep.preparation import prepare_corpus
from tests.command_line import Project, write_experiment

pytest_plugins = ["tests.finished_project"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def task(tmp_path: Path) -> PatchTask:
    experiment = load_experiment(write_experiment(tmp_path))
    return patch_task(experiment, prepare_corpus(experiment, Workspace(tmp_path)), tmp_path / "sweep")


@pytest.mark.long
def test_an_opening_counts_even_if_the_scoring_fails(task: PatchTask, tmp_path: Path) -> None:
    openings, folder = tmp_path / "openings.jsonl", tmp_path / "refit"
    for n_openings in (1, 2):
        with pytest.raises(RegistryError, match="must be scored on the test pages, but that failed: RegistryError"):
            score_test_set(
                tmp_path / "no model",
                task,
                SealedTestSet(openings, "f00d", "a test"),
                folder,
                LocalExecutor(1, 1, preload=modules_to_preload(SCORE_PATCH_CNN)),
                "float32",
                0,
            )
        assert len(openings.read_text().splitlines()) == n_openings
    assert kept_scores(folder) is None


def test_scores_are_kept_with_their_files_and_the_count(finished_project: Project) -> None:
    (folder,) = (finished_project.sweep / "refits").iterdir()
    scores = kept_scores(folder)
    assert scores is not None
    assert scores.n_openings == 1
    opening = json.loads((finished_project.folder / "mlruns" / "test_openings.jsonl").read_text())
    assert opening["timestamp_ms"] == scores.opened_ms
    assert opening["test_hash"] == SplitManifest.load(finished_project.sweep / "split.json").test_hash
    assert {name.split("/")[0] for name in scores.result.metrics} == {"test"}
    assert all(reference.path.exists() for reference in scores.result.artifacts.values())
