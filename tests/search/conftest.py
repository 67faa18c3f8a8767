import shutil
from pathlib import Path

import mlflow
import pytest

from search.tracking.store import TrackingStore, open_store


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh tracking database: making one takes a second or more, copying it nothing."""
    root = tmp_path_factory.mktemp("tracking")
    open_store(root=root)
    return root / "mlruns" / "mlflow.db"


@pytest.fixture
def store(empty_database: Path, tmp_path: Path) -> TrackingStore:
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_database, tmp_path / "mlruns" / "mlflow.db")
    opened = open_store(root=tmp_path)
    assert mlflow.get_tracking_uri() == opened.uri
    return opened
