"""Every text line of a corpus, decoded and scaled once, in memory-mapped files that all processes share.

    <cache_dir>/<key>/lines.json      which line is whose, and what was set aside: `core.lines.view`
    <cache_dir>/pool-<key>/           the pixels, by content of the image files: `core.lines.pool`
    <cache_dir>/.files-<key>.json     which file has which content: `core.lines.fingerprints`

A store is a list of places in a pool. Choosing other writers, renaming them or adding a page makes another list, but
reads no image that was ever read with the same ink settings. It knows nothing of splits. All of it can be deleted at
will, and is built again.
"""

import hashlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.corpora.index import CorpusIndex
from core.errors import CorpusError, ImageError, LineStoreError
from core.lines.build import Progress, gather_lines
from core.lines.fingerprints import fingerprint_files
from core.lines.pool import Pool, checksum, record_bytes
from core.lines.source import StoredLine
from core.lines.view import LineList, StoredImage, line_store_key, read_list, write_list
from core.pages.text_lines import InkSettings

__all__ = ["LineStore", "StoredLine", "build_line_store"]
_SILENT_S = 1.0


def build_line_store(
    index: CorpusIndex,
    settings: InkSettings,
    cache_dir: Path,
    on_progress: Progress | None = None,
) -> "LineStore":
    """Open the store of these lines; what of it is not there, or damaged, is read first.

    Safe to call from several processes at once, and to kill: what was read is kept, and the next call goes on with the
    rest. Images without readable ink are set aside with a reason; how many are too many is for
    `core.corpora.corpus_report`.

    Args:
        index: the corpus.
        settings: how images become lines.
        cache_dir: the folder that holds the stores of all corpora.
        on_progress: called with (images done, images in all), if there is anything to read.

    Raises:
        CorpusError: if there are no images.
        LineStoreError: if the folder cannot be written.
    """
    if not index.images:
        raise CorpusError(
            f"A corpus must have at least one image, but {index.name!r} below {index.root} has none. "
            "Is `corpus` set to the right layout?"
        )
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        return _open_or_build(index, settings, cache_dir, on_progress)
    except OSError as error:
        raise LineStoreError(
            f"Line stores must be written to {cache_dir}, but that failed ({error}). "
            "Free space, or choose another folder; the lines that are there already are kept."
        ) from error


class LineStore:
    """A built store, opened for reading; pickles as its path, and every process maps the same memory.

    Attributes:
        folder: where its list lies; the pool is a neighbour of it.
        height_px: the height of every line.
        lines: what is known about each line, in the order of the corpus.
        set_aside: the images that gave no line, and why.
    """

    def __init__(self, folder: Path, content: LineList) -> None:
        self.folder = folder
        self.height_px = content.height_px
        self.lines = tuple(line for image in content.images for line in _lines_of(image))
        self.set_aside = content.set_aside
        self._content = content
        self._places = [place for image in content.images for place in _places_of(image, content.height_px)]
        self._packs: dict[str, NDArray[np.uint8]] = {}

    @classmethod
    def open(cls, folder: Path) -> "LineStore":
        """Open a built store; the checksum of the list and the sizes of the packs are checked, the pixels are not.

        Raises:
            LineStoreError: if the list or a pack is missing, damaged or of another format.
        """
        folder = folder.absolute()  # a worker may run elsewhere
        return cls(folder, read_list(folder))

    def __reduce__(self) -> tuple[Callable[[Path], "LineStore"], tuple[Path]]:
        """Pickle as the path alone."""
        return LineStore.open, (self.folder,)

    def __len__(self) -> int:
        """The number of lines."""
        return len(self.lines)

    def pixels(self, line: int) -> NDArray[np.uint8]:
        """The pixels of a line: a read-only view, (height_px, width_px), 255 is paper."""
        pack, _, start = self._places[line]
        shape = self.height_px, self.lines[line].width_px
        return self._map(pack)[start : start + shape[0] * shape[1]].reshape(shape)

    def n_ink(self, line: int) -> NDArray[np.int32]:
        """The count of ink pixels left of each column, (width_px + 1,), so that any span is one subtraction.

        Columns a to b (b not among them) hold `n_ink(line)[b] - n_ink(line)[a]` pixels of ink: those below
        `INK_LEVEL` after tone normalisation, also where the pixels themselves are kept as they were.
        """
        pack, start, _ = self._places[line]
        return self._map(pack)[start : start + 4 * (self.lines[line].width_px + 1)].view("<i4")

    def verify(self) -> None:
        """Read every byte of the store's lines and compare checksums (about a second for a gigabyte).

        Raises:
            LineStoreError: if the lines of an image are not those that were read.
        """
        for image in self._content.images:
            place = image.place
            n_bytes = record_bytes(place.widths_px, self.height_px)
            found = checksum(self._map(place.pack)[place.offset : place.offset + n_bytes].data)
            if found != place.checksum:
                raise LineStoreError(
                    f"The lines of {image.image_id} in {self._content.pool / place.pack} must have the checksum "
                    f"{place.checksum}, but have {found}. Delete that file; `whosehand sweep` reads its images again."
                )

    def _map(self, pack: str) -> NDArray[np.uint8]:
        if pack not in self._packs:
            self._packs[pack] = np.asarray(np.memmap(self._content.pool / pack, dtype=np.uint8, mode="r"))
        return self._packs[pack]


