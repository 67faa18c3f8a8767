"""Every text line of a corpus, decoded and scaled once, in memory-mapped files that all processes share.

    <cache_dir>/<key>/lines.json      which line is whose, and what is unusable: `core.lines.store`
    <cache_dir>/pool-<key>/           the pixels, by content of the image files: `core.lines.pool`
    <cache_dir>/.files-<key>.json     which file has which content: `core.lines.reading`

A store is a list of places in a pool. Choosing other writers, renaming them or adding a page makes another list, but
reads no image that was ever read with the same ink settings. It knows nothing of splits. All of it can be deleted at
will, and is built again.

The list of a store's lines: one small file that says which records of the pool are whose.

`<cache_dir>/<key>/lines.json` has two lines of JSON: a head (format, pool, settings, checksum of the rest) and the
lists. It is written aside and renamed over what was there, so that a reader finds the old one or the new one.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.corpora.index import CorpusIndex, Excluded
from core.errors import CorpusError, ImageError, LineStoreError
from core.lines.pool import FORMAT_VERSION, Place, Pool, checksum, lines_key, record_bytes
from core.lines.reading import Fingerprint, GatheredLines, ProgressCallback, fingerprint_files, gather_lines
from core.lines.source import StoredLine
from core.settings import InkSettings

LIST = "lines.json"
FIX = "Delete the folder; `whosehand sweep` builds it again."


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A text image that has lines in the pool.

    Attributes:
        image_id: unique in the store.
        writer_id: who wrote it.
        group_id: its page, or the image itself where the corpus has no pages.
        place: of its lines.
    """

    image_id: str
    writer_id: str
    group_id: str
    place: Place


@dataclass(frozen=True)
class LineList:
    """What a store consists of.

    Attributes:
        pool: folder of the records.
        height_px: of every line.
        images: those with lines, in the order of the corpus.
        unusable: those without, in the same order.
    """

    pool: Path
    height_px: int
    images: tuple[StoredImage, ...]
    unusable: tuple[Excluded, ...]


def line_store_key(
    index: CorpusIndex, settings: InkSettings, fingerprints: Mapping[Path, Fingerprint | Exception]
) -> str:
    """A hash of all that a store depends on: format, settings, and for each image its ids, region, unit and content.

    Splits and places of files do not count. A file that cannot be read now has another key as soon as it can.
    """
    rows = []
    for image in index.images:
        found = fingerprints[image.path]
        lines = lines_key(image, found.sha256 if isinstance(found, Fingerprint) else "unreadable")
        rows.append([image.image_id, image.writer_id, image.group_id, lines])
    content = {"format": FORMAT_VERSION, "settings": settings.model_dump(mode="json"), "images": rows}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def write_list(index: CorpusIndex, settings: InkSettings, pool: Pool, gathered: GatheredLines, folder: Path) -> None:
    """Write the list of a store.

    Args:
        index: the corpus.
        settings: how its images became lines.
        pool: where the lines lie, beside `folder`.
        gathered: what became of each image of the index.
        folder: of the store; made if it is missing.

    Raises:
        OSError: if it cannot be written.
    """
    packs = sorted({place.pack for place in gathered.places.values()})
    number = {pack: k for k, pack in enumerate(packs)}
    least_bytes = dict.fromkeys(packs, 0)
    images: list[list[object]] = []
    unusable: list[list[str]] = []
    for image in index.images:
        if image.image_id in gathered.unusable:
            unusable.append([str(image.path), gathered.unusable[image.image_id].reason, image.image_id])
            continue
        place = gathered.places[image.image_id]
        least_bytes[place.pack] = max(least_bytes[place.pack], place.end(settings.height_px))
        row = [image.image_id, image.writer_id, image.group_id]
        images.append([*row, number[place.pack], place.offset, place.widths_px, place.checksum])
    body = _to_json({"packs": list(least_bytes.items()), "images": images, "set_aside": unusable})  # 0.1's key
    head = {
        "format": FORMAT_VERSION,
        "corpus": index.name,
        "settings": settings.model_dump(mode="json"),
        "pool": pool.folder.name,
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write_synced(folder / LIST, _to_json(head) + b"\n" + body + b"\n")


def read_list(folder: Path) -> LineList:
    """Read the list of a store, and see that the packs that it needs are there and long enough.

    Raises:
        LineStoreError: if that is not so.
    """
    head, body = _read_checked(folder / LIST)
    try:
        content = json.loads(body)
        pool = folder.parent / head["pool"]
        _check_packs(pool, content["packs"])
        names = [name for name, _ in content["packs"]]
        images = tuple(
            StoredImage(image_id, writer_id, group_id, Place(names[pack], offset, tuple(widths), checksum))
            for image_id, writer_id, group_id, pack, offset, widths, checksum in content["images"]
        )
        unusable = tuple(Excluded(Path(path), reason, image_id) for path, reason, image_id in content["set_aside"])
        return LineList(pool, int(head["settings"]["height_px"]), images, unusable)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise LineStoreError(
            f"{folder / LIST} must list the lines of a store, but does not ({error!r}). {FIX}"
        ) from error


def _read_checked(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        first, _, body = path.read_bytes().partition(b"\n")
        head = json.loads(first)
    except FileNotFoundError as error:
        raise LineStoreError(f"A line store must hold {path.name}, but {path.parent} does not. {FIX}") from error
    except (OSError, ValueError) as error:
        raise LineStoreError(f"{path} must begin with a line of JSON, but cannot be read ({error}). {FIX}") from error
    found_format = head.get("format") if isinstance(head, dict) else None
    if found_format != FORMAT_VERSION:
        raise LineStoreError(f"A line store must have format {FORMAT_VERSION}, but {path} has {found_format}. {FIX}")
    found = hashlib.sha256(body.removesuffix(b"\n")).hexdigest()
    if found != head.get("sha256"):
        raise LineStoreError(f"{path} must have the SHA-256 that its head says, but has {found}. {FIX}")
    return head, body


def _check_packs(pool: Path, packs: list[list[Any]]) -> None:
    for name, least_bytes in packs:
        size = (pool / name).stat().st_size if (pool / name).is_file() else None
        if size is None or size < least_bytes:
            raise LineStoreError(
                f"{pool / name} must have {least_bytes} bytes or more, but has {size}. "
                "`whosehand sweep` reads again what is lost."
            )


def _to_json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _write_synced(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


__all__ = ["LineStore", "StoredLine", "build_line_store"]
_SILENT_S = 1.0


def build_line_store(
    index: CorpusIndex,
    settings: InkSettings,
    cache_dir: Path,
    on_progress: ProgressCallback | None = None,
) -> "LineStore":
    """Open the store of these lines; what of it is not there, or damaged, is read first.

    Safe to call from several processes at once, and to kill: what was read is kept, and the next call goes on with the
    rest. Images without readable ink are unusable, with a reason; how many are too many is for
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
        unusable: the images that gave no line, and why.
    """

    def __init__(self, folder: Path, content: LineList) -> None:
        self.folder = folder
        self.height_px = content.height_px
        self.lines = tuple(line for image in content.images for line in _lines_of(image))
        self.unusable = content.unusable
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
    index: CorpusIndex, settings: InkSettings, cache_dir: Path, on_progress: ProgressCallback | None
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
    if any(path_of[str(entry.image_id)] != entry.path for entry in store.unusable):
        raise LineStoreError(f"A store must name the files as they lie now, but {folder} names earlier places.")
    return store


def _say_that_it_starts(since: float, n_images: int, on_progress: ProgressCallback | None) -> None:
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
