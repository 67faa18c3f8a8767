"""How the lines of a corpus get into the pool: what is there is used, the rest is read, by one process at a time."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from core.corpora.index import TextImage
from core.errors import ImageError
from core.lines.fingerprints import Fingerprint
from core.lines.pool import Place, Pool, Segment, lines_key
from core.lines.reading import ImageFile, Outcome, Unusable, read_files
from core.pages.text_lines import InkSettings

Progress = Callable[[int, int], None]
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
    on_progress: Progress | None = None,
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
        self, images: Sequence[TextImage], prints: Fingerprints, pool: Pool, on_progress: Progress | None
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
