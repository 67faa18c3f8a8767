"""Image files to lines in the pool: what is there is used, the rest is read, by one process at
once.

Files are read in as many threads as there are cores, never too much of them in memory at once.
Threads and not processes: decoding, NumPy and OpenCV release the interpreter's lock for most of the
time, and a process more would cost as much memory as two pages.
"""

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from filelock import Timeout
from numpy.typing import NDArray

from core.corpora.index import TextImage
from core.errors import ImageError
from core.lines.fingerprints import Fingerprint, file_status
from core.lines.pool import Pool, Segment, encode_lines, lines_key
from core.pages.image_files import crop_grey, read_grey
from core.pages.image_formats import count_pixels
from core.pages.reading_signs import Reading, measure_reading
from core.pages.text_lines import read_lines
from core.settings import InkSettings

ProgressCallback = Callable[[int, int], None]
_MAX_THREADS = 8
_PIXELS_AT_ONCE = 20_000_000
"""Two A4 pages at 300 dpi; at its peak a page takes about 20 bytes a pixel. A larger image is read
alone."""
_POLL_S = 0.5


@dataclass(frozen=True)
class Unusable:
    """Why a text image gave no lines.

    Attributes:
        reason: in words.
        is_lasting: whether the file's content is the reason, so that reading it again would give
            the same.
    """

    reason: str
    is_lasting: bool


_Encoded = tuple[tuple[int, ...], bytes, Reading | None]
_Outcomes = list[tuple[TextImage, _Encoded | Unusable]]


def gather_lines(
    images: Sequence[TextImage],
    prints: Mapping[Path, Fingerprint | ImageError],
    pool: Pool,
    settings: InkSettings,
    on_progress: ProgressCallback | None = None,
) -> dict[str, Unusable]:
    """See that the pool holds the lines of all these images.

    Only one process at a time reads images into a pool. Another one waits, shows the first one's
    progress as its own, and goes on where that one ended, was killed or had no use for an image.

    Args:
        images: in any order; several may be regions of one file.
        prints: the fingerprints of their files.
        pool: of these settings; has the places of the others afterwards.
        settings: how images become lines.
        on_progress: called with (images done, images in all), if anything has to be read.

    Returns:
        By image id, why an image has no lines.

    Raises:
        OSError: if the pool cannot be written; what was read until then stays in it.
    """
    gathering = _Gathering(images, prints, pool, on_progress)
    pool.refresh()
    if gathering.missing():
        with _hold_or_follow(pool, gathering), Segment(pool) as segment:
            # Of images with the same content the first is read; where it is of no use, the others.
            for find_files in (gathering.files_of_first, gathering.files):
                with closing(_read_files(find_files(), prints, settings)) as outcomes:
                    for of_one_file in outcomes:
                        gathering.keep(of_one_file, segment)
    return gathering.unusable


class _Gathering:
    """One run of `gather_lines`: what is wanted, what is missing still, what cannot be had."""

    def __init__(
        self,
        images: Sequence[TextImage],
        prints: Mapping[Path, Fingerprint | ImageError],
        pool: Pool,
        on_progress: ProgressCallback | None,
    ) -> None:
        self._images, self._pool, self._on_progress = images, pool, on_progress
        self._keys: dict[str, str] = {}
        self.unusable: dict[str, Unusable] = {}
        self._n_done = 0
        self._n_sharing: Counter[str] = Counter()
        for image in images:
            found = prints[image.path]
            if isinstance(found, Fingerprint):
                self._keys[image.image_id] = lines_key(image, found.sha256)
            else:
                self.unusable[image.image_id] = Unusable(str(found), is_lasting=False)

    def missing(self) -> list[TextImage]:
        """The images that may have lines, which the pool has not; counts what is done."""
        missing = [
            image
            for image in self._images
            if image.image_id not in self.unusable and self._keys[image.image_id] not in self._pool.places
        ]
        self._n_sharing = Counter(self._keys[image.image_id] for image in missing)
        self._n_done = len(self._images) - len(missing)
        return missing

    def files(self) -> dict[Path, list[TextImage]]:
        """The missing images by the file that holds them."""
        return _by_file(self.missing())

    def files_of_first(self) -> dict[Path, list[TextImage]]:
        """Like `files`, with the first alone of images that have the same content."""
        first: dict[str, TextImage] = {}
        for image in self.missing():
            first.setdefault(self._keys[image.image_id], image)
        return _by_file(first.values())

    def keep(self, outcomes: _Outcomes, segment: Segment) -> None:
        """Add what was read to the pool."""
        for image, outcome in outcomes:
            if isinstance(outcome, Unusable):
                self.unusable[image.image_id] = outcome
                self._n_done += 1
            else:
                segment.add(self._keys[image.image_id], *outcome)
                self._n_done += self._n_sharing[self._keys[image.image_id]]
            self.report()

    def report(self) -> None:
        """Tell how far it is."""
        if self._on_progress is not None:
            self._on_progress(self._n_done, len(self._images))


