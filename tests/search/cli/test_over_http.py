"""A project whose experiment file names a tracking server: every command finds it from the project,
and a server that goes away loses nothing.
"""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import FileInfo

from search.tracking.aliases import set_champion
from search.tracking.registry import find_version, register_version
from search.tracking.store import TrackingStore, all_pages
from tests.command_line import COMMAND, Answer, Project, environment, running_sweep, whosehand, write_experiment
from tests.search.tracking_server import TrackingServer, tracking_server

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]
MODEL = "whosehand-tiny"
LONGER_THAN_A_REQUEST_IS_REPEATED_S = 30.0


@dataclass(frozen=True)
class Tracked:
    """A project, and the server that keeps its records."""

    project: Project
    server: TrackingServer

    @property
    def folder(self) -> Path:
        return self.project.folder

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.server.url, self.server.url)

    @property
    def store(self) -> TrackingStore:
        return TrackingStore(self.server.url, None)

    def run(self, *arguments: str) -> Answer:
        return whosehand(self.folder, *arguments)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def tracked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracked]:
    """A sweep and a promotion, each of which loses its server on the way."""
    folder = tmp_path_factory.mktemp("project")
    answers: dict[str, Answer] = {}
    with tracking_server(tmp_path_factory.mktemp("server"), request.param) as server:
        experiment = write_experiment(folder, {"tracking": {"uri": server.url}, "budget": {"trials": 2}})
        with running_sweep(folder, experiment) as sweep:
            sweep.wait_until(lambda state: sum(trial.n_epochs for trial in state.trials.values()) >= 2)
            server.kill()
            sweep.wait_until(lambda state: sum(trial.n_epochs for trial in state.trials.values()) >= 4)
            with sweep.held():  # a server takes longer to start than this sweep
                time.sleep(LONGER_THAN_A_REQUEST_IS_REPEATED_S)
                server.start()
            answers["sweep"] = sweep.end()
        answers["cut off"] = _promote_until_the_server_dies(folder, server)
        server.start()
        answers["promote"] = whosehand(folder, "promote", "tiny", "--accept")
        yield Tracked(Project(folder, answers), server)


