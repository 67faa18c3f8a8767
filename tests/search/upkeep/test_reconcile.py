import json
import shutil
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run

from core.errors import LedgerError
from search.experiment.workspace import Workspace
from search.ledger.ledger import LEDGER_NAME, Ledger, read_ledger
from search.ledger.lock import LOCK_NAME, SweepLock
from search.tracking.registry import register_version
from search.tracking.store import TrackingStore
from search.upkeep.reconcile import Difference, reconcile_sweep
from tests.search.upkeep.kept_project import N_TRIALS, NAME, make_project

pytest_plugins = ["tests.search.upkeep.copied_project"]


def _experiment_id(client: MlflowClient) -> str:
    return str(client.get_experiment_by_name(NAME).experiment_id)


def _runs(client: MlflowClient) -> dict[int, Run]:
    runs = client.search_runs([_experiment_id(client)], "tags.kind = 'trial'")
    return {int(run.data.tags["trial"]): run for run in runs}


def _sweep_run(client: MlflowClient) -> Run:
    (run,) = client.search_runs([_experiment_id(client)], "tags.kind = 'sweep'")
    return run


def _models(client: MlflowClient) -> dict[int, LoggedModel]:
    return {int(model.tags["trial"]): model for model in client.search_logged_models([_experiment_id(client)])}


def _tags(workspace: Workspace, number: int, kind: str = "trial") -> dict[str, str]:
    created = read_ledger(workspace.sweep(NAME)).created
    assert created is not None
    return {"sweep_id": created.sweep_id, "kind": kind, "trial": str(number)}


def _words(found: list[Difference] | tuple[Difference, ...]) -> list[str]:
    return [f"{difference.trial}: {difference.what}" for difference in found]


@pytest.fixture
def fix(workspace: Workspace) -> Callable[[], list[str]]:
    """Looks, fixes, looks again, and returns what was found."""

    def run() -> list[str]:
        looked = reconcile_sweep(NAME, workspace, is_dry_run=True)
        fixed = reconcile_sweep(NAME, workspace, is_dry_run=False)
        assert fixed.found == looked.found
        assert (list(fixed.left), list(fixed.warnings)) == ([], [])
        return _words(list(looked.found))

    return run


def test_a_whole_sweep_has_nothing_to_fix(workspace: Workspace) -> None:
    ledger = (workspace.sweep(NAME) / LEDGER_NAME).read_bytes()
    found = reconcile_sweep(NAME, workspace, is_dry_run=False)
    assert list(found.found) == []
    assert [(row.ledger_text, row.engine, row.run_text, row.model_text, row.disk_text) for row in found.rows] == [
        ("completed", "complete", "FINISHED", "READY", "model")
    ] * N_TRIALS
    assert (workspace.sweep(NAME) / LEDGER_NAME).read_bytes() == ledger


def test_runs_that_are_missing_open_short_double_or_of_no_trial_are_fixed(
    project: TrackingStore, workspace: Workspace, fix: Callable[[], list[str]]
) -> None:
    client = project.client()
    experiment_id, before = _experiment_id(client), _runs(client)
    client.delete_run(before[0].info.run_id)
    client.update_run(before[1].info.run_id, status="RUNNING")
    client.create_run(experiment_id, tags=_tags(workspace, 2), run_name="again")
    client.create_run(experiment_id, tags=_tags(workspace, 17), run_name="lost")
    client.update_run(_sweep_run(client).info.run_id, status="RUNNING")
    assert fix() == [
        "None: the sweep's run is RUNNING, but no driver is on it",
        "0: it has no run in MLflow",
        "1: it is completed, but its run is RUNNING",
        "2: it has a second run, RUNNING, with 0 epochs",
        "17: run 'lost' has no trial in the ledger",
    ]
    after = _runs(client)
    assert sorted(after) == list(range(N_TRIALS))
    assert {run.info.status for run in after.values()} == {"FINISHED"}
    assert after[0].info.start_time == before[0].info.start_time
    assert after[0].info.end_time == before[0].info.end_time
    assert after[0].data.metrics == before[0].data.metrics
    assert after[0].data.params == before[0].data.params
    assert [item.dataset.name for item in after[0].inputs.dataset_inputs] == ["hands train"]
    history = client.get_metric_history(after[0].info.run_id, "val/loss")
    assert [point.step for point in history] == [1, 2]
    assert after[2].info.run_id == before[2].info.run_id
    assert _sweep_run(client).info.status == "FINISHED"
    assert _sweep_run(client).data.tags["state"] == "completed"


