"""Where a project keeps its files (all below one folder, the current one by default), and which
code is running.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

ACCESS_LOG = "test_openings.jsonl"


@dataclass(frozen=True)
class Workspace:
    """The folders of a project.

    Attributes:
        root: the project's folder; relative paths of an experiment file start here.
    """

    root: Path

    @property
    def generated(self) -> Path:
        """Corpora that were generated or fetched."""
        return self.root / "data"

    @property
    def line_stores(self) -> Path:
        """Line stores, one folder each, shared by all sweeps."""
        return self.root / "data" / "lines"

    @property
    def starts(self) -> Path:
        """Weights of networks that were trained on generated handwriting, for fits to begin
        with.
        """
        return self.root / "data" / "starts"

    @property
    def indexes(self) -> Path:
        """Indexes of folders that were searched for alike pages, one folder each."""
        return self.root / "data" / "indexes"

    @property
    def access_log(self) -> Path:
        """When sealed test pages were opened, a line each."""
        return self.root / "mlruns" / ACCESS_LOG

    def sweep(self, name: str) -> Path:
        """The ledger, split, checkpoints and files of a sweep."""
        return self.root / "mlruns" / "sweeps" / name


def whosehand_version() -> str:
    """The installed version; `0+unknown` if the code runs without being installed."""
    # Imported here, because it takes 0.04 s that no other command needs.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("whosehand")
    except PackageNotFoundError:
        return "0+unknown"


def git_commit(folder: Path) -> str:
    """The commit checked out in `folder`, with `+` if tracked files were changed; empty outside a
    repository.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    return run.stdout.strip()