def _promote_until_the_server_dies(folder: Path, server: TrackingServer) -> Answer:
    """The server is killed while the registered version is asked about the test pages."""
    process = subprocess.Popen(
        [str(COMMAND), "promote", "tiny", "--accept"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if "loading the model afresh" in line:
            server.kill()
    out, _ = process.communicate()
    return Answer(("promote",), process.returncode, out, "".join(said))


def test_training_goes_on_without_the_server_and_all_of_it_is_told_later(tracked: Tracked) -> None:
    sweep = tracked.project.answers["sweep"]
    assert sweep.code == 0, sweep
    assert "could not be tracked" in sweep.err
    assert "The tracking store answers again" in sweep.err
    experiment = tracked.client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = all_pages(lambda token: tracked.client.search_runs([experiment.experiment_id], page_token=token))
    kinds = Counter(run.data.tags["kind"] for run in runs)
    assert kinds == {"sweep": 1, "trial": 2, "refit-2": 1}
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        for name in run.data.metrics:
            steps = [point.step for point in tracked.client.get_metric_history(run.info.run_id, name)]
            assert len(steps) == len(set(steps)), (run.info.run_name, name, steps)
        if run.data.tags["kind"] == "trial":
            history = tracked.client.get_metric_history(run.info.run_id, "val/image_logloss")
            assert [point.step for point in sorted(history, key=lambda point: point.step)] == [1, 2, 3, 4]


def test_a_promotion_that_lost_its_server_is_resumed_by_the_same_command(tracked: Tracked) -> None:
    cut_off, promoted = tracked.project.answers["cut off"], tracked.project.answers["promote"]
    assert "run the same command again" in cut_off.error
    assert promoted.code == 0, promoted
    (found,) = tracked.client.search_model_versions(f"name = '{MODEL}'")
    champion = tracked.client.get_model_version_by_alias(MODEL, "champion")
    assert str(champion.version) == str(found.version) == "1"
    assert champion.tags["promotion"] == "done"
    assert champion.description.startswith(f"# {MODEL}, version 1\n")
    openings = (tracked.folder / "mlruns" / "test_openings.jsonl").read_text().splitlines()
    assert len(openings) == 1


def test_models_come_from_the_server(tracked: Tracked) -> None:
    version = find_version(tracked.store, MODEL, 1)
    assert version is not None
    assert not Path(version.location).exists()
    page = next((tracked.folder / "data" / "hands").rglob("*.png"))
    answer = tracked.run("identify", str(page), "--json")
    assert answer.code == 0, answer
    assert json.loads(answer.out)["images"][0]["ranking"]


def test_commands_that_name_no_sweep_find_the_server(tracked: Tracked) -> None:
    history = tracked.run("promote", "--history")
    assert history.code == 0, history
    assert "champion" in history.out
    pages = tracked.run("ui")
    assert pages.code == 0, pages
    assert tracked.server.url in pages.out
    assert "tiny: trials, the best first" in pages.out
    doctor = tracked.run("doctor")
    assert doctor.code == 0, doctor
    assert f"the server at {tracked.server.url} answers" in " ".join(doctor.out.split())


def test_doctor_sees_half_a_promotion_on_the_server(tracked: Tracked) -> None:
    tracked.client.set_model_version_tag(MODEL, "1", "promotion", "described")
    said = " ".join(tracked.run("doctor").out.split())
    tracked.client.set_model_version_tag(MODEL, "1", "promotion", "done")
    assert f"version 1 of {MODEL} was registered, but its promotion did not end" in said


def test_a_comparison_and_its_report_reach_the_server(tracked: Tracked) -> None:
    answer = tracked.run("compare", "tiny")
    assert answer.code == 0, answer
    experiment = tracked.client.get_experiment_by_name("tiny")
    assert experiment is not None
    (run,) = tracked.client.search_runs([experiment.experiment_id], "tags.kind = 'sweep'")
    assert "report.html" in {file.path.split("/")[-1] for file in _files(tracked.client, run.info.run_id)}


def test_rollback_moves_the_alias_on_the_server(tracked: Tracked) -> None:
    experiment = tracked.client.get_experiment_by_name("tiny")
    assert experiment is not None
    model = next(
        model
        for model in tracked.client.search_logged_models([experiment.experiment_id])
        if model.tags["kind"] == "trial"
    )
    second = register_version(tracked.store, MODEL, model.model_id, {})
    set_champion(tracked.store, MODEL, second.version, 1)
    answer = tracked.run("rollback")
    assert answer.code == 0, answer
    assert f"champion of {MODEL}: version 1 again" in answer.out
    tracked.client.delete_model_version(MODEL, str(second.version))  # or gc would keep its model


def test_records_agree_and_garbage_is_collected(tracked: Tracked) -> None:
    compared = tracked.run("reconcile", "tiny")
    assert compared.code == 0, compared
    n_before = len(list(tracked.server.log.parent.rglob("MLmodel")))
    collected = tracked.run("gc", "--keep", "1", "--apply")
    assert collected.code == 0, collected
    assert len(list(tracked.server.log.parent.rglob("MLmodel"))) == n_before - 1, collected
    champion = find_version(tracked.store, MODEL, 1)
    assert champion is not None
    assert tracked.client.get_logged_model(champion.model_id)
    after = tracked.run("reconcile", "tiny")
    assert after.code == 0, after


def _files(client: MlflowClient, run_id: str, path: str | None = None) -> Iterator[FileInfo]:
    for file in client.list_artifacts(run_id, path):
        if file.is_dir:
            yield from _files(client, run_id, file.path)
        else:
            yield file