def test_models_that_are_pending_double_missing_or_without_files_are_fixed(
    project: TrackingStore, workspace: Workspace, fix: Callable[[], list[str]]
) -> None:
    client = project.client()
    experiment_id, models = _experiment_id(client), _models(client)
    client.finalize_logged_model(models[0].model_id, "FAILED")
    client.delete_logged_model(models[1].model_id)
    shutil.rmtree(models[2].artifact_location)
    double = client.create_logged_model(experiment_id, name="again", tags=_tags(workspace, 3))
    orphan = client.create_logged_model(experiment_id, name="orphan", tags=_tags(workspace, 9))
    assert fix() == [
        "0: its model in MLflow is FAILED",
        "1: it has no model in MLflow",
        "2: the files of its model are gone from MLflow",
        f"3: model 'again' ({double.model_id}) is a second one",
        f"9: model 'orphan' ({orphan.model_id}) has no trial in the ledger",
    ]
    after = _models(client)
    assert sorted(after) == list(range(N_TRIALS))
    assert {str(model.status) for model in after.values()} == {"READY"}
    assert all((Path(model.artifact_location) / "MLmodel").is_file() for model in after.values())
    outputs = _runs(client)[1].outputs.model_outputs
    assert after[1].model_id in {output.model_id for output in outputs}


def test_what_cannot_be_restored_is_reported_and_left_alone(project: TrackingStore, workspace: Workspace) -> None:
    client = project.client()
    models = _models(client)
    shutil.rmtree(models[2].artifact_location)
    shutil.rmtree(workspace.sweep(NAME) / "trials" / "2" / "attempt-1" / "model")
    client.set_logged_model_tags(models[3].model_id, {"trial": "8"})
    register_version(project, "champions", models[3].model_id, {})
    shutil.rmtree(workspace.sweep(NAME) / "trials" / "3")
    found = reconcile_sweep(NAME, workspace, is_dry_run=False)
    assert _words(list(found.left)) == [
        "2: the files of its model are gone from MLflow, and the sweep's folder has none",
        "3: it has no model in MLflow, and the sweep's folder has none",
        f"8: model 'tiny-003' ({models[3].model_id}) has no trial in the ledger",
    ]
    assert [difference.fix for difference in found.left] == [None] * 3
    assert "--trial 2" in found.left[0].remedy
    assert "champions 1" in found.left[2].remedy


def test_leftovers_on_the_disk_are_removed(workspace: Workspace, fix: Callable[[], list[str]]) -> None:
    trials = workspace.sweep(NAME) / "trials"
    for folder in ("0/attempt-1/checkpoints", "1/attempt-2", "7/attempt-1"):
        (trials / folder).mkdir(parents=True, exist_ok=True)
        (trials / folder / "epoch-00001.npz").write_bytes(bytes(100))
    assert fix() == [
        "0: it has ended, but its checkpoints are still there",
        "1: attempt-2 is an attempt that the ledger does not know",
        f"7: {trials / '7' / 'attempt-1'} belongs to no trial in the ledger",
    ]
    assert sorted(path.name for path in (trials / "0" / "attempt-1").iterdir()) == ["model", "worker.log"]


