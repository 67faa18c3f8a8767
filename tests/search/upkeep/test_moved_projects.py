"""Addresses in MLflow's database after a project was moved or copied."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from search.tracking.aliases import set_champion
from search.tracking.registry import champion, download_model, register_version
from search.tracking.store import TrackingStore, locate_store, open_store
from search.upkeep.moved_projects import find_moved_addresses, fix_addresses
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
    store = open_store(root=tmp_path / "elsewhere")
    moved = find_moved_addresses(store)
    assert moved is not None
    assert moved.counts["runs"] == 5
    assert moved.counts["models"] == moved.counts["folders of models"] == 4
    before = _addresses(tmp_path / "elsewhere" / "mlruns" / "mlflow.db")
    backup = fix_addresses(store, moved)
    assert _addresses(backup) == before
    assert not any(f"{tmp_path / 'project'}/" in line for line in _addresses(Path(store.uri[10:])))
    assert find_moved_addresses(store) is None
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


def test_artifacts_that_were_kept_elsewhere_on_purpose_are_left_alone(project: TrackingStore, tmp_path: Path) -> None:
    assert find_moved_addresses(TrackingStore(project.uri, str(tmp_path / "big disk" / "artifacts"))) is None
