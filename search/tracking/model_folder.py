"""A model's folder, kept once: the sweep's folder and MLflow's have the same files under two names (hard links)."""

import errno
import os
import shutil
from pathlib import Path
from urllib.parse import unquote, urlparse

MODELS_FOLDER = "models"
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES)


def local_folder(location: str) -> Path | None:
    """The folder of an artifact address, or `None` if it is not on this machine.

    >>> local_folder("/data/my%20models/m-1"), local_folder("file:///data/my%20models/m-1"), local_folder("s3://b/m-1")
    (PosixPath('/data/my%20models/m-1'), PosixPath('/data/my models/m-1'), None)
    """
    if location.startswith("file:"):
        return Path(unquote(urlparse(location).path))
    return None if ":/" in location else Path(location)


def place_model(folder: Path, place: Path) -> None:
    """Make a model's files appear in a second folder, without a second copy where the file system can do that.

    The new folder is filled aside and renamed, so that a crash leaves no half model; the old one stays as it is. What
    an earlier try left at `place` is replaced.

    Args:
        folder: the model's.
        place: where it is to be too.

    Raises:
        OSError: if the disk is full, or `place` cannot be written.
    """
    aside = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(folder, aside, copy_function=_link_or_copy)
        shutil.rmtree(place, ignore_errors=True)
        aside.rename(place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_model(place: Path) -> None:
    """Delete a model's folder, and the one around it that MLflow makes for each model; without effect if it is gone."""
    around = place.parent
    shutil.rmtree(place, ignore_errors=True)
    if around.name.startswith("m-") and around.parent.name == MODELS_FOLDER:
        shutil.rmtree(around, ignore_errors=True)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        return str(shutil.copy2(source, target))
    return target
