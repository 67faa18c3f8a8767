import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from search.experiment.workspace import git_commit, whosehand_version


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    run = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_the_version_is_that_of_the_distribution() -> None:
    assert whosehand_version() == version("whosehand")


def test_a_commit_is_named_and_marked_when_tracked_files_were_changed(tmp_path: Path) -> None:
    _git(tmp_path, "init")
    (tmp_path / "page.txt").write_text("one")
    _git(tmp_path, "add", "page.txt")
    _git(tmp_path, "commit", "-m", "first")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert git_commit(tmp_path) == commit
    (tmp_path / "untracked.txt").write_text("new")
    assert git_commit(tmp_path) == commit
    (tmp_path / "page.txt").write_text("two")
    assert git_commit(tmp_path) == commit + "+"


def test_outside_a_repository_and_without_git_it_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tmp_path) == ""


def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    _git(tmp_path, "init")
    assert git_commit(tmp_path) == ""
