"""The pool behind line stores: the lines of every image ever read with the same ink settings, once.

A pool is a folder `<cache_dir>/pool-<hash of format and ink settings>`. A build adds a segment and
never touches an older one, so that readers may map them meanwhile and a killed build can tear
nothing but its own tail:

    <segment>.pack       records one after the other, each the lines of one image
    <segment>.journal    a line for each record that is whole and on the disk: checksum, key, place,
                         and how the image was read

A record is found by what its lines depend on: the content of the image file, region, unit, and for
pages the reader that finds their lines. Who wrote it and where the file lies do not count.
"""

import hashlib
import json
import os
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from core.corpora.index import TextImage
from core.lines.source import running_ink
from core.pages.reading_signs import Reading
from core.pages.text_lines import READER_VERSION, TextLine
from core.settings import InkSettings

FORMAT_VERSION = 3
"""To be raised whenever the same files would mean other lines."""
PACK, JOURNAL = ".pack", ".journal"
_COMMIT_S = 2.0
_ALIGNMENT = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where the lines of one image lie, as `encode_lines` makes them.

    Attributes:
        pack: the file's name in the pool.
        offset: of the first byte, a multiple of 4.
        widths_px: of the lines, from top to bottom.
        checksum: of all their bytes.
        reading: how the image was read; `None` where nobody looked: it is one line, or 0.1 read it.
    """

    pack: str
    offset: int
    widths_px: tuple[int, ...]
    checksum: str
    reading: Reading | None = None

    def n_bytes(self, height_px: int) -> int:
        """The size of the lines on the disk.

        >>> Place("a.pack", 0, (10, 20), "").n_bytes(height_px=100)  # 11 + 21 counts, 30 columns
        3128
        """
        return 4 * (sum(self.widths_px) + len(self.widths_px)) + height_px * sum(self.widths_px)

    def end(self, height_px: int) -> int:
        """The offset behind the last byte."""
        return self.offset + self.n_bytes(height_px)


def place_as_row(place: Place) -> list[object]:
    """Plain values, without the pack's name; as 0.1 wrote them where there is no reading."""
    reading = [] if place.reading is None else [astuple(place.reading)]
    return [place.offset, place.widths_px, place.checksum, *reading]


def place_from_row(pack: str, row: Sequence[Any]) -> Place:
    """From plain values; TypeError or ValueError if they are others."""
    offset, widths_px, found, *rest = row
    return Place(pack, offset, tuple(widths_px), found, Reading(*rest[0]) if rest else None)


def encode_lines(lines: Sequence[TextLine]) -> tuple[tuple[int, ...], bytes]:
    """The widths of lines of one height, and their bytes in a pack.

    The bytes are for each line the running count of ink per column (int32, width + 1), then for
    each line its pixels.
    """
    parts = [running_ink(line).tobytes() for line in lines] + [line.pixels.tobytes() for line in lines]
    return tuple(line.pixels.shape[1] for line in lines), b"".join(parts)


def checksum(content: bytes | memoryview) -> str:
    """Eight bytes of BLAKE2b, as hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def lines_key(image: TextImage, file_sha256: str) -> str:
    """A hash of what an image's lines depend on besides the ink settings."""
    region = None if image.region is None else list(astuple(image.region))
    reader = () if image.unit == "line" else (READER_VERSION,)
    frame = () if image.frame is None else (image.frame,)  # so that one page a file has the key that it always had
    return hashlib.sha256(json.dumps([file_sha256, region, image.unit, *reader, *frame]).encode()).hexdigest()[:32]


