"""Writes that a crash, or a power cut, cannot tear."""

import os
from pathlib import Path

from core.crash_points import crash_point


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one and nothing
    between.

    The content goes to a neighbouring temporary file, to the disk, and is then renamed. Missing
    folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        crash_point("file-written-aside")
        temporary.replace(path)
        crash_point("file-renamed")
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk, so that a new or renamed file survives a power
    cut.
    """
    if os.name != "posix":
        return  # Windows cannot open a folder
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
