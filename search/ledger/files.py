"""References to files and folders by their content."""

import hashlib
import os
import shutil
from pathlib import Path

from search.ledger.trial import FileReference


def reference_file(path: Path) -> FileReference:
    """Name a file or a folder by what is in it.

    A folder's hash is taken over the relative names, sizes and bytes of its files in sorted order,
    so that it does not depend on where the folder lies or on times of change.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
    """
    sha256, size_bytes = _hash_folder(path) if path.is_dir() else _hash_file(path)
    return FileReference(path=path, sha256=sha256, size_bytes=size_bytes)


def is_intact(reference: FileReference) -> bool:
    """Whether `reference.path` still holds what it held when the reference was made."""
    try:
        return reference_file(reference.path).sha256 == reference.sha256
    except OSError:
        return False


def remove(reference: FileReference) -> None:
    """Delete a file or a folder; without effect if it is gone already."""
    if reference.path.is_dir():
        shutil.rmtree(reference.path, ignore_errors=True)
    else:
        reference.path.unlink(missing_ok=True)


def _hash_file(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size


def _hash_folder(folder: Path) -> tuple[str, int]:
    digest = hashlib.sha256()
    total_bytes = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        sha256, size_bytes = _hash_file(path)
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size_bytes}\0{sha256}\n".encode())
        total_bytes += size_bytes
    return digest.hexdigest(), total_bytes
