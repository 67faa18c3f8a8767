import shutil
from pathlib import Path

import pytest
from mlflow.entities import LoggedModel

from core.errors import LedgerError, WhosehandError
from core.lines.pool import Pool
from core.retrieval.descriptor_index import DescriptorIndex
from core.settings import InkSettings
from search.experiment.workspace import Workspace
from search.identification.kept_indexes import note_origin
from search.ledger.ledger import LEDGER_NAME, Ledger, read_ledger
from search.ledger.trial import TrialState
from search.tracking.aliases import set_champion
from search.tracking.registry import register_version
from search.tracking.store import TrackingStore
from search.upkeep.doctor import check_indexes
from search.upkeep.gc import Collection, collect_garbage
from search.upkeep.machine_checks import Level, Subject
from search.upkeep.reconcile import reconcile_sweep
from tests.search.upkeep.kept_project import N_TRIALS, NAME

pytest_plugins = ["tests.search.upkeep.copied_project"]


def _models(store: TrackingStore) -> dict[int, LoggedModel]:
    experiment_id = store.client().get_experiment_by_name(NAME).experiment_id
    return {int(model.tags["trial"]): model for model in store.client().search_logged_models([experiment_id])}


def _ranked(workspace: Workspace) -> list[int]:
    trials = read_ledger(workspace.sweep(NAME)).trials.values()
    return [trial.number for trial in sorted(trials, key=lambda trial: trial.value or 0.0)]


def _kinds(found: Collection) -> dict[str, int]:
    return {freed.what: freed.n_trials for freed in found.freed}


def _apply(workspace: Workspace, keep: int, *names: str) -> Collection:
    looked = collect_garbage(names, workspace, keep, is_dry_run=True)
    deleted = collect_garbage(names, workspace, keep, is_dry_run=False)
    assert deleted == looked
    assert not any(path.exists() for freed in looked.freed for path in freed.paths)
    return looked


def test_models_and_files_below_the_best_go_here_and_in_mlflow(project: TrackingStore, workspace: Workspace) -> None:
    before, ranked = _models(project), _ranked(workspace)
    found = _apply(workspace, 2, NAME)
    assert _kinds(found) == {"model": 2, "files": 2}
    assert found.n_bytes > 0
    assert set(_models(project)) == set(ranked[:2])
    there = {number: Path(model.artifact_location).parent.exists() for number, model in before.items()}
    assert there == {number: number in ranked[:2] for number in range(N_TRIALS)}
    folders = {int(path.parent.name) for path in (workspace.sweep(NAME) / "trials").glob("*/attempt-1")}
    assert folders == set(ranked[:2])
    assert list(collect_garbage([NAME], workspace, 2, is_dry_run=True).freed) == []


def test_nobody_misses_what_was_dropped(workspace: Workspace) -> None:
    _apply(workspace, 1, NAME)
    assert list(reconcile_sweep(NAME, workspace, is_dry_run=True).found) == []


def test_a_dry_run_deletes_nothing(project: TrackingStore, workspace: Workspace) -> None:
    files = sorted((workspace.root / "mlruns").rglob("*"))
    found = collect_garbage([NAME], workspace, 1, is_dry_run=True)
    assert found.n_bytes > 0
    assert sorted((workspace.root / "mlruns").rglob("*")) == files
    assert len(_models(project)) == N_TRIALS


def test_a_registered_model_is_kept_with_an_alias_or_without(project: TrackingStore, workspace: Workspace) -> None:
    ranked, models = _ranked(workspace), _models(project)
    registered = register_version(project, "whosehand-tiny", models[ranked[3]].model_id, {})
    set_champion(project, "whosehand-tiny", registered.version, None)
    register_version(project, "whosehand-tiny", models[ranked[2]].model_id, {})
    _apply(workspace, 1, NAME)
    assert set(_models(project)) == {ranked[0], ranked[2], ranked[3]}
    assert (Path(models[ranked[3]].artifact_location) / "MLmodel").is_file()
    assert (workspace.sweep(NAME) / "trials" / str(ranked[3])).is_dir()


def test_the_best_lose_spent_checkpoints_and_earlier_attempts_only(workspace: Workspace) -> None:
    best = workspace.sweep(NAME) / "trials" / str(_ranked(workspace)[0])
    spent = best / "attempt-1" / "checkpoints" / "epoch-00002.npz"
    spent.parent.mkdir(exist_ok=True)
    spent.write_bytes(bytes(500))
    (best / "attempt-9").mkdir()
    found = _apply(workspace, N_TRIALS, NAME)
    assert _kinds(found) == {"checkpoints": 1, "left over by a crash": 1}
    assert found.n_bytes >= 500
    assert (best / "attempt-1" / "model" / "MLmodel").is_file()


