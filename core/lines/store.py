"""Every text line of a corpus, decoded and scaled once, in mapped files that all processes share.

    <cache_dir>/<key>/lines.json      which line is whose, and what is unusable
    <cache_dir>/<key>/lines.table     the same as columns to be mapped: `core.lines.line_table`
    <cache_dir>/pool-<key>/           the pixels, by content of the image files: `core.lines.pool`
    <cache_dir>/.files-<key>.json     which file has which content: `core.lines.fingerprints`

A store is a list of places in a pool. Choosing other writers, renaming them or adding a page makes
another list, but reads no image that was ever read with the same ink settings. It knows nothing of
splits. All of it can be deleted at will, and is built again.

`lines.json` has two lines of JSON: a head (format, pool, settings, checksum of the rest) and the
lists. It is written aside and renamed over what was there: a reader finds the old or the new one.
The table is made of it, and made again where it is missing or does not belong to it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.corpora.index import CorpusIndex, Excluded
from core.durable_files import write_atomically
from core.errors import CorpusError, ImageError, LineStoreError
from core.lines.file_reading import Unusable
from core.lines.fingerprints import Fingerprint, fingerprint_files, fingerprints_of, once_it_takes_long
from core.lines.line_table import LineTable
from core.lines.mapped_arrays import load_arrays, save_arrays
from core.lines.pool import FORMAT_VERSION, Place, Pool, checksum, lines_key, place_as_row, place_from_row
from core.lines.reading import ProgressCallback, gather_lines
from core.pages.reading_signs import Reading
from core.settings import InkSettings

LIST = "lines.json"
TABLE = "lines.table"
KEPT = ".kept"
"""How files end that hold what was computed from the lines; they may be deleted at will."""
_FIX = "Delete the folder; `whosehand sweep` builds it again."


def build_line_store(
    index: CorpusIndex,
    settings: InkSettings,
    cache_dir: Path,
    on_progress: ProgressCallback | None = None,
    n_processes: int | None = None,
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
        n_processes: that read images; 0 for threads of this one. `None` for what suits the machine.

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
        return _open_or_build(index, settings, cache_dir, on_progress, n_processes)
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
    """

    def __init__(
        self, folder: Path, pool: Path, height_px: int, sha256: str, arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Take what `open` has read."""
        self.folder, self.height_px, self._sha256 = folder, height_px, sha256
        self.lines = LineTable(arrays)
        self._pool = pool
        self._pack_names = _pack_names(arrays)
        self._pack_of_image, self._image_of_line = arrays["pack"], arrays["image"]
        self._ink_starts, self._pixel_starts, self._widths_px = arrays["ink"], arrays["pixels"], arrays["width_px"]
        self._packs: dict[int, NDArray[np.uint8]] = {}

    @classmethod
    def open(cls, folder: Path) -> "LineStore":
        """Open a built store; the list's checksum and the packs' sizes are checked, pixels are not.

        Raises:
            LineStoreError: if the list or a pack is missing, damaged or of another format.
        """
        folder = folder.absolute()  # a worker may run elsewhere
        pool_name, height_px, sha256 = _read_head(folder / LIST)
        arrays = load_arrays(folder / TABLE, {"list": sha256})
        if arrays is None:
            arrays = _as_arrays(_read_list(folder / LIST), height_px)
            save_arrays(folder / TABLE, {"list": sha256}, arrays)
        _check_packs(folder.parent / pool_name, _pack_names(arrays), arrays["pack_bytes"].tolist())
        return cls(folder, folder.parent / pool_name, height_px, sha256, arrays)

    @cached_property
    def unusable(self) -> tuple[Excluded, ...]:
        """The images that gave no line, and why."""
        return self._list.unusable

    @cached_property
    def readings(self) -> Mapping[str, Reading]:
        """By image id how it was read, where that was looked at; not of single lines."""
        return {image_id: place.reading for image_id, _, _, place in self._list.images if place.reading is not None}

    @cached_property
    def _list(self) -> "_List":
        """All of the list, which few processes want: it takes ten times the memory of the table."""
        return _read_list(self.folder / LIST)

    def __reduce__(self) -> tuple[Callable[[Path], "LineStore"], tuple[Path]]:
        """Pickle as the path alone."""
        return LineStore.open, (self.folder,)

    def __len__(self) -> int:
        """The number of lines."""
        return len(self.lines)

    def pixels(self, line: int) -> NDArray[np.uint8]:
        """The pixels of a line: a read-only view, (height_px, width_px), 255 is paper."""
        start, shape = self._pixel_starts.item(line), (self.height_px, self._widths_px.item(line))
        return self._map_of(line)[start : start + shape[0] * shape[1]].reshape(shape)

    def n_ink(self, line: int) -> NDArray[np.int32]:
        """The count of ink pixels left of each column, (width_px + 1,): any span is a subtraction.

        Columns a to b (b not among them) hold `n_ink(line)[b] - n_ink(line)[a]` pixels of ink:
        those below `INK_LEVEL` after tone normalisation, also where the pixels themselves are kept
        as they were.
        """
        start = self._ink_starts.item(line)
        return self._map_of(line)[start : start + 4 * (self._widths_px.item(line) + 1)].view("<i4")

    def kept_arrays(self, about: Mapping[str, object]) -> Mapping[str, NDArray[Any]] | None:
        """What `keep_arrays` has kept under the same words; `None` where it is not there, damaged
        or of another list of lines.
        """
        return load_arrays(self._place_of(about), {"list": self._sha256, **about})

    def keep_arrays(self, about: Mapping[str, object], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep what was computed from all the lines, for all processes; where the folder cannot be
        written, nothing is kept.
        """
        save_arrays(self._place_of(about), {"list": self._sha256, **about}, arrays)

    def _place_of(self, about: Mapping[str, object]) -> Path:
        return self.folder / f"{'-'.join(map(str, about.values()))}{KEPT}"

    def verify(self) -> None:
        """Read every byte of the store's lines and compare checksums (a gigabyte takes a second).

        Raises:
            LineStoreError: if the lines of an image are not those that were read.
        """
        for image_id, _, _, place in self._list.images:
            pack = self._map(self._pack_names.index(place.pack))
            found = checksum(pack[place.offset : place.end(self.height_px)].data)
            if found != place.checksum:
                raise LineStoreError(
                    f"The lines of {image_id} in {self._pool / place.pack} must have the checksum "
                    f"{place.checksum}, but have {found}. Delete that file; `whosehand sweep` reads its images again."
                )

    def _map_of(self, line: int) -> NDArray[np.uint8]:
        return self._map(self._pack_of_image.item(self._image_of_line.item(line)))

    def _map(self, pack: int) -> NDArray[np.uint8]:
        if pack not in self._packs:
            path = self._pool / self._pack_names[pack]
            self._packs[pack] = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
        return self._packs[pack]


class _List(NamedTuple):
    """What a list says: packs and their sizes, images with their lines, and those without."""

    packs: list[tuple[str, int]]
    images: list[tuple[str, str, str, Place]]
    unusable: tuple[Excluded, ...]


def _as_arrays(listed: _List, height_px: int) -> dict[str, NDArray[Any]]:
    number_of = {name: number for number, (name, _) in enumerate(listed.packs)}
    table = LineTable.of_images(
        [(image_id, writer_id, group_id, place.widths_px) for image_id, writer_id, group_id, place in listed.images]
    )
    starts = [start for *_, place in listed.images for start in _line_starts(place, height_px)]
    ink, pixels = np.array(starts, dtype=np.int64).reshape(-1, 2).T
    return {
        **table.arrays,
        "ink": ink,
        "pixels": pixels,
        "pack": np.array([number_of[place.pack] for *_, place in listed.images], dtype=np.int32),
        "pack_bytes": np.array([n_bytes for _, n_bytes in listed.packs], dtype=np.int64),
        "pack_names": np.frombuffer("\0".join(number_of).encode(), dtype=np.uint8),
    }


def _pack_names(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    names = arrays["pack_names"].tobytes().decode()
    return names.split("\0") if names else []


def _line_starts(place: Place, height_px: int) -> list[tuple[int, int]]:
    """For each line the offsets of its ink counts and of its pixels in the pack."""
    ink, pixels = place.offset, place.offset + place.n_bytes(height_px=0)
    starts = []
    for width_px in place.widths_px:
        starts.append((ink, pixels))
        ink, pixels = ink + 4 * (width_px + 1), pixels + height_px * width_px
    return starts


def _read_head(path: Path) -> tuple[str, int, str]:
    """The pool's name and the height of lines from a list of this format, and the SHA-256 of the
    whole file.
    """
    try:
        with path.open("rb") as file:
            head = json.loads(file.readline())
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise LineStoreError(f"A line store must hold {path.name}, but {path.parent} does not. {_FIX}") from error
    except (OSError, ValueError) as error:
        raise LineStoreError(f"{path} must begin with a line of JSON, but cannot be read ({error}). {_FIX}") from error
    found_format = head.get("format") if isinstance(head, dict) else None
    if found_format != FORMAT_VERSION:
        raise LineStoreError(f"A line store must have format {FORMAT_VERSION}, but {path} has {found_format}. {_FIX}")
    try:
        return str(Path(head["pool"])), int(head["settings"]["height_px"]), sha256
    except (KeyError, TypeError, ValueError) as error:
        raise LineStoreError(f"{path} must say pool and settings, but does not ({error!r}). {_FIX}") from error


def _read_list(path: Path) -> _List:
    """All that a list says.

    Raises:
        LineStoreError: if it is damaged.
    """
    try:
        first, _, body = path.read_bytes().partition(b"\n")
        head = json.loads(first)
        found = hashlib.sha256(body.removesuffix(b"\n")).hexdigest()
        if found != head["sha256"]:
            raise LineStoreError(f"{path} must have the SHA-256 that its head says, but has {found}. {_FIX}")
        content = json.loads(body)
        packs = [(str(name), int(n_bytes)) for name, n_bytes in content["packs"]]
        images = [
            (image_id, writer_id, group_id, place_from_row(packs[pack][0], row))
            for image_id, writer_id, group_id, pack, *row in content["images"]
        ]
        unusable = tuple(Excluded(Path(path), reason, image_id) for path, reason, image_id in content["set_aside"])
        return _List(packs, images, unusable)
    except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
        raise LineStoreError(f"{path} must list the lines of a store, but does not ({error!r}). {_FIX}") from error


def _check_packs(pool: Path, names: Sequence[str], least_each: Sequence[int]) -> None:
    for name, least_bytes in zip(names, least_each, strict=True):
        size = (pool / name).stat().st_size if (pool / name).is_file() else None
        if size is None or size < least_bytes:
            raise LineStoreError(
                f"{pool / name} must have {least_bytes} bytes or more, but has {size}. "
                "`whosehand sweep` reads again what is lost."
            )


def _open_or_build(
    index: CorpusIndex,
    settings: InkSettings,
    cache_dir: Path,
    on_progress: ProgressCallback | None,
    n_processes: int | None,
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
    unusable = gather_lines(index.images, prints, pool, settings, on_progress, n_processes)
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
