"""Which content each image file has: its SHA-256, kept as long as the file's status stays as it
is.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import ImageError

Status = tuple[int, int, int, int]
_N_THREADS = 4
_AT_ONCE = 256
_SILENT_S = 1.0
_SETTLED_NS = 2 * 10**9
"""A file that was changed so shortly before could change again without another time of change: it
is hashed anew."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The content of a file.

    Attributes:
        sha256: of all its bytes.
        status: what `file_status` said just before.
    """

    sha256: str
    status: Status


def file_status(path: Path) -> Status:
    """Size, times of change (of content and entry, ns) and inode; writing to a file changes one.

    Raises:
        OSError: if the file is not there, or may not be seen.
    """
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def fingerprints_of(root: Path, cache_dir: Path) -> Path:
    """The file that keeps the fingerprints of a corpus from one call to the next."""
    return cache_dir / f".files-{hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:20]}.json"


def fingerprint_files(
    paths: Iterable[Path], kept_in: Path, on_progress: Callable[[int, int], None] | None = None
) -> dict[Path, Fingerprint | ImageError]:
    """Take the fingerprints of files.

    Args:
        paths: of the files; repeated ones count once.
        kept_in: the file that keeps fingerprints from one call to the next; made anew where it is
            missing or damaged. Several processes may use it at once: what one of them loses is
            hashed again.
        on_progress: called now and then with (files done, files in all) while files are read.

    Returns:
        For each path its fingerprint, or why it has none; the latter is never kept.

    Raises:
        OSError: if `kept_in` cannot be written.
    """
    kept, now_ns = _load(kept_in), time.time_ns()
    prints: dict[Path, Fingerprint | ImageError] = {}
    to_hash: list[Path] = []
    for path in dict.fromkeys(paths):
        known = kept.get(str(path.absolute()))
        with suppress(OSError):
            if known is not None and known.status == file_status(path):
                prints[path] = known
                continue
        to_hash.append(path)
    with ThreadPoolExecutor(_N_THREADS) as threads:
        for start in range(0, len(to_hash), _AT_ONCE):
            some = to_hash[start : start + _AT_ONCE]
            for path, found in zip(some, threads.map(_fingerprint, some), strict=True):
                prints[path] = found
                if isinstance(found, Fingerprint) and max(found.status[1:3]) < now_ns - _SETTLED_NS:
                    kept[str(path.absolute())] = found
            if on_progress is not None:
                on_progress(len(prints), len(prints) + len(to_hash) - start - len(some))
    if to_hash:
        _save(kept, kept_in)
    return prints


def once_it_takes_long(on_progress: Callable[[int, int], None] | None) -> Callable[[int, int], None] | None:
    """The same function, but silent for the first second."""
    if on_progress is None:
        return None
    started = time.monotonic()

    def tell(n_done: int, n_in_all: int) -> None:
        if time.monotonic() - started > _SILENT_S:
            on_progress(n_done, n_in_all)

    return tell


def _fingerprint(path: Path) -> Fingerprint | ImageError:
    try:
        status = file_status(path)
        if not path.is_file():  # a pipe would be waited for without end
            kind = "a folder" if path.is_dir() else "none"
            return ImageError(f"The image must be a file, but {path} is {kind}. Remove or rename it.")
        with path.open("rb") as file:
            return Fingerprint(hashlib.file_digest(file, "sha256").hexdigest(), status)
    except FileNotFoundError:
        return ImageError(f"The image file must exist, but there is no {path}. Mend the path.")
    except OSError as error:
        return ImageError(
            f"The image file must be readable, but {path} is not ({error.strerror or error}). "
            "Mend its permissions or the disk."
        )


def _load(path: Path) -> dict[str, Fingerprint]:
    try:
        rows = json.loads(path.read_bytes())
        return {name: Fingerprint(sha256, tuple(status)) for name, (sha256, *status) in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # not there or damaged: it only saves time
        return {}


def _save(prints: dict[str, Fingerprint], path: Path) -> None:
    rows = {name: [found.sha256, *found.status] for name, found in prints.items()}
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(rows, separators=(",", ":")))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
