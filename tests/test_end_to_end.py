"""Everything together, through the installed command line in empty folders."""

import json
import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.tensorflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from numpy.typing import NDArray
from PIL import Image

from core.splits.manifest import SplitManifest
from search.ledger.ledger import read_ledger
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.objectives.saved_model import load_model
from tests.command_line import Answer, Project, records_of, running_sweep, still_there, whosehand, write_experiment

pytest_plugins = ["tests.finished_project"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def experiment_id(client: MlflowClient, name: str = "tiny") -> str:
    return str(client.get_experiment_by_name(name).experiment_id)


def runs_by_kind(client: MlflowClient, name: str = "tiny") -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in client.search_runs([experiment_id(client, name)], order_by=["attributes.start_time"]):
        found.setdefault(run.data.tags["kind"], []).append(run)
    return found


def artifact_names(client: MlflowClient, run: Run) -> set[str]:
    return {file.path for file in client.list_artifacts(run.info.run_id)}


def trained_weights(trial: TrialRecord) -> list[NDArray[Any]]:
    """All weights of a trial's saved model; its checkpoints are gone by then."""
    if trial.result is None or trial.result.model is None:
        raise AssertionError(f"Trial {trial.number} has no model.")
    return list(load_model(trial.result.model.path).get_weights())


def assert_equal_trials(one: Path, other: Path) -> None:
    """Proposals, seeds, scores of every epoch and weights, bit by bit."""
    first, second = read_ledger(one).trials, read_ledger(other).trials
    assert list(first) == list(second)
    for number, trial in first.items():
        twin = second[number]
        assert trial.proposed.hyperparameters == twin.proposed.hyperparameters
        assert trial.proposed.seed == twin.proposed.seed
        assert [scores_of(event.report.metrics) for event in trial.reports] == [
            scores_of(event.report.metrics) for event in twin.reports
        ]
        assert trial.result is not None
        assert twin.result is not None
        assert trial.result.value == twin.result.value
        weights, twins = trained_weights(trial), trained_weights(twin)
        assert len(weights) > 5
        assert all(np.array_equal(*pair) for pair in zip(weights, twins, strict=True))


def scores_of(metrics: Mapping[str, float]) -> dict[str, float]:
    """Without what depends on the machine's load."""
    return {name: value for name, value in metrics.items() if name.startswith("val/") or name == "train/loss"}


class TestTheWholeWay:
    def test_every_command_ends_well_and_standard_error_is_free_of_noise(self, finished_project: Project) -> None:
        for name, answer in finished_project.answers.items():
            assert answer.code == 0, (name, answer)
            noise = re.findall(r"(?i)traceback|warning|tensorflow|oneDNN|INFO|deprecat|cuda", answer.err)
            assert noise == [], (name, answer.err)
        for name in ("stats", "preview", "split", "pages", "identify", "identify as json"):
            said = re.sub(
                r"(?m)^asking the model: \d+ of \d+\n", "", finished_project.answers[name].err
            )  # where it is slow
            assert said == "", name

    def test_the_corpus_is_described(self, finished_project: Project) -> None:
        stats = finished_project.answers["stats"].out
        assert "generated, not real handwriting" in stats
        assert re.search(r"train +3 +6 +18 +18", stats)
        assert "training patches per epoch: 200 of 113x113 px" in stats

    def test_preview_and_split_write_what_they_say(self, finished_project: Project) -> None:
        assert "wrote preview.png" in finished_project.answers["preview"].out
        with Image.open(finished_project.folder / "preview.png") as picture:
            assert picture.width > 500
        manifest = SplitManifest.load(finished_project.folder / "split.json")
        assert manifest.hash[:12] in finished_project.answers["split"].out
        assert manifest.hash[:12] in finished_project.answers["stats"].out
        assert manifest == SplitManifest.load(finished_project.sweep / "split.json")

    def test_the_pages_named_are_test_pages(self, finished_project: Project) -> None:
        pages = [Path(line) for line in finished_project.answers["pages"].out.splitlines()]
        manifest = SplitManifest.load(finished_project.folder / "split.json")
        assert len(pages) == 2
        assert all(page.exists() for page in pages)
        assert all(any(page.stem in image_id for image_id in manifest.test) for page in pages)

    def test_a_finished_sweep_says_so_and_starts_nothing(self, finished_project: Project) -> None:
        again = finished_project.answers["again"]
        assert "sweep tiny completed: the budget is used up (2 of 2 trials)" in again.out
        assert "next: whosehand promote tiny" in again.out
        assert "epoch" not in again.err

    def test_a_raised_budget_goes_on(self, finished_project: Project) -> None:
        raised = finished_project.answers["raised"]
        assert "trials  3 completed" in raised.out
        assert re.findall(r"^[\d:]+ trial (\d) completed", raised.err, re.MULTILINE) == ["2"]
        state = read_ledger(finished_project.sweep)
        assert [trial.n_attempts for trial in state.trials.values()] == [1, 1, 1]
        assert state.count(TrialState.COMPLETED) == 3

    def test_promoting_again_opens_no_test_page_again(self, finished_project: Project) -> None:
        first, second = finished_project.answers["promote"].out, finished_project.answers["promote again"].out
        openings = (finished_project.folder / "mlruns" / "test_openings.jsonl").read_text().splitlines()
        assert len(openings) == 1
        assert json.loads(openings[0])["reason"].startswith("promote tiny trial ")
        assert "champion of whosehand-tiny: version 1" in first
        assert "these test pages had been opened once by then\n" in first
        assert "these test pages had been opened once by then, not again for this fit" in second
        assert first.splitlines()[:9] == second.splitlines()[:9]
        assert "epoch" not in finished_project.answers["promote again"].err
        assert max(len(line) for line in first.splitlines() if not line.startswith("  - ")) <= 80

    def test_identify_ranks_all_writers_with_probabilities(self, finished_project: Project) -> None:
        pages = finished_project.answers["pages"].out.splitlines()
        answer = json.loads(finished_project.answers["identify as json"].out)
        assert answer.keys() == {"model", "images", "together", "unreadable"}
        assert answer["model"] == "whosehand-tiny version 1"
        assert answer["unreadable"] == []
        assert [image["path"] for image in answer["images"]] == pages
        for ranking in (answer["together"], *(image["ranking"] for image in answer["images"])):
            probabilities = [writer["probability"] for writer in ranking]
            assert sorted(writer["writer_id"] for writer in ranking) == ["000", "001", "002"]
            assert probabilities == sorted(probabilities, reverse=True)
            assert sum(probabilities) == pytest.approx(1, abs=1e-6)
        assert all(image["n_lines"] == 3 for image in answer["images"])
        assert all(image["n_patches"] > 0 for image in answer["images"])

    def test_identify_prints_a_table(self, finished_project: Project) -> None:
        out = finished_project.answers["identify"].out
        assert "if one writer wrote all of them: " in out
        assert "model: whosehand-tiny version 1 (the champion), 3 writers known" in out


class TestTheRecords:
    def test_the_sweep_is_a_parent_and_every_trial_its_child(self, finished_project: Project) -> None:
        with records_of(finished_project.folder) as client:
            runs = runs_by_kind(client)
            (parent,) = runs["sweep"]
            trials = runs["trial"]
            assert {kind: len(found) for kind, found in runs.items()} == {"sweep": 1, "trial": 3, "refit-2": 1}
            assert {run.info.status for found in runs.values() for run in found} == {"FINISHED"}
            for run in (*trials, *runs["refit-2"]):
                assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
            assert [run.data.tags["trial"] for run in trials] == ["0", "1", "2"]
            assert parent.data.tags["launches"] == "3"
            assert parent.data.tags["state"] == "completed"
            assert artifact_names(client, parent) >= {"experiment.yaml", "split.json"}
            assert "| " in parent.data.tags["mlflow.note.content"]

    def test_a_trial_has_parameters_scores_curves_and_pictures(self, finished_project: Project) -> None:
        state = read_ledger(finished_project.sweep)
        manifest = SplitManifest.load(finished_project.sweep / "split.json")
        with records_of(finished_project.folder) as client:
            for number, run in enumerate(runs_by_kind(client)["trial"]):
                trial = state.trials[number]
                expected = {name: str(value) for name, value in trial.proposed.hyperparameters.items()}
                assert run.data.params == expected
                history = client.get_metric_history(run.info.run_id, "val/image_logloss")
                assert [metric.step for metric in history] == [1, 2, 3, 4]
                assert [metric.value for metric in history] == [
                    event.report.metrics["val/image_logloss"] for event in trial.reports
                ]
                assert {
                    "train/loss",
                    "val/patch_top1",
                    "val/page_top1",
                    "train/patches_per_s",
                } <= run.data.metrics.keys()
                assert {"image_logloss", "page_top1", "duration_s", "n_weights"} <= run.data.metrics.keys()
                names = {"confusion.png", "confusion.csv", "writers.csv", "decisions.csv", "scores.json"}
                assert artifact_names(client, run) >= names | {"learning_curves.png", "model.txt", "patches.png"}
                tags = run.data.tags
                assert {"sweep", "sweep_id", "engine", "seed", "version", "attempts", "state"} <= tags.keys()
                assert tags["engine"] == "optuna random"
                digests = {data.dataset.name: data.dataset.digest for data in run.inputs.dataset_inputs}
                assert len(digests) == 2
                assert all(manifest.hash.startswith(digest) for digest in digests.values())

    def test_every_trial_has_a_model_that_loads_and_predicts(self, finished_project: Project) -> None:
        patches = np.full((2, 113, 113, 1), 255, np.uint8)
        patches[:, 40:60, 20:90] = 0
        with records_of(finished_project.folder) as client:
            models = client.search_logged_models([experiment_id(client)])
            assert {str(model.status) for model in models} == {"READY"}
            (promoted,) = (model for model in models if model.tags["kind"] == "refit-2-identifier")
            models.remove(promoted)
            assert len(models) == 4
            as_function = np.asarray(mlflow.pyfunc.load_model(models[0].model_uri).predict(patches))
            as_network = mlflow.tensorflow.load_model(models[0].model_uri, keras_model_kwargs={"compile": False})
            assert as_function.shape == (2, 3)
            np.testing.assert_allclose(as_function.sum(axis=1), 1, atol=1e-5)
            np.testing.assert_allclose(as_function, np.asarray(as_network(patches)), atol=1e-6)

    def test_the_champion_carries_its_lineage_and_scores(self, finished_project: Project) -> None:
        manifest = SplitManifest.load(finished_project.sweep / "split.json")
        best = read_ledger(finished_project.sweep).best("minimize")
        assert best is not None
        with records_of(finished_project.folder) as client:
            version = client.get_model_version_by_alias("whosehand-tiny", "champion")
            (refit,) = runs_by_kind(client)["refit-2"]
        assert version.version == "1" or version.version == 1
        assert version.run_id == refit.info.run_id
        tags = version.tags
        assert tags["split_hash"] == manifest.hash
        assert tags["test_hash"] == manifest.test_hash
        assert tags["test_openings"] == "1"
        assert tags["trial"] == str(best.number)
        assert tags["sweep"] == "tiny"
        assert {"test/image_logloss", "val/page_top1"} <= refit.data.metrics.keys()
        assert refit.data.metrics["test/page_top1"] == pytest.approx(float(tags["test/page_top1"]), abs=1e-5)
        assert refit.data.tags["test_openings"] == "1"
        assert "opened **once**" in version.description


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """A sweep: its worker killed in trial 0, its driver in trial 1, Ctrl-C in trial 2, then run to
    the end.
    """
    folder = tmp_path_factory.mktemp("disturbed")
    experiment = write_experiment(folder)
    with running_sweep(folder, experiment) as sweep:
        state = sweep.wait_until(lambda state: 0 in state.trials and state.trials[0].n_epochs >= 1)
        os.kill(state.trials[0].starts[-1].pid, signal.SIGKILL)
        sweep.wait_until(lambda state: 1 in state.trials and state.trials[1].n_epochs >= 1)
        orphans = still_there(sweep.kill())
    with running_sweep(folder, experiment) as sweep:
        sweep.wait_until(lambda state: 2 in state.trials and state.trials[2].n_epochs >= 1)
        interrupted = sweep.interrupt()
        state = sweep.state()
        left = still_there({start.pid for trial in state.trials.values() for start in trial.starts})
    with records_of(folder) as client:
        statuses = {run.data.tags["kind"] + run.data.tags.get("trial", ""): run.info.status for run in _all(client)}
    resumed = whosehand(folder, "sweep", experiment)
    return {
        "folder": folder,
        "orphans": orphans,
        "interrupted": interrupted,
        "left": left,
        "statuses": statuses,
        "resumed": resumed,
    }


@pytest.mark.long
class TestStopsAndKills:
    """One sweep that is disturbed in every way ends bit by bit as the undisturbed one."""

    def test_a_killed_worker_costs_its_trial_one_attempt(self, disturbed: Mapping[str, Any]) -> None:
        trial = read_ledger(disturbed["folder"] / "mlruns/sweeps/tiny").trials[0]
        assert trial.state is TrialState.COMPLETED
        assert trial.n_lost == 1
        assert trial.starts[1].start_epoch >= 1

    def test_a_killed_driver_leaves_no_worker_and_its_trial_goes_on(self, disturbed: Mapping[str, Any]) -> None:
        trial = read_ledger(disturbed["folder"] / "mlruns/sweeps/tiny").trials[1]
        assert disturbed["orphans"] == set()
        assert trial.state is TrialState.COMPLETED
        assert trial.n_attempts == 2
        assert trial.starts[1].start_epoch >= 1

    def test_ctrl_c_ends_in_order_and_says_how_to_go_on(self, disturbed: Mapping[str, Any]) -> None:
        answer: Answer = disturbed["interrupted"]
        assert answer.code == 130
        assert "sweep tiny interrupted: stopped by the user" in answer.out
        assert "The same command goes on from here." in answer.err
        assert "Traceback" not in answer.err
        assert disturbed["left"] == set()
        assert disturbed["statuses"] == {
            "sweep": "KILLED",
            "trial0": "FINISHED",
            "trial1": "FINISHED",
            "trial2": "SCHEDULED",
        }

    def test_the_resumed_sweep_finishes_and_records_every_trial_once(self, disturbed: Mapping[str, Any]) -> None:
        assert disturbed["resumed"].code == 0
        assert "Going on with a sweep of 3 trials, 1 of them unfinished." in disturbed["resumed"].err
        with records_of(disturbed["folder"]) as client:
            runs = runs_by_kind(client)
            assert {kind: len(found) for kind, found in runs.items()} == {"sweep": 1, "trial": 3}
            assert {run.info.status for run in _all(client)} == {"FINISHED"}
            assert len(client.search_logged_models([experiment_id(client)])) == 3
            for run in runs["trial"]:
                history = client.get_metric_history(run.info.run_id, "val/image_logloss")
                assert [metric.step for metric in history] == [1, 2, 3, 4]

    def test_every_proposal_score_and_weight_is_that_of_the_undisturbed_sweep(
        self, disturbed: Mapping[str, Any], finished_project: Project
    ) -> None:
        sweep: Path = disturbed["folder"] / "mlruns/sweeps/tiny"
        manifests = [SplitManifest.load(folder / "split.json") for folder in (sweep, finished_project.sweep)]
        assert manifests[0].hash == manifests[1].hash
        assert_equal_trials(sweep, finished_project.sweep)


def _all(client: MlflowClient) -> list[Run]:
    return [run for found in runs_by_kind(client).values() for run in found]


@pytest.mark.long
def test_two_workers_split_and_propose_as_one_does(finished_project: Project, tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path, {"training": {"epochs": 1, "precision": "float32"}})
    answer = whosehand(tmp_path, "sweep", experiment, "--set", "executor.workers=2")
    assert answer.code == 0, answer.err
    assert "workers: 2, threads of each: 1" in answer.err
    with_two, with_one = read_ledger(tmp_path / "mlruns/sweeps/tiny"), read_ledger(finished_project.sweep)
    for number, trial in with_two.trials.items():
        assert trial.proposed.hyperparameters == with_one.trials[number].proposed.hyperparameters
        assert trial.proposed.seed == with_one.trials[number].proposed.seed
    hashes = {
        SplitManifest.load(sweep / "split.json").hash
        for sweep in (tmp_path / "mlruns/sweeps/tiny", finished_project.sweep)
    }
    assert len(hashes) == 1
    with records_of(tmp_path) as client:
        assert {run.info.status for run in _all(client)} == {"FINISHED"}


@pytest.mark.long
def test_real_handwriting_goes_the_same_way(dhsd_root: Path, tmp_path: Path) -> None:
    experiment = write_experiment(
        tmp_path,
        {
            "name": "words",
            "corpus": {"layout": "dhsd", "root": str(dhsd_root)},
            "split": {"validation": 0.2, "official": "use"},
            "patches": {"patches_per_epoch": 500, "per_image_at_validation": 1},
            "training": {"epochs": 1, "precision": "float32"},
            "budget": {"trials": 2},
        },
    )
    answer = whosehand(tmp_path, "sweep", experiment)
    assert answer.code == 0, answer.err
    assert "trials  2 completed" in answer.out
    with records_of(tmp_path) as client:
        runs = runs_by_kind(client, "words")
        assert len(runs["trial"]) == 2
        for run in runs["trial"]:
            assert 0 < run.data.metrics["image_logloss"] < 10
            assert "page_top1" not in run.data.metrics
