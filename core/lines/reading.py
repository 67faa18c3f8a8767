"""Image files to records, in as many threads as there are cores, never too much of them in memory at once.

Threads and not processes: decoding, NumPy and OpenCV release the interpreter's lock for most of the time, and a
process more would cost as much memory as two pages.

Which content each image file has: its SHA-256, taken once and kept as long as the file's status stays the same.

How the lines of a corpus get into the pool: what is there is used, the rest is read, by one process at a time.
"""

import hashlib
import json
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from filelock import Timeout
from numpy.typing import NDArray
from PIL import Image

from core.corpora.index import TextImage
from core.errors import ImageError
from core.lines.pool import Place, Pool, Record, Segment, lines_key
from core.pages.image_files import crop_grey, read_grey
from core.pages.text_lines import lines_of_grey
from core.settings import InkSettings

Status = tuple[int, int, int, int]
_N_THREADS = 4
_AT_ONCE = 256
_SETTLED_NS = 2 * 10**9
"""A file that was changed so shortly before could change again without another time of change: it is hashed anew."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The content of a file.

    Attributes:
        sha256: of all its bytes.
        status: what the file system said of it just before: size, times of change of content and entry (ns), inode.
    """

    sha256: str
    status: Status


def file_status(path: Path) -> Status:
    """Size, times of change and inode, which no writing to a file leaves all as they were.

    Raises:
        OSError: if the file is not there, or may not be seen.
    """
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def fingerprint_files(
    paths: Iterable[Path], kept_in: Path, on_hashed: Callable[[], None] | None = None
) -> dict[Path, Fingerprint | ImageError]:
    """Take the fingerprints of files.

    Args:
        paths: of the files; repeated ones count once.
        kept_in: the file that keeps fingerprints from one call to the next; made anew where it is missing or damaged.
            Several processes may use it at once: what one of them loses is hashed again.
        on_hashed: called now and then while files have to be read.

    Returns:
        For each path its fingerprint, or why it has none; the latter is never kept.

    Raises:
        OSError: if `kept_in` cannot be written.
    """
    kept = _load(kept_in)
    now_ns = time.time_ns()
    prints: dict[Path, Fingerprint | ImageError] = {}
    to_hash: list[Path] = []
    for path in dict.fromkeys(paths):
        known = kept.get(str(path.absolute()))
        with suppress(OSError):
            if known is not None and known.status == file_status(path):
                prints[path] = known
                continue
        to_hash.append(path)
    if not to_hash:
        return prints
    with ThreadPoolExecutor(_N_THREADS) as threads:
        for start in range(0, len(to_hash), _AT_ONCE):
            some = to_hash[start : start + _AT_ONCE]
            prints.update(zip(some, threads.map(_fingerprint, some), strict=True))
            if on_hashed is not None:
                on_hashed()
    fresh = {path: found for path in to_hash if isinstance(found := prints[path], Fingerprint)}
    settled = {path: found for path, found in fresh.items() if max(found.status[1:3]) < now_ns - _SETTLED_NS}
    if settled:
        _save({**kept, **{str(path.absolute()): found for path, found in settled.items()}}, kept_in)
    return prints


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


ProgressCallback = Callable[[int, int], None]
Fingerprints = Mapping[Path, Fingerprint | ImageError]
_POLL_S = 0.5


@dataclass(frozen=True)
class GatheredLines:
    """What became of each text image: every one is in exactly one of the two.

    Attributes:
        places: by image id, where the pool has its lines.
        unusable: by image id, why there are none.
    """

    places: Mapping[str, Place]
    unusable: Mapping[str, Unusable]