def _by_file(images: Iterable[TextImage]) -> dict[Path, list[TextImage]]:
    by_file: dict[Path, list[TextImage]] = {}
    for image in images:
        by_file.setdefault(image.path, []).append(image)
    return by_file


@contextmanager
def _hold_or_follow(pool: Pool, gathering: _Gathering) -> Iterator[None]:
    """Hold the pool's lock, or see another process read all that is missing here."""
    while True:
        try:
            pool.lock.acquire(timeout=_POLL_S)
        except Timeout:
            pool.refresh()
            if not gathering.missing():
                yield
                return
            gathering.report()
        else:
            break
    try:
        pool.refresh()
        yield
    finally:
        pool.lock.release()


def _read_files(
    files: Mapping[Path, list[TextImage]], prints: Mapping[Path, Fingerprint | ImageError], settings: InkSettings
) -> Generator[_Outcomes]:
    """Read files in order, a few of them ahead; each is decoded once.

    Nothing that is wrong with a file raises.
    """
    n_threads = min(_MAX_THREADS, _count_cores())
    room = _PixelRoom(_PIXELS_AT_ONCE)
    threads = ThreadPoolExecutor(n_threads, thread_name_prefix="line-store")
    coming = (threads.submit(_read_file, path, prints[path], images, settings, room) for path, images in files.items())
    try:
        waiting: deque[Future[_Outcomes]] = deque(islice(coming, 4 * n_threads))
        while waiting:
            outcomes = waiting.popleft().result()
            waiting.extend(islice(coming, 1))
            yield outcomes
    finally:
        threads.shutdown(cancel_futures=True)


class _PixelRoom:
    """Lets images in while their pixels together stay below a limit, and any image alone."""

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


def _read_file(
    path: Path,
    known: Fingerprint | ImageError,
    images: Sequence[TextImage],
    settings: InkSettings,
    room: _PixelRoom,
) -> _Outcomes:
    read: _Outcomes = []
    unread: _Outcomes = []
    with room.take(count_pixels(path)):
        for frame, of_frame in groupby(sorted(images, key=_frame), key=_frame):
            own = tuple(of_frame)
            try:
                grey = read_grey(path, frame=frame or None)
            except Exception as error:  # one bad file, however bad, must not end the build: its reason is kept
                unread += [(image, _unusable(path, error)) for image in own]
            else:
                read += [(image, _find_lines(grey, image, settings)) for image in own]
    if read and (not isinstance(known, Fingerprint) or _has_changed(path, known)):
        reason = f"The image must stay as it is while it is read, but {path} was changed."
        read = [(image, Unusable(reason, is_lasting=False)) for image, _ in read]
    return [*read, *unread]


def _frame(image: TextImage) -> int:
    return image.frame or 0


def _find_lines(grey: NDArray[np.uint8], image: TextImage, settings: InkSettings) -> _Encoded | Unusable:
    try:
        page, lines = read_lines(crop_grey(grey, image.region, image.path), image, settings)
        if not lines:
            raise ImageError(f"An image must show a text line, but none was found on {image.path}. Remove it.")
        return *encode_lines(lines), None if image.unit == "line" else measure_reading(page, lines, image.unit)
    except Exception as error:  # as above
        return _unusable(image.path, error)


def _has_changed(path: Path, known: Fingerprint) -> bool:
    try:
        return file_status(path) != known.status
    except OSError:
        return True


def _unusable(path: Path, error: Exception) -> Unusable:
    """Tell the content's faults from those of the moment: no memory, no permission, a bad disk."""
    of_the_moment = any(
        isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno is not None)
        for cause in (error, error.__cause__)
    )
    if isinstance(error, ImageError):
        return Unusable(str(error), not of_the_moment)
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    return Unusable(f"The image must be one that can be read, but {path} is not ({said}).", not of_the_moment)


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
