"""Every text line of a corpus, decoded and scaled once, in mapped files that all processes share.

    <cache_dir>/<key>/lines.json      which line is whose, and what is unusable
    <cache_dir>/pool-<key>/           the pixels, by content of the image files: `core.lines.pool`
    <cache_dir>/.files-<key>.json     which file has which content: `core.lines.fingerprints`

A store is a list of places in a pool. Choosing other writers, renaming them or adding a page makes
another list, but reads no image that was ever read with the same ink settings. It knows nothing of
splits. All of it can be deleted at will, and is built again.

`lines.json` has two lines of JSON: a head (format, pool, settings, checksum of the rest) and the
lists. It is written aside and renamed over what was there: a reader finds the old or the new one.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.corpora.index import CorpusIndex, Excluded
from core.durable_files import write_atomically
from core.errors import CorpusError, ImageError, LineStoreError
from core.lines.fingerprints import Fingerprint, fingerprint_files, fingerprints_of, once_it_takes_long
from core.lines.pool import FORMAT_VERSION, Place, Pool, checksum, lines_key, place_as_row, place_from_row
from core.lines.reading import ProgressCallback, Unusable, gather_lines
from core.lines.source import StoredLine
from core.pages.reading_signs import Reading
from core.settings import InkSettings

LIST = "lines.json"
_FIX = "Delete the folder; `whosehand sweep` builds it again."


def build_line_store(
    index: CorpusIndex, settings: InkSettings, cache_dir: Path, on_progress: ProgressCallback | None = None
) -> "LineStore":
    """Open the store of these lines; what of it is not there, or damaged, is read first.

    Safe to call from several processes at once, and to kill: what was read is kept, and the next
    call goes on with the rest. Images without readable ink are unusable, with a reason; how many
    are too many is for `core.corpora.corpus_report`.

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


def line_store_key(index: CorpusIndex, settings: InkSettings, prints: Mapping[Path, Fingerprint | ImageError]) -> str:
    """A hash of all that a store depends on: format, settings, and for each image its ids and what
    its lines depend on.

    Splits and places of files do not count. A file that cannot be read now has another key as soon
    as it can.
    """
    rows = []
    for image in index.images:
        found = prints[image.path]
        lines = lines_key(image, found.sha256 if isinstance(found, Fingerprint) else "unreadable")
        rows.append([image.image_id, image.writer_id, image.group_id, lines])
    content = {"format": FORMAT_VERSION, "settings": settings.model_dump(mode="json"), "images": rows}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


class LineStore:
    """A built store, opened for reading; every process maps the same memory.

    Attributes:
        folder: where its list lies; the pool is a neighbour of it.
        height_px: the height of every line.
        lines: what is known about each line, in the order of the corpus.
        unusable: the images that gave no line, and why.
        readings: by image id how it was read, where that was looked at; not of single lines.
    """

    def __init__(
        self,
        folder: Path,
        pool: Path,
        height_px: int,
        images: list[tuple[str, str, str, Place]],
        unusable: tuple[Excluded, ...],
    ) -> None:
        self.folder, self.height_px, self.unusable = folder, height_px, unusable
        self.lines = tuple(
            StoredLine(image_id, number, writer_id, group_id, width_px)
            for image_id, writer_id, group_id, place in images
            for number, width_px in enumerate(place.widths_px)
        )
        self.readings: Mapping[str, Reading] = {
            image_id: place.reading for image_id, _, _, place in images if place.reading is not None
        }
        self._pool = pool
        self._image_places = [(image_id, place) for image_id, _, _, place in images]
        self._line_places = [line for _, place in self._image_places for line in _line_places(place, height_px)]
        self._packs: dict[str, NDArray[np.uint8]] = {}

    @classmethod
    def open(cls, folder: Path) -> "LineStore":
        """Open a built store; the list's checksum and the packs' sizes are checked, pixels are not.

        Raises:
            LineStoreError: if the list or a pack is missing, damaged or of another format.
        """
        folder = folder.absolute()  # a worker may run elsewhere
        head, body = _read_checked(folder / LIST)
        try:
            content = json.loads(body)
            pool = folder.parent / head["pool"]
            _check_packs(pool, content["packs"])
            packs = [name for name, _ in content["packs"]]
            images = [
                (image_id, writer_id, group_id, place_from_row(packs[pack], row))
                for image_id, writer_id, group_id, pack, *row in content["images"]
            ]
            unusable = tuple(Excluded(Path(path), reason, image_id) for path, reason, image_id in content["set_aside"])
            return cls(folder, pool, int(head["settings"]["height_px"]), images, unusable)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise LineStoreError(
                f"{folder / LIST} must list the lines of a store, but does not ({error!r}). {_FIX}"
            ) from error

    def __reduce__(self) -> tuple[Callable[[Path], "LineStore"], tuple[Path]]:
        """Pickle as the path alone."""
        return LineStore.open, (self.folder,)

    def __len__(self) -> int:
        """The number of lines."""
        return len(self.lines)

    def pixels(self, line: int) -> NDArray[np.uint8]:
        """The pixels of a line: a read-only view, (height_px, width_px), 255 is paper."""
        pack, _, start = self._line_places[line]
        shape = self.height_px, self.lines[line].width_px
        return self._map(pack)[start : start + shape[0] * shape[1]].reshape(shape)

    def n_ink(self, line: int) -> NDArray[np.int32]:
        """The count of ink pixels left of each column, (width_px + 1,): any span is a subtraction.

        Columns a to b (b not among them) hold `n_ink(line)[b] - n_ink(line)[a]` pixels of ink:
        those below `INK_LEVEL` after tone normalisation, also where the pixels themselves are kept
        as they were.
        """
        pack, start, _ = self._line_places[line]
        return self._map(pack)[start : start + 4 * (self.lines[line].width_px + 1)].view("<i4")

    def verify(self) -> None:
        """Read every byte of the store's lines and compare checksums (a gigabyte takes a second).

        Raises:
            LineStoreError: if the lines of an image are not those that were read.
        """
        for image_id, place in self._image_places:
            found = checksum(self._map(place.pack)[place.offset : place.end(self.height_px)].data)
            if found != place.checksum:
                raise LineStoreError(
                    f"The lines of {image_id} in {self._pool / place.pack} must have the checksum "
                    f"{place.checksum}, but have {found}. Delete that file; `whosehand sweep` reads its images again."
                )

    def _map(self, pack: str) -> NDArray[np.uint8]:
        if pack not in self._packs:
            self._packs[pack] = np.asarray(np.memmap(self._pool / pack, dtype=np.uint8, mode="r"))
        return self._packs[pack]


