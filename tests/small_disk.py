"""A disk of a few megabytes that can be filled."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BALLAST = "ballast"


@contextmanager
def mounted(folder: Path, n_bytes: int) -> Iterator[Path]:
    """Mount a disk of so many bytes at a folder.

    Raises:
        PermissionError: if this user, or this container, may not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "whosehand-small-disk", str(folder)]
    mount = subprocess.run(command, capture_output=True, text=True, check=False)
    if mount.returncode:
        raise PermissionError(mount.stderr)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Two megabytes; needs the right to mount."""
    try:
        with mounted(tmp_path / "small", 2_000_000) as folder:
            yield folder
    except (PermissionError, FileNotFoundError) as error:
        pytest.skip(f"a small disk must be mounted, which needs a privileged user: {error}")


def fill(folder: Path) -> None:
    """Use up all that is left of the disk."""
    with (folder / BALLAST).open("ab", buffering=0) as file:
        try:
            while True:
                file.write(os.urandom(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def make_room(folder: Path) -> None:
    """Take the filling away."""
    (folder / BALLAST).unlink()
