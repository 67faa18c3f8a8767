import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from mlflow.telemetry import get_telemetry_client

from core.errors import ConfigError, TrackingError
from search.experiment.settings import TrackingSettings
from search.tracking.store import TrackingStore, open_store, tracking_errors


def test_the_default_store_lies_under_mlruns(store: TrackingStore, tmp_path: Path) -> None:
    assert store.uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert store.artifact_root == f"{tmp_path}/mlruns/artifacts"
    assert Path(store.artifact_root).is_dir()


def test_opening_again_keeps_what_is_there(store: TrackingStore, tmp_path: Path) -> None:
    experiment_id = store.client().create_experiment("toy")
    again = open_store(root=tmp_path)
    assert again == store
    assert again.client().get_experiment(experiment_id).name == "toy"


def test_even_the_default_experiment_writes_below_the_artifact_root(tmp_path: Path) -> None:
    created = open_store(root=tmp_path)
    assert created.client().get_experiment("0").artifact_location == f"{tmp_path}/mlruns/artifacts/0"


def test_a_relative_address_starts_at_the_root(empty_database: Path) -> None:
    root = empty_database.parents[1]
    assert open_store(TrackingSettings(uri="sqlite:///mlruns/mlflow.db"), root).uri == f"sqlite:///{empty_database}"


@pytest.mark.slow
@pytest.mark.long
def test_two_processes_may_create_the_same_store_at_once(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from search.tracking.store import open_store; open_store(root=pathlib.Path(sys.argv[1]))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [(process.communicate()[1], process.returncode) for process in both] == [("", 0), ("", 0)]


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "ftp://host/x", "databricks"])
def test_an_address_of_an_unknown_kind_is_refused_with_the_allowed_ones(uri: str) -> None:
    with pytest.raises(ConfigError, match="starts with sqlite://"):
        TrackingSettings(uri=uri)


def test_a_negative_number_of_models_is_refused() -> None:
    with pytest.raises(ConfigError, match="`all` or a number from 0"):
        TrackingSettings(keep_models=-1)


def test_a_file_in_the_way_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("in the way")
    with pytest.raises(TrackingError, match=r"needs a folder that can be written, but .*/mlruns"):
        open_store(root=tmp_path)


def test_a_folder_that_cannot_be_written_is_a_clear_error() -> None:
    with pytest.raises(TrackingError, match="/proc"):  # not even root may write there
        open_store(root=Path("/proc"))


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    database = tmp_path / "mlruns" / "mlflow.db"
    database.parent.mkdir()
    database.write_text("a diary")
    with pytest.raises(TrackingError, match="another kind of file"):
        open_store(root=tmp_path)
    assert database.read_text() == "a diary"


def test_a_database_of_another_mlflow_is_refused_with_the_command_that_mends_it(
    store: TrackingStore, tmp_path: Path
) -> None:
    path = Path(store.uri.removeprefix("sqlite:///"))
    with sqlite3.connect(path) as database:
        database.execute("update alembic_version set version_num = '0a8213491aaa'")
    database.close()
    with pytest.raises(TrackingError, match=f"mlflow db upgrade sqlite:///{path}"):
        open_store(root=tmp_path)


def test_a_server_that_is_away_is_a_clear_error_at_once() -> None:
    started_s = time.monotonic()
    with pytest.raises(TrackingError, match=r"No MLflow server answers at http://127\.0\.0\.1:9"):
        open_store(TrackingSettings(uri="http://127.0.0.1:9"))
    assert time.monotonic() - started_s < 10


def test_another_database_needs_a_place_for_artifacts_and_its_password_is_not_shown() -> None:
    with pytest.raises(TrackingError, match=r"tracking\.artifacts") as caught:
        open_store(TrackingSettings(uri="postgresql://me:secret@host/db"))
    assert "secret" not in str(caught.value)


def test_what_mlflow_raises_becomes_a_tracking_error_that_names_the_store(store: TrackingStore) -> None:
    with (
        pytest.raises(TrackingError, match="Cannot fetch a run in the tracking store sqlite"),
        tracking_errors("fetch a run", store),
    ):
        store.client().get_run("0" * 32)


def test_an_experiment_folder_carries_a_name_that_any_file_system_takes(store: TrackingStore) -> None:
    assert store.artifact_location("a/b c:d") == f"{store.artifact_root}/a-b-c-d"


def test_telemetry_is_off_even_where_mlflow_was_imported_first() -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert get_telemetry_client() is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may take another user id")
def test_a_store_that_may_only_be_read_is_opened() -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        open_store(root=root)
        for path in (root, *root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        before = sorted(root.rglob("*"))
        code = (
            "import os, sys\nfrom pathlib import Path\nfrom search.tracking.store import open_store\n"
            "os.setgid(54321)\nos.setuid(54321)\nprint(open_store(root=Path(sys.argv[1])).uri)"
        )
        done = subprocess.run([sys.executable, "-c", code, place], capture_output=True, text=True)
        assert done.stdout.strip() == f"sqlite:///{root}/mlruns/mlflow.db", done.stderr
        assert sorted(root.rglob("*")) == before
