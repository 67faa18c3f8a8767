"""The files of a line store: their names, the key that names the folder, and how they are written."""

import hashlib
import itertools
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from core.corpora.base import CorpusIndex, TextImage
from core.errors import CorpusError, ImageError
from core.image_files import crop_grey, read_grey
from core.ink import InkSettings, TextLine, lines_of_grey

FORMAT_VERSION = 1
"""To be raised whenever the same images and settings would give other lines."""
PIXELS, INK, INDEX, MANIFEST = "pixels.u8", "ink.i32", "index.json", "manifest.json"

Progress = Callable[[int, int], None]
_Lines = list[TextLine]
_WHOLE_FILE_BYTES = 4 * 2**20
_MAX_THREADS = 8


def line_store_key(index: CorpusIndex, settings: InkSettings) -> str:
    """A hash of all that the lines depend on: format, settings, and for each image its ids, region, unit and file.

    A file counts by its content up to 4 MiB. Of a larger one (page scans: hashing gigabytes at every start would
    cost more than it saves) the size, the time of change and the first 64 KiB count: copying it then rebuilds the
    store though nothing changed, but no change goes unseen.
    """
    fingerprint: dict[Path, str] = {}
    rows = []
    for image in index.images:
        if image.path not in fingerprint:
            fingerprint[image.path] = _fingerprint(image.path)
        region = None if image.region is None else list(asdict(image.region).values())
        rows.append([image.image_id, image.writer_id, image.group_id, image.unit, region, fingerprint[image.path]])
    content = {"format": FORMAT_VERSION, "settings": settings.model_dump(mode="json"), "images": rows}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def _fingerprint(path: Path) -> str:
    try:
        status = path.stat()
        with path.open("rb") as file:
            if status.st_size <= _WHOLE_FILE_BYTES:
                return hashlib.sha256(file.read()).hexdigest()
            return f"{status.st_size} {status.st_mtime_ns} {hashlib.sha256(file.read(2**16)).hexdigest()}"
    except OSError as error:
        return f"unreadable: {error.errno}"  # set aside by the build; another key once it can be read


def write_line_store(
    index: CorpusIndex, settings: InkSettings, folder: Path, on_progress: Progress | None = None
) -> None:
    """Read all text images and write their lines into a folder that is there and empty.

    Args:
        index: the corpus.
        settings: how images become lines.
        folder: where the files go.
        on_progress: called with (images done, images in all).

    Raises:
        CorpusError: if more than half of the images cannot be used.
        OSError: if the files cannot be written.
    """
    rows: list[list[object]] = []
    set_aside: list[list[str]] = []
    with _HashedFile(folder / PIXELS) as pixels, _HashedFile(folder / INK) as ink:
        for n_done, (image, lines) in enumerate(_read_all(index.images, settings), start=1):
            if isinstance(lines, ImageError):
                set_aside.append([str(image.path), str(lines)])
            else:
                for number, line in enumerate(lines):
                    pixels.write(line.pixels.tobytes())
                    ink.write(_running_ink(line).tobytes())
                    rows.append([image.image_id, number, image.writer_id, image.group_id, line.pixels.shape[1]])
            if on_progress is not None:
                on_progress(n_done, len(index.images))
    _check_enough(index, set_aside)
    with _HashedFile(folder / INDEX) as file:
        file.write(json.dumps({"lines": rows, "set_aside": set_aside}).encode())
    files = {written.name: written.entry for written in (pixels, ink, file)}
    manifest = {
        "format": FORMAT_VERSION,
        "corpus": index.name,
        "settings": settings.model_dump(mode="json"),
        "height_px": settings.height_px,
        "n_lines": len(rows),
        "files": files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))


def _read_all(images: Sequence[TextImage], settings: InkSettings) -> Iterator[tuple[TextImage, _Lines | ImageError]]:
    """Yield images in order; a few are read ahead in threads (decoding and OpenCV release the interpreter's lock)."""
    n_threads = min(_MAX_THREADS, os.cpu_count() or 1)
    same_file = (list(group) for _, group in itertools.groupby(images, key=lambda image: image.path))
    waiting: deque[Future[list[tuple[TextImage, _Lines | ImageError]]]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        for group in same_file:
            waiting.append(pool.submit(_read_file, group, settings))
            if len(waiting) > 4 * n_threads:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _read_file(images: Sequence[TextImage], settings: InkSettings) -> list[tuple[TextImage, _Lines | ImageError]]:
    """Read the images that are parts of one file, which is decoded once."""
    path = images[0].path
    try:
        grey = read_grey(path)
    except ImageError as error:
        return [(image, error) for image in images]
    results: list[tuple[TextImage, _Lines | ImageError]] = []
    for image in images:
        try:
            results.append((image, lines_of_grey(crop_grey(grey, image.region, path), image, settings)))
        except ImageError as error:
            results.append((image, error))
    return results


def _running_ink(line: TextLine) -> NDArray[np.int32]:
    counts = np.zeros(line.is_ink.shape[1] + 1, dtype="<i4")
    np.cumsum(line.is_ink.sum(axis=0), out=counts[1:])
    return counts


def _check_enough(index: CorpusIndex, set_aside: Sequence[Sequence[str]]) -> None:
    n_images = len(index.images)
    if n_images == 0 or 2 * len(set_aside) > n_images or len(set_aside) == n_images:
        reasons = "; ".join(reason for _, reason in set_aside[:3])
        raise CorpusError(
            f"At least half of a corpus's images must be readable, but {len(set_aside)} of {n_images} of "
            f"{index.name!r} below {index.root} are not: {reasons}. Is `corpus` set to the right layout?"
        )


class _HashedFile:
    """A new file that knows its size and checksum once it is closed, and is on the disk by then."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._hash = hashlib.sha256()
        self._n_bytes = 0
        self._file = path.open("xb")

    @property
    def entry(self) -> dict[str, object]:
        return {"n_bytes": self._n_bytes, "sha256": self._hash.hexdigest()}

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self._hash.update(content)
        self._n_bytes += len(content)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