def _open_or_build(
    index: CorpusIndex, settings: InkSettings, cache_dir: Path, on_progress: Progress | None
) -> LineStore:
    kept_in = cache_dir / f".files-{hashlib.sha256(str(index.root.absolute()).encode()).hexdigest()[:20]}.json"
    waiting = partial(_say_that_it_starts, time.monotonic(), len(index.images), on_progress)
    prints = fingerprint_files((image.path for image in index.images), kept_in, waiting)
    try:
        return _open_of(index, cache_dir / line_store_key(index, settings, prints))
    except LineStoreError:
        pass  # missing or damaged: either way it is built from what is there
    pool = Pool(cache_dir, settings)
    gathered = gather_lines(index.images, prints, pool, settings, on_progress)
    for image in index.images:  # a fault of the moment is no property of the content: it gets no lasting key
        reason = gathered.unusable.get(image.image_id)
        if reason is not None and not reason.is_lasting:
            prints[image.path] = ImageError(reason.reason)
    folder = cache_dir / line_store_key(index, settings, prints)
    write_list(index, settings, pool, gathered, folder)
    return LineStore.open(folder)


def _open_of(index: CorpusIndex, folder: Path) -> LineStore:
    """Open a store, unless it tells of files that have been moved since.

    Raises:
        LineStoreError: if it is missing or damaged, or tells of other files.
    """
    store = LineStore.open(folder)
    path_of = {image.image_id: image.path for image in index.images}
    if any(path_of[str(entry.image_id)] != entry.path for entry in store.set_aside):
        raise LineStoreError(f"A store must name the files as they lie now, but {folder} names earlier places.")
    return store


def _say_that_it_starts(since: float, n_images: int, on_progress: Progress | None) -> None:
    if on_progress is not None and time.monotonic() - since > _SILENT_S:
        on_progress(0, n_images)


def _lines_of(image: StoredImage) -> list[StoredLine]:
    return [
        StoredLine(image.image_id, number, image.writer_id, image.group_id, width_px)
        for number, width_px in enumerate(image.place.widths_px)
    ]


def _places_of(image: StoredImage, height_px: int) -> list[tuple[str, int, int]]:
    """For each line its pack, and there the offsets of its ink counts and of its pixels."""
    place = image.place
    ink, pixels = place.offset, place.offset + record_bytes(place.widths_px, height_px=0)
    places = []
    for width_px in place.widths_px:
        places.append((place.pack, ink, pixels))
        ink, pixels = ink + 4 * (width_px + 1), pixels + height_px * width_px
    return places
