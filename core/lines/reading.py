"""Image files to records, in as many threads as there are cores, never too much of them in memory at once.

Threads and not processes: decoding, NumPy and OpenCV release the interpreter's lock for most of the time, and a
process more would cost as much memory as two pages.
"""

import os
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.corpora.index import TextImage
from core.errors import ImageError
from core.lines.fingerprints import Status, file_status
from core.lines.pool import Record
from core.pages.image_files import crop_grey, read_grey
from core.pages.text_lines import InkSettings, lines_of_grey

_MAX_THREADS = 8
_PIXELS_AT_ONCE = 20_000_000
"""Two A4 pages at 300 dpi; at its peak a page takes about 20 bytes a pixel. A larger image is read alone."""


@dataclass(frozen=True)
class ImageFile:
    """A file to be read, and what of it is wanted.

    Attributes:
        path: of the file.
        status: its status when its content was hashed.
        images: the text images that it is, or holds as regions.
    """

    path: Path
    status: Status
    images: Sequence[TextImage]


@dataclass(frozen=True)
class Unusable:
    """Why a text image gave no lines.

    Attributes:
        reason: in words.
        is_lasting: whether the file's content is the reason, so that reading it again would give the same.
    """

    reason: str
    is_lasting: bool


Outcome = tuple[TextImage, Record | Unusable]


def read_files(files: Iterable[ImageFile], settings: InkSettings) -> Generator[list[Outcome]]:
    """Read files in order, a few of them ahead.

    Args:
        files: each is decoded once.
        settings: how images become lines.

    Yields:
        For each file its text images with their lines, or why there are none; nothing that is wrong with a file
        raises.
    """
    n_threads = min(_MAX_THREADS, _count_cores())
    room = _PixelRoom(_PIXELS_AT_ONCE)
    coming = iter(files)
    threads = ThreadPoolExecutor(n_threads, thread_name_prefix="line-store")
    try:
        waiting: deque[Future[list[Outcome]]] = deque(
            threads.submit(_read_file, file, settings, room) for file in islice(coming, 4 * n_threads)
        )
        while waiting:
            outcomes = waiting.popleft().result()
            waiting.extend(threads.submit(_read_file, file, settings, room) for file in islice(coming, 1))
            yield outcomes
    finally:
        threads.shutdown(cancel_futures=True)


class _PixelRoom:
    """Lets images in as long as their pixels together stay below a limit, and any image when it is alone."""

    def __init__(self, n_pixels: int) -> None:
        self._limit = n_pixels
        self._inside = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, n_pixels: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._inside == 0 or self._inside + n_pixels <= self._limit)
            self._inside += n_pixels
        try:
            yield
        finally:
            with self._changed:
                self._inside -= n_pixels
                self._changed.notify_all()


def _read_file(file: ImageFile, settings: InkSettings, room: _PixelRoom) -> list[Outcome]:
    with room.take(_count_pixels(file.path)):
        try:
            grey = read_grey(file.path)
            outcomes: list[Outcome] = []
            for image in file.images:
                try:
                    outcomes.append((image, _read_image(grey, image, settings)))
                except Exception as error:  # as below
                    outcomes.append((image, _unusable(file.path, error)))
        except Exception as error:  # one bad file, however bad, must not end the build: its reason is kept
            return [(image, _unusable(file.path, error)) for image in file.images]
    if _has_changed(file):
        changed = Unusable(f"The image must stay as it is while it is read, but {file.path} was changed.", False)
        return [(image, changed) for image in file.images]
    return outcomes


def _read_image(grey: NDArray[np.uint8], image: TextImage, settings: InkSettings) -> Record:
    lines = lines_of_grey(crop_grey(grey, image.region, image.path), image, settings)
    if not lines:
        raise ImageError(f"An image must show a text line, but none was found on {image.path}. Remove it.")
    return Record.of_lines(lines)


def _unusable(path: Path, error: Exception) -> Unusable:
    """Tell the content's faults from those of the moment: no memory, no permission, a disk that fails."""
    causes = [error, error.__cause__]
    of_the_moment = any(
        isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno is not None) for cause in causes
    )
    if isinstance(error, ImageError):
        return Unusable(str(error), not of_the_moment)
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    return Unusable(f"The image must be one that can be read, but {path} is not ({said}).", not of_the_moment)


def _count_pixels(path: Path) -> int:
    """As the file's head says; 0 where it says nothing, `read_grey` then tells why."""
    with suppress(Exception), Image.open(path) as image:
        return image.width * image.height
    return 0


def _has_changed(file: ImageFile) -> bool:
    try:
        return file_status(file.path) != file.status
    except OSError:
        return True


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
