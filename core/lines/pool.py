"""The pool behind line stores: the lines of every image ever read with the same settings, each kept once.

A pool is a folder `<cache_dir>/pool-<hash of format and ink settings>`. A build adds a segment and never touches an
older one, so that readers may map them meanwhile and a killed build can tear nothing but its own tail:

    <segment>.pack       records one after the other, each the lines of one image
    <segment>.journal    a line for each record that is whole and on the disk: checksum, key, place, widths

A record is found by what its lines depend on: the content of the image file, region and unit. Who wrote it and where
the file lies do not count.
"""

import hashlib
import json
import os
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Self

from filelock import FileLock

from core.corpora.index import TextImage
from core.lines.source import running_ink
from core.pages.text_lines import TextLine
from core.settings import InkSettings

FORMAT_VERSION = 3
"""To be raised whenever the same images and settings would give other lines, or the same files mean others."""
PACK, JOURNAL = ".pack", ".journal"
_COMMIT_S = 2.0
_ALIGNMENT = 4


@dataclass(frozen=True, slots=True)
class Record:
    """The lines of one image as they are kept.

    Attributes:
        widths_px: of the lines from top to bottom.
        content: for each line the running count of ink per column (int32, width + 1), then for each line its pixels.
    """

    widths_px: tuple[int, ...]
    content: bytes

    @classmethod
    def of_lines(cls, lines: Sequence[TextLine]) -> "Record":
        """Encode lines; all have one height."""
        parts = [running_ink(line).tobytes() for line in lines] + [line.pixels.tobytes() for line in lines]
        return cls(tuple(line.pixels.shape[1] for line in lines), b"".join(parts))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the record of one image lies.

    Attributes:
        pack: the file's name in the pool.
        offset: of its first byte, a multiple of 4.
        widths_px: of its lines.
        checksum: of its bytes.
    """

    pack: str
    offset: int
    widths_px: tuple[int, ...]
    checksum: str

    def end(self, height_px: int) -> int:
        """The offset behind its last byte."""
        return self.offset + record_bytes(self.widths_px, height_px)


def record_bytes(widths_px: Sequence[int], height_px: int) -> int:
    """The size of a record.

    >>> record_bytes((10, 20), height_px=100)  # 11 + 21 counts of 4 bytes, 30 columns of 100 pixels
    3128
    """
    return 4 * (sum(widths_px) + len(widths_px)) + height_px * sum(widths_px)


def checksum(content: bytes | memoryview) -> str:
    """Eight bytes of BLAKE2b, as hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def lines_key(image: TextImage, file_sha256: str) -> str:
    """A hash of what an image's lines depend on besides the ink settings."""
    region = None if image.region is None else list(asdict(image.region).values())
    return hashlib.sha256(json.dumps([file_sha256, region, image.unit]).encode()).hexdigest()[:32]


class Pool:
    """The records of one ink setting.

    Attributes:
        folder: where it lies.
        places: the record of each key; as it was at the last `refresh`, and with what this process has added since.
    """

    def __init__(self, cache_dir: Path, settings: InkSettings) -> None:
        content = json.dumps([FORMAT_VERSION, settings.model_dump(mode="json")], sort_keys=True)
        self.folder = cache_dir / f"pool-{hashlib.sha256(content.encode()).hexdigest()[:20]}"
        self.places: dict[str, Place] = {}
        self._height_px = settings.height_px
        self._n_read: dict[str, int] = {}

    @cached_property
    def lock(self) -> FileLock:
        """To be held by the one process that adds records."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock")

    def refresh(self) -> None:
        """Read what the journals have gained.

        A line that is torn or changed counts as not there, and so does a record that its pack is too short for.
        """
        for journal in sorted(self.folder.glob(f"*{JOURNAL}")):
            pack = journal.with_suffix(PACK)
            n_bytes = pack.stat().st_size if pack.is_file() else 0
            for key, place in self._new_lines(journal, pack.name):
                if place.end(self._height_px) <= n_bytes:
                    self.places.setdefault(key, place)

    def _new_lines(self, journal: Path, pack: str) -> list[tuple[str, Place]]:
        with journal.open("rb") as file:
            file.seek(self._n_read.get(journal.name, 0))
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._n_read[journal.name] = self._n_read.get(journal.name, 0) + len(whole)
        return [read for line in whole.splitlines() if (read := _read_line(line, pack)) is not None]


class Segment:
    """What one build adds to a pool, for use in a `with` block; its files are made with its first record."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._stem = pool.folder / f"{time.time_ns():x}-{os.getpid()}"
        self._pack: FileIO | None = None
        self._journal: FileIO | None = None
        self._end = 0
        self._journal_end = 0
        self._waiting: list[tuple[int, bytes]] = []  # offset of a record, and the journal's line for it
        self._committed_at = time.monotonic()

    def add(self, key: str, record: Record) -> None:
        """Write a record and tell the pool; every two seconds what was written is brought to the disk.

        Raises:
            OSError: if the disk is full, or the like.
        """
        if self._pack is None:
            self._pack = self._stem.with_suffix(PACK).open("xb", buffering=0)
        _write_all(self._pack, record.content + bytes(-len(record.content) % _ALIGNMENT))
        place = Place(self._stem.name + PACK, self._end, record.widths_px, checksum(record.content))
        self._waiting.append((self._end, _write_line(key, place)))
        self._end += len(record.content) + -len(record.content) % _ALIGNMENT
        self._pool.places[key] = place
        if time.monotonic() - self._committed_at > _COMMIT_S:
            self.commit()

    def commit(self) -> None:
        """Bring the records to the disk, then the journal's lines for them: in this order, so that no line lies."""
        if self._pack is None or not self._waiting:
            return
        os.fsync(self._pack.fileno())
        if self._journal is None:
            self._journal = self._stem.with_suffix(JOURNAL).open("xb", buffering=0)
        lines = b"".join(line for _, line in self._waiting)
        _write_all(self._journal, lines)
        os.fsync(self._journal.fileno())
        self._journal_end += len(lines)
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
        """Like `commit`; on a full disk the last records make room for the journal's lines of the others."""
        n_dropped = 1
        while self._pack is not None:
            with suppress(OSError):
                self._pack.truncate(self._end)  # also of a record that did not fit
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


def _write_line(key: str, place: Place) -> bytes:
    content = json.dumps([key, place.offset, place.widths_px, place.checksum], separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _read_line(line: bytes, pack: str) -> tuple[str, Place] | None:
    if line[:9] != b"%08x " % zlib.crc32(line[9:]):
        return None
    key, offset, widths_px, found = json.loads(line[9:])
    return key, Place(pack, offset, tuple(widths_px), found)


def _write_all(file: FileIO, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
