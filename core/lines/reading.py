"""Image files to lines in the pool: what is there is used, the rest is read, by one process at
once.

Files are read in as many threads as there are cores, never too much of them in memory at once.
Decoding, NumPy and OpenCV release the interpreter's lock for most of the time, so that two cores
are kept busy by threads alone. Where there are more cores, and enough to read, each thread hands
its files to a process of its own.
"""

import os
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import psutil
from filelock import Timeout

from core.corpora.index import TextImage
from core.errors import ImageError
from core.lines.file_reading import Outcomes, Unusable, read_file
from core.lines.fingerprints import Fingerprint, file_status
from core.lines.pool import Pool, Segment, lines_key
from core.lines.reading_process import ReadingProcess
from core.pages.image_formats import count_pixels
from core.settings import InkSettings

ProgressCallback = Callable[[int, int], None]
_MAX_THREADS = 8
_PIXELS_AT_ONCE = 20_000_000
"""Two A4 pages at 300 dpi; at its peak a page takes about 20 bytes a pixel. A larger image is read
alone."""
_POLL_S = 0.5
_CORES_FOR_THREADS = 2
_FILES_A_PROCESS = 50
"""Fewer are read before the processes have started."""
_BYTES_A_PROCESS = 500_000_000
"""Libraries, a page, and what is made of it."""


def gather_lines(
    images: Sequence[TextImage],
    prints: Mapping[Path, Fingerprint | ImageError],
    pool: Pool,
    settings: InkSettings,
    on_progress: ProgressCallback | None = None,
    n_processes: int | None = None,
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
        n_processes: that read files; 0 for threads of this one. `None` for what suits the machine.

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
                with closing(_read_files(find_files(), prints, settings, n_processes)) as outcomes:
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

    def keep(self, outcomes: Outcomes, segment: Segment) -> None:
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
    files: Mapping[Path, list[TextImage]],
    prints: Mapping[Path, Fingerprint | ImageError],
    settings: InkSettings,
    n_processes: int | None,
) -> Generator[Outcomes]:
    """Read files in order, a few of them ahead; each is decoded once.

    Nothing that is wrong with a file raises.
    """
    if n_processes is None:
        n_processes = _processes_for(len(files))
    n_threads = n_processes or min(_MAX_THREADS, _count_cores())
    readers = _Readers(n_processes)
    room = _PixelRoom(max(_PIXELS_AT_ONCE, n_processes * _PIXELS_AT_ONCE // 2))
    threads = ThreadPoolExecutor(n_threads, thread_name_prefix="line-store")
    coming = (
        threads.submit(_read_file, path, prints[path], images, settings, room, readers)
        for path, images in files.items()
    )
    try:
        waiting: deque[Future[Outcomes]] = deque(islice(coming, 4 * n_threads))
        while waiting:
            outcomes = waiting.popleft().result()
            waiting.extend(islice(coming, 1))
            yield outcomes
    finally:
        readers.close()
        threads.shutdown(cancel_futures=True)


def _processes_for(n_files: int) -> int:
    """As many as there are cores and memory for, where that is worth their start; else 0."""
    n_cores = _count_cores()
    if n_cores <= _CORES_FOR_THREADS or n_files < _FILES_A_PROCESS * n_cores:
        return 0
    return max(0, min(n_cores, psutil.virtual_memory().available // 2 // _BYTES_A_PROCESS))


class _Readers:
    """Reads files here, or in a process for each thread that asks."""

    def __init__(self, n_processes: int) -> None:
        self._processes: queue.SimpleQueue[ReadingProcess] | None = None
        self._all = [ReadingProcess() for _ in range(n_processes)]
        if n_processes:
            self._processes = queue.SimpleQueue()
            for process in self._all:
                self._processes.put(process)

    def read(self, path: Path, images: Sequence[TextImage], settings: InkSettings) -> tuple[Outcomes, Outcomes]:
        if self._processes is None:
            return read_file(path, images, settings)
        process = self._processes.get()
        try:
            return process.read(path, images, settings)
        except EOFError as error:
            return [], [
                (image, Unusable(f"The image must be one that can be read, but {error}.", False)) for image in images
            ]
        finally:
            self._processes.put(process)

    def close(self) -> None:
        for process in self._all:
            process.close()


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
    readers: _Readers,
) -> Outcomes:
    with room.take(count_pixels(path)):
        found, unread = readers.read(path, images, settings)
    if found and (not isinstance(known, Fingerprint) or _has_changed(path, known)):
        reason = f"The image must stay as it is while it is read, but {path} was changed."
        found = [(image, Unusable(reason, is_lasting=False)) for image, _ in found]
    return [*found, *unread]


def _has_changed(path: Path, known: Fingerprint) -> bool:
    try:
        return file_status(path) != known.status
    except OSError:
        return True


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
