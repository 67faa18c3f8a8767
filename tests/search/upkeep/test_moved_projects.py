"""Addresses in MLflow's database after a project was moved or copied."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from core.errors import TrackingError
from search.experiment.workspace import Workspace
from search.tracking.aliases import set_champion
from search.tracking.project_place import read_place
from search.tracking.registry import champion, download_model, register_version
from search.tracking.store import TrackingStore, locate_store, open_store
from search.upkeep.gc import collect_garbage
from search.upkeep.moved_projects import find_moved_addresses, fix_addresses, settle_project
from tests.search.upkeep.kept_project import NAME

pytest_plugins = ["tests.search.upkeep.copied_project"]


def _addresses(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


def test_a_moved_project_finds_its_files_again(project: TrackingStore, tmp_path: Path) -> None:
    model = project.client().search_logged_models(["1"])[0]
    set_champion(
        project, "whosehand-tiny", register_version(project, "whosehand-tiny", model.model_id, {}).version, None
    )
    shutil.move(tmp_path / "project", tmp_path / "elsewhere")
    with pytest.raises(TrackingError, match="was moved"):
        open_store(root=tmp_path / "elsewhere")
    store = locate_store(root=tmp_path / "elsewhere")
    moved = find_moved_addresses(store)
    assert moved is not None
    assert moved.counts["runs"] == 5
    assert moved.counts["models"] == 4
    before = _addresses(tmp_path / "elsewhere" / "mlruns" / "mlflow.db")
    backup = fix_addresses(store, moved)
    assert _addresses(backup) == before
    assert not any(f"{tmp_path / 'project'}/" in line for line in _addresses(Path(store.uri[10:])))
    assert find_moved_addresses(store) is None
    settle_project(Workspace(tmp_path / "elsewhere"), store, None)
    store = open_store(root=tmp_path / "elsewhere")
    folder = download_model(store, champion(store, "whosehand-tiny").location)
    assert folder.is_relative_to(tmp_path / "elsewhere")
    assert (folder / "MLmodel").is_file()
    run = store.client().search_runs(["1"], "tags.kind = 'sweep'")[0]
    assert "experiment.yaml" in [file.path for file in store.client().list_artifacts(run.info.run_id)]


def test_a_project_that_was_moved_into_its_own_old_folder_is_rewritten_once(
    project: TrackingStore, tmp_path: Path
) -> None:
    shutil.move(tmp_path / "project", tmp_path / "aside")
    inner = tmp_path / "project" / "inner"
    inner.parent.mkdir()
    shutil.move(tmp_path / "aside", inner)
    store = locate_store(root=inner)
    for _ in range(2):
        moved = find_moved_addresses(store)
        if moved is not None:
            fix_addresses(store, moved)
    assert f"{inner}/mlruns/artifacts/{NAME}" in "".join(_addresses(Path(store.uri[10:])))
    assert "inner/inner" not in "".join(_addresses(Path(store.uri[10:])))


def test_a_project_that_was_moved_out_of_a_folder_into_its_place_is_rewritten(
    project: TrackingStore, workspace: Workspace, tmp_path: Path
) -> None:
    inner = tmp_path / "around" / "project"
    inner.parent.mkdir()
    workspace.root.rename(inner)
    settle_project(Workspace(inner), locate_store(root=inner), None)
    inner.rename(tmp_path / "aside")
    inner.parent.rmdir()
    outer = (tmp_path / "aside").rename(inner.parent)
    settle_project(Workspace(outer), locate_store(root=outer), None)
    assert f"{inner}/" not in "".join(_addresses(outer / "mlruns" / "mlflow.db"))


def test_a_copy_leaves_a_database_that_it_shares_with_its_original_alone(workspace: Workspace, tmp_path: Path) -> None:
    database = tmp_path / "lab.db"
    shutil.copy(workspace.root / "mlruns" / "mlflow.db", database)
    before = _addresses(database)
    copy = Workspace(shutil.copytree(workspace.root, tmp_path / "copy"))
    shared = TrackingStore(f"sqlite:///{database}", str(tmp_path / "artifacts"))
    settle_project(copy, shared, None)
    assert _addresses(database) == before


def test_artifacts_that_were_kept_elsewhere_on_purpose_are_left_alone(project: TrackingStore, tmp_path: Path) -> None:
    assert find_moved_addresses(TrackingStore(project.uri, str(tmp_path / "big disk" / "artifacts"))) is None


def test_a_copy_becomes_a_project_of_its_own_and_the_original_stays_as_it_is(
    project: TrackingStore, workspace: Workspace, tmp_path: Path
) -> None:
    before, original = _contents(workspace.root), read_place(workspace.root)
    copy = Workspace(shutil.copytree(workspace.root, tmp_path / "copy"))
    with pytest.raises(TrackingError, match="is a copy"):
        collect_garbage([], copy, 1, is_dry_run=False)
    done = settle_project(copy, locate_store(root=copy.root), None)
    assert done[-1].startswith("this copy is a project of its own now")
    assert collect_garbage([NAME], copy, 1, is_dry_run=False).n_bytes > 0
    assert collect_garbage([NAME], copy, 1, is_dry_run=False).freed == []
    assert _contents(workspace.root) == before
    copied = read_place(copy.root)
    assert copied is not None
    assert original is not None
    assert copied.project_id != original.project_id
    assert settle_project(copy, locate_store(root=copy.root), None) == []


def test_a_project_of_version_0_1_is_known_by_its_database(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.root / "mlruns" / "project.json").unlink()
    moved = Workspace(workspace.root.rename(tmp_path / "elsewhere"))
    with pytest.raises(TrackingError, match=r"was moved from .*project to "):
        open_store(root=moved.root)
    settle_project(moved, locate_store(root=moved.root), None)
    assert find_moved_addresses(open_store(root=moved.root)) is None


def test_what_became_of_a_project_from_another_machine_must_be_said(workspace: Workspace) -> None:
    file = workspace.root / "mlruns" / "project.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"host": "another", "root": "/home/anna/scans"}))
    with pytest.raises(TrackingError, match="--as moved if the project is here alone now, or with --as copied"):
        settle_project(workspace, locate_store(root=workspace.root), None)
    was = read_place(workspace.root)
    settle_project(workspace, locate_store(root=workspace.root), "moved")
    now = read_place(workspace.root)
    assert was is not None
    assert now is not None
    assert (now.project_id, now.root) == (was.project_id, str(workspace.root))


def _contents(folder: Path) -> dict[str, bytes]:
    """All files but locks, which a look opens."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