def _line_places(place: Place, height_px: int) -> list[tuple[str, int, int]]:
    """For each line its pack, and there the offsets of its ink counts and of its pixels."""
    ink, pixels = place.offset, place.offset + place.n_bytes(height_px=0)
    places = []
    for width_px in place.widths_px:
        places.append((place.pack, ink, pixels))
        ink, pixels = ink + 4 * (width_px + 1), pixels + height_px * width_px
    return places


def _read_checked(path: Path) -> tuple[dict[str, Any], bytes]:
    """The head and the body of a list, whose format and checksum are right."""
    try:
        first, _, body = path.read_bytes().partition(b"\n")
        head = json.loads(first)
    except FileNotFoundError as error:
        raise LineStoreError(f"A line store must hold {path.name}, but {path.parent} does not. {_FIX}") from error
    except (OSError, ValueError) as error:
        raise LineStoreError(f"{path} must begin with a line of JSON, but cannot be read ({error}). {_FIX}") from error
    found_format = head.get("format") if isinstance(head, dict) else None
    if found_format != FORMAT_VERSION:
        raise LineStoreError(f"A line store must have format {FORMAT_VERSION}, but {path} has {found_format}. {_FIX}")
    found = hashlib.sha256(body.removesuffix(b"\n")).hexdigest()
    if found != head.get("sha256"):
        raise LineStoreError(f"{path} must have the SHA-256 that its head says, but has {found}. {_FIX}")
    return head, body


def _check_packs(pool: Path, packs: list[list[Any]]) -> None:
    for name, least_bytes in packs:
        size = (pool / name).stat().st_size if (pool / name).is_file() else None
        if size is None or size < least_bytes:
            raise LineStoreError(
                f"{pool / name} must have {least_bytes} bytes or more, but has {size}. "
                "`whosehand sweep` reads again what is lost."
            )


def _open_or_build(
    index: CorpusIndex, settings: InkSettings, cache_dir: Path, on_progress: ProgressCallback | None
) -> LineStore:
    kept_in = fingerprints_of(index.root, cache_dir)
    prints = fingerprint_files((image.path for image in index.images), kept_in, once_it_takes_long(on_progress))
    try:
        store = LineStore.open(cache_dir / line_store_key(index, settings, prints))
        path_of = {image.image_id: image.path for image in index.images}
        if all(path_of[str(entry.image_id)] == entry.path for entry in store.unusable):
            return store  # else files were moved, and their new places have to be named
    except LineStoreError:
        pass  # missing or damaged: either way it is built from what is there
    pool = Pool(cache_dir, settings)
    unusable = gather_lines(index.images, prints, pool, settings, on_progress)
    keys = {
        image.image_id: lines_key(image, found.sha256)
        for image in index.images
        if image.image_id not in unusable and isinstance(found := prints[image.path], Fingerprint)
    }
    for image in index.images:  # a fault of the moment is no property of the content: it gets no lasting key
        if image.image_id in unusable and not unusable[image.image_id].is_lasting:
            prints[image.path] = ImageError(unusable[image.image_id].reason)
    folder = cache_dir / line_store_key(index, settings, prints)
    _write_list(index, settings, pool, {image_id: pool.places[key] for image_id, key in keys.items()}, unusable, folder)
    return LineStore.open(folder)


def _write_list(
    index: CorpusIndex,
    settings: InkSettings,
    pool: Pool,
    places: Mapping[str, Place],
    reasons: Mapping[str, Unusable],
    folder: Path,
) -> None:
    packs = sorted({place.pack for place in places.values()})
    least_bytes = dict.fromkeys(packs, 0)
    images: list[list[object]] = []
    unusable: list[list[str]] = []
    for image in index.images:
        if image.image_id in reasons:
            unusable.append([str(image.path), reasons[image.image_id].reason, image.image_id])
            continue
        place = places[image.image_id]
        least_bytes[place.pack] = max(least_bytes[place.pack], place.end(settings.height_px))
        row = [image.image_id, image.writer_id, image.group_id, packs.index(place.pack)]
        images.append([*row, *place_as_row(place)])
    body = _to_json({"packs": list(least_bytes.items()), "images": images, "set_aside": unusable})  # 0.1's key
    head = {
        "format": FORMAT_VERSION,
        "corpus": index.name,
        "settings": settings.model_dump(mode="json"),
        "pool": pool.folder.name,
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    write_atomically(folder / LIST, _to_json(head) + b"\n" + body + b"\n")


def _to_json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
