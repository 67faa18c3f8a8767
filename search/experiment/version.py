"""Which code this is."""

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def whosehand_version() -> str:
    """The installed version; `0+unknown` if the code runs without being installed."""
    try:
        return version("whosehand")
    except PackageNotFoundError:
        return "0+unknown"


def git_commit(folder: Path) -> str:
    """The commit checked out in `folder`, with `+` if tracked files were changed; empty outside a repository."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    return run.stdout.strip()