def test_a_trial_that_may_go_on_or_is_not_tracked_keeps_all(project: TrackingStore, workspace: Workspace) -> None:
    path = workspace.sweep(NAME) / LEDGER_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b'"tracked"' not in line))
    assert list(collect_garbage([NAME], workspace, 1, is_dry_run=True).freed) == []
    path.write_bytes(b"".join(line for line in lines if b'"kind": "ended"' not in line and b'"tracked"' not in line))
    assert {trial.state for trial in read_ledger(path.parent).trials.values()} == {TrialState.RUNNING}
    assert list(collect_garbage([NAME], workspace, 1, is_dry_run=True).freed) == []


def test_a_running_sweep_is_refused_by_name_and_skipped_among_all(workspace: Workspace) -> None:
    with Ledger(workspace.sweep(NAME)):
        with pytest.raises(LedgerError, match="is held by process"):
            collect_garbage([NAME], workspace, 1, is_dry_run=False)
        found = collect_garbage([], workspace, 1, is_dry_run=False)
    assert list(found.freed) == []
    assert "held by process" in found.skipped[0]


def test_after_a_move_nothing_is_deleted_before_the_addresses_are_fixed(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(original, tmp_path / "moved"))
    with pytest.raises(WhosehandError, match="doctor --apply"):
        collect_garbage([], Workspace(tmp_path / "moved"), 1, is_dry_run=False)


def test_lines_that_no_sweep_needs_go_and_others_stay(workspace: Workspace) -> None:
    used = Pool(workspace.line_stores, InkSettings()).folder
    unused = Pool(workspace.line_stores, InkSettings(height_px=40)).folder
    keys = {name: workspace.line_stores / (name * 20) for name in "abc"}
    for folder in (used, unused, *keys.values(), workspace.line_stores / "my notes"):
        folder.mkdir(parents=True)
        (folder / "1.pack").write_bytes(bytes(1000))
    for name, pool in (("a", used), ("b", unused)):
        (keys[name] / "lines.json").write_text(f'{{"pool": "{pool.name}"}}\n')
    with Pool(workspace.line_stores, InkSettings(height_px=40)).lock:
        assert [freed.what for freed in collect_garbage([], workspace, N_TRIALS, is_dry_run=True).freed] == [
            "lines of another version, or damaged"
        ]
    found = _apply(workspace, N_TRIALS)
    assert {freed.what: freed.n_bytes for freed in found.freed}["lines of ink settings that no sweep has"] == 1000
    left = sorted(path.name for path in workspace.line_stores.iterdir())
    assert left == sorted([used.name, keys["a"].name, "my notes"])


def test_a_repeated_attempt_is_known_and_the_one_with_the_result_is_kept(workspace: Workspace) -> None:
    best = workspace.sweep(NAME) / "trials" / str(_ranked(workspace)[0])
    (best / "attempt-1-again-1").mkdir()
    assert list(reconcile_sweep(NAME, workspace, is_dry_run=True).found) == []
    (freed,) = _apply(workspace, N_TRIALS, NAME).freed
    assert (freed.what, list(freed.paths)) == ("files", [best / "attempt-1-again-1"])
    assert (best / "attempt-1" / "model" / "MLmodel").is_file()


def test_indexes_of_pages_whose_folder_or_model_is_gone_go(project: TrackingStore, workspace: Workspace) -> None:
    archive = workspace.root / "archive"
    archive.mkdir()
    for name, described in (("0" * 16, archive), ("1" * 16, workspace.root / "moved-away")):
        index = DescriptorIndex.open_or_create(workspace.indexes / name, 4, "a model")
        note_origin(index.folder, described, workspace.root / "no-model")
    DescriptorIndex.open_or_create(workspace.indexes / "kept by somebody", 4, "a model")
    assert [finding.level for finding in check_indexes(Subject(workspace, None, project))] == [Level.NOTE] * 2
    found = _apply(workspace, N_TRIALS)
    assert {"indexes of a folder that is gone", "indexes of a model that is gone"} <= set(_kinds(found))
    assert [path.name for path in workspace.indexes.iterdir()] == ["kept by somebody"]
    assert list(check_indexes(Subject(workspace, None, project))) == []