def test_a_killed_sweep_is_closed_and_its_unfinished_trial_waits(
    project: TrackingStore, workspace: Workspace, fix: Callable[[], list[str]]
) -> None:
    path = workspace.sweep(NAME) / LEDGER_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    ended = next(place for place, line in enumerate(lines) if _is(line, "ended", N_TRIALS - 1))
    path.write_bytes(b"".join(lines[:ended]) + lines[ended][:20])  # killed while it wrote of the last trial's end
    (workspace.root / "optuna.db").unlink()
    elapsed_s = _elapsed_s(workspace)
    client = project.client()
    client.update_run(_runs(client)[3].info.run_id, status="RUNNING")
    client.update_run(_sweep_run(client).info.run_id, status="RUNNING")
    found = fix()
    assert found[0] == "None: the sweep's run is RUNNING, but no driver is on it"
    assert "3: it waits to be resumed, but its run is RUNNING" in found
    assert _runs(client)[3].info.status == "SCHEDULED"
    assert _sweep_run(client).info.status == "KILLED"
    assert _sweep_run(client).data.tags["reason"] == "its driver was killed"
    assert _elapsed_s(workspace) == elapsed_s


def test_a_trial_that_the_ledger_has_not_as_tracked_is_told_again(
    workspace: Workspace, fix: Callable[[], list[str]]
) -> None:
    path = workspace.sweep(NAME) / LEDGER_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if not _is(line, "tracked", 2)))
    assert fix() == ["2: the ledger does not know whether MLflow has all of it"]
    assert read_ledger(workspace.sweep(NAME)).trials[2].is_tracked


def test_the_engines_study_catches_up_with_the_ledger(workspace: Workspace, fix: Callable[[], list[str]]) -> None:
    (workspace.root / "optuna.db").unlink()
    assert fix() == [f"{number}: it is completed, but not there in the engine's study" for number in range(N_TRIALS)]
    (study,) = optuna.get_all_study_summaries("sqlite:///optuna.db")
    assert study.n_trials == N_TRIALS


def test_a_study_that_is_ahead_of_the_ledger_is_reported(workspace: Workspace) -> None:
    path = workspace.sweep(NAME) / LEDGER_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: next(n for n, line in enumerate(lines) if _is(line, "ended", N_TRIALS - 1))]))
    found = reconcile_sweep(NAME, workspace, is_dry_run=True)
    ahead = next(difference for difference in found.left if "study" in difference.what)
    assert (ahead.trial, ahead.fix) == (N_TRIALS - 1, None)


def test_a_trial_that_was_enqueued_outside_the_space_is_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, enqueue=["seed_recipe"])
    found = reconcile_sweep(NAME, Workspace(tmp_path), is_dry_run=True)
    assert _words(list(found.found)) == []
    assert [row.engine for row in found.rows] == ["outside", *["complete"] * (N_TRIALS - 1)]


def test_a_refit_that_nobody_is_on_is_closed(
    project: TrackingStore, workspace: Workspace, fix: Callable[[], list[str]]
) -> None:
    client = project.client()
    run = client.create_run(_experiment_id(client), tags=_tags(workspace, 1, "refit-6"))
    assert fix() == ["1: the run of its refit-6 is RUNNING, but nobody is on it"]
    assert client.get_run(run.info.run_id).info.status == "KILLED"


def test_a_dry_run_changes_nothing(project: TrackingStore, workspace: Workspace) -> None:
    client = project.client()
    client.delete_run(_runs(client)[0].info.run_id)
    (workspace.sweep(NAME) / "trials" / "9" / "attempt-1").mkdir(parents=True)
    for _ in range(2):
        found = reconcile_sweep(NAME, workspace, is_dry_run=True)
        assert len(found.found) == len(found.left) == 2


@pytest.mark.parametrize("is_dry_run", [True, False])
def test_a_sweep_that_a_driver_is_on_is_refused(workspace: Workspace, is_dry_run: bool) -> None:
    with Ledger(workspace.sweep(NAME)), pytest.raises(LedgerError, match="is held by process"):
        reconcile_sweep(NAME, workspace, is_dry_run)
    refit = workspace.sweep(NAME) / "refits" / "trial-000-6-epochs" / LOCK_NAME
    with SweepLock(refit), pytest.raises(LedgerError, match="is held by process"):
        reconcile_sweep(NAME, workspace, is_dry_run)


def _is(line: bytes, kind: str, number: int) -> bool:
    event = json.loads(line)
    return (event["kind"], event.get("number")) == (kind, number)


def _elapsed_s(workspace: Workspace) -> float:
    state = read_ledger(workspace.sweep(NAME))
    return state.elapsed_s(state.last_ms)
