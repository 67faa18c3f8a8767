"""Fixtures around a finished sweep, made once; a test module has them by `pytest_plugins`, as
below.

pytest_plugins = ["tests.search.upkeep.copied_project"]
"""

import os
from pathlib import Path

import pytest

from search.experiment.workspace import Workspace
from search.tracking.store import TrackingStore
from tests.search.upkeep.kept_project import copy_project, make_project


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished sweep, to be copied only."""
    folder, here = tmp_path_factory.mktemp("original"), Path.cwd()
    os.chdir(folder)
    try:
        make_project(folder)
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def project(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrackingStore:
    """A copy of the project that a test may damage, which is the current folder; its open store."""
    monkeypatch.chdir(tmp_path)  # and back at the end
    return copy_project(original, tmp_path / "project")


@pytest.fixture
def workspace(project: TrackingStore, tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "project")