def gather_lines(
    images: Sequence[TextImage],
    fingerprints: Fingerprints,
    pool: Pool,
    settings: InkSettings,
    on_progress: ProgressCallback | None = None,
) -> GatheredLines:
    """See that the pool holds the lines of all these images.

    Only one process at a time reads images into a pool. Another one waits, shows the first one's progress as its own,
    and goes on where that one ended, was killed or had no use for an image.

    Args:
        images: in any order; several may be regions of one file.
        fingerprints: of their files.
        pool: of these settings.
        settings: how images become lines.
        on_progress: called with (images done, images in all), if anything has to be read.

    Raises:
        OSError: if the pool cannot be written; what was read until then stays in it.
    """
    build = _Build(images, fingerprints, pool, on_progress)
    pool.refresh()
    if build.missing():
        with _hold_or_follow(pool, build), Segment(pool) as segment:
            for find_missing in (build.missing_once, build.missing):
                with closing(read_files(find_missing(), settings)) as outcomes:
                    for of_one_file in outcomes:
                        build.keep(of_one_file, segment)
    places = {image_id: pool.places[key] for image_id, key in build.keys.items() if image_id not in build.unusable}
    return GatheredLines(places, build.unusable)


class _Build:
    """One run of `gather_lines`: what is wanted, what is missing still, what cannot be had."""

    def __init__(
        self, images: Sequence[TextImage], prints: Fingerprints, pool: Pool, on_progress: ProgressCallback | None
    ) -> None:
        self.keys: dict[str, str] = {}
        self.unusable: dict[str, Unusable] = {}
        self._images, self._prints, self._pool = images, prints, pool
        self._on_progress = on_progress
        self._n_done = 0
        self._n_sharing: Counter[str] = Counter()
        for image in images:
            found = prints[image.path]
            if isinstance(found, Fingerprint):
                self.keys[image.image_id] = lines_key(image, found.sha256)
            else:
                self.unusable[image.image_id] = Unusable(str(found), is_lasting=False)

    def missing(self) -> list[ImageFile]:
        """The files that hold images whose lines are not in the pool."""
        missing = [image for image in self._images if self._is_missing(image)]
        self._n_sharing = Counter(self.keys[image.image_id] for image in missing)
        self._n_done = len(self._images) - len(missing)
        return self._by_file(missing)

    def missing_once(self) -> list[ImageFile]:
        """Of images with the same content the first alone; where that is of no use, `missing` has the others still."""
        self.missing()
        first = {self.keys[image.image_id]: image for image in reversed(self._images) if self._is_missing(image)}
        return self._by_file(reversed(first.values()))

    def keep(self, outcomes: Sequence[Outcome], segment: Segment) -> None:
        """Add what was read to the pool."""
        for image, outcome in outcomes:
            if isinstance(outcome, Unusable):
                self.unusable[image.image_id] = outcome
                self._n_done += 1
            else:
                segment.add(self.keys[image.image_id], outcome)
                self._n_done += self._n_sharing[self.keys[image.image_id]]
            self.report()

    def report(self) -> None:
        """Tell how far it is."""
        if self._on_progress is not None:
            self._on_progress(self._n_done, len(self._images))

    def _is_missing(self, image: TextImage) -> bool:
        return image.image_id not in self.unusable and self.keys[image.image_id] not in self._pool.places

    def _by_file(self, images: Iterable[TextImage]) -> list[ImageFile]:
        by_file: dict[Path, list[TextImage]] = {}
        for image in images:
            by_file.setdefault(image.path, []).append(image)
        return [ImageFile(path, self._status(path), own) for path, own in by_file.items()]

    def _status(self, path: Path) -> tuple[int, int, int, int]:
        found = self._prints[path]
        if not isinstance(found, Fingerprint):
            raise ValueError(f"Only a file with a fingerprint can be read, but {path} has none: {found}")
        return found.status


@contextmanager
def _hold_or_follow(pool: Pool, build: _Build) -> Iterator[None]:
    """Hold the pool's lock, or see another process read all that is missing here."""
    while True:
        try:
            pool.lock.acquire(timeout=_POLL_S)
        except Timeout:
            pool.refresh()
            if not build.missing():
                yield
                return
            build.report()
        else:
            break
    try:
        pool.refresh()
        yield
    finally:
        pool.lock.release()