class Pool:
    """The lines of one ink setting.

    Attributes:
        folder: where they lie.
        places: those of each key, as at the last `refresh`, and what this process has added since.
    """

    def __init__(self, cache_dir: Path, settings: InkSettings) -> None:
        content = json.dumps([FORMAT_VERSION, settings.model_dump(mode="json")], sort_keys=True)
        self.folder = cache_dir / f"pool-{hashlib.sha256(content.encode()).hexdigest()[:20]}"
        self.places: dict[str, Place] = {}
        self._height_px = settings.height_px
        self._n_read: dict[Path, int] = {}  # bytes of each journal

    @cached_property
    def lock(self) -> FileLock:
        """To be held by the one process that adds lines."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock")

    def refresh(self) -> None:
        """Read what the journals have gained.

        A journal's line that is torn or changed counts as not there, and so does one that its pack
        is too short for.
        """
        for journal in sorted(self.folder.glob(f"*{JOURNAL}")):
            pack = journal.with_suffix(PACK)
            pack_bytes = pack.stat().st_size if pack.is_file() else 0
            with journal.open("rb") as file:
                file.seek(self._n_read.get(journal, 0))
                content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            self._n_read[journal] = self._n_read.get(journal, 0) + len(whole)
            for line in whole.splitlines():
                if line[:9] == b"%08x " % zlib.crc32(line[9:]):
                    key, *row = json.loads(line[9:])
                    place = place_from_row(pack.name, row)
                    if place.end(self._height_px) <= pack_bytes:
                        self.places.setdefault(key, place)


class Segment:
    """What one build adds to a pool, in a `with` block; its files are made with its first lines."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._stem = pool.folder / f"{time.time_ns():x}-{os.getpid()}"
        self._pack: FileIO | None = None
        self._journal: FileIO | None = None
        self._end = 0
        self._journal_end = 0
        self._waiting: list[tuple[int, bytes]] = []  # offset, and the journal's line for it
        self._committed_at = time.monotonic()

    def add(self, key: str, widths_px: tuple[int, ...], content: bytes, reading: Reading | None = None) -> None:
        """Write the lines of an image; every two seconds what was written is brought to the disk.

        Raises:
            OSError: if the disk is full, or the like.
        """
        if self._pack is None:
            self._pack = self._stem.with_suffix(PACK).open("xb", buffering=0)
        padded = content + bytes(-len(content) % _ALIGNMENT)
        _write_all(self._pack, padded)
        place = Place(self._stem.name + PACK, self._end, widths_px, checksum(content), reading)
        row = json.dumps([key, *place_as_row(place)], separators=(",", ":")).encode()
        self._waiting.append((self._end, b"%08x %s\n" % (zlib.crc32(row), row)))
        self._end += len(padded)
        self._pool.places[key] = place
        if time.monotonic() - self._committed_at > _COMMIT_S:
            self.commit()

    def commit(self) -> None:
        """Bring the lines to the disk, then the journal's rows: in this order, so that no row
        lies.
        """
        if self._pack is None or not self._waiting:
            return
        os.fsync(self._pack.fileno())
        if self._journal is None:
            self._journal = self._stem.with_suffix(JOURNAL).open("xb", buffering=0)
        rows = b"".join(row for _, row in self._waiting)
        _write_all(self._journal, rows)
        os.fsync(self._journal.fileno())
        self._journal_end += len(rows)
        self._waiting.clear()
        self._committed_at = time.monotonic()

    def __enter__(self) -> Self:
        """Nothing is made yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Keep what is whole, also when the disk is full or the user has interrupted."""
        try:
            if kind is None:
                self.commit()
            else:
                self._commit_what_fits()
        finally:
            for file in (self._pack, self._journal):
                if file is not None:
                    file.close()

    def _commit_what_fits(self) -> None:
        """Like `commit`; on a full disk the last lines make room for the journal's rows."""
        n_dropped = 1
        while self._pack is not None:
            with suppress(OSError):
                self._pack.truncate(self._end)  # also of lines that did not fit
                if self._journal is not None:
                    self._journal.truncate(self._journal_end)
                    self._journal.seek(self._journal_end)
                self.commit()
                return
            if not self._waiting:
                return
            n_dropped = min(n_dropped, len(self._waiting))
            self._end = self._waiting[-n_dropped][0]
            del self._waiting[-n_dropped:]
            n_dropped *= 2


def _write_all(file: FileIO, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
