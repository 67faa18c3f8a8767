"""An index of page descriptors on the disk: extended by appending, mapped into memory, searched
exactly.

    <folder>/index.json        format, dimensions, and what the descriptors were made by
    <folder>/descriptors.f32   rows of float32, little-endian
    <folder>/pages.jsonl       a line for each row that is whole and on the disk: checksum, page,
                               writer, checksum of the row, content of the file

A page that has changed gets another row; its latest one counts. Rows are brought to the disk before
the lines that name them. So a process that is killed leaves rows that nobody names, or a torn last
line: readers pass them over, and the next process that adds pages cuts them off. What was added
before stays as it is.
"""

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from core.crash_points import crash_point
from core.durable_files import sync_folder, write_atomically
from core.errors import RetrievalError

FORMAT_VERSION = 1
HEAD, ROWS, PAGES = "index.json", "descriptors.f32", "pages.jsonl"
_ROW = np.dtype("<f4")
_BLOCK_CELLS = 8_000_000  # similarities, or values of rows, at once: 32 MB
_FIX = "Delete the folder and index the pages again."


@dataclass(frozen=True, slots=True)
class IndexedPage:
    """A page of an index.

    Attributes:
        page_id: unique in the index, such as a path.
        writer_id: who wrote it; empty where that is not known.
        content: tells by which state of its file it was described; empty where that is not known.
    """

    page_id: str
    writer_id: str = ""
    content: str = ""


@dataclass(frozen=True, eq=False)
class Found:
    """The pages that are most alike to each query, the most alike first.

    Attributes:
        places: (n_queries, n_found) in the index's `pages`.
        scores: (n_queries, n_found) products of the descriptors.
    """

    places: NDArray[np.int64]
    scores: NDArray[np.float32]


class DescriptorIndex:
    """An index that is open for reading; every process maps the same memory.

    Attributes:
        folder: where it lies.
        n_dimensions: of a descriptor.
        source: what the descriptors were made by, such as a hash of model and describer.
        pages: of each row, those that were there when it was opened, and what this process has
            added since. Where a page has several rows, its latest one counts.
    """

    def __init__(self, folder: Path, n_dimensions: int, source: str) -> None:
        self.folder, self.n_dimensions, self.source = folder, n_dimensions, source
        self.pages: list[IndexedPage] = []
        self._places: dict[str, int] = {}
        self._replaced: list[int] = []
        self._checksums: list[int] = []
        self._n_bytes = 0  # of the lines that were read

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open an index.

        Raises:
            RetrievalError: if there is none, or it is damaged or of another format.
        """
        head = _read_head(folder)
        index = cls(folder, head["n_dimensions"], head["source"])
        index.refresh()
        return index

    @classmethod
    def open_or_create(cls, folder: Path, n_dimensions: int, source: str) -> Self:
        """Open an index, or begin an empty one where there is none.

        Args:
            folder: made where it is missing.
            n_dimensions: of a descriptor, at least 1.
            source: what descriptors are made by.

        Raises:
            RetrievalError: if the one that is there was made by something else, is damaged or of
                another format.
            ValueError: if there are no dimensions.
        """
        if n_dimensions < 1:
            raise ValueError(f"`n_dimensions >= 1` must hold, but got {n_dimensions=}.")
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder):
            if not (folder / HEAD).exists():
                head = {"format": FORMAT_VERSION, "n_dimensions": n_dimensions, "source": source}
                write_atomically(folder / HEAD, (json.dumps(head) + "\n").encode())
        index = cls.open(folder)
        if (index.n_dimensions, index.source) != (n_dimensions, source):
            raise RetrievalError(
                f"Only descriptors of one making can be compared: the index in {folder} holds those of "
                f"{index.source!r} with {index.n_dimensions} values, but these are of {source!r} with {n_dimensions}. "
                "Give another folder, or delete this one to index its pages anew."
            )
        return index

    def __len__(self) -> int:
        """How many pages there are."""
        return len(self._places)

    def __contains__(self, page_id: object) -> bool:
        """Whether a page of this id is there."""
        return page_id in self._places

    def page(self, page_id: str) -> IndexedPage | None:
        """A page as its latest row says it, or `None` if it is not there."""
        place = self._places.get(page_id)
        return None if place is None else self.pages[place]

    def refresh(self) -> None:
        """Read what other processes have added since.

        Raises:
            RetrievalError: if what is on the disk is damaged.
        """
        path = self.folder / PAGES
        content = b""
        if path.exists():
            with path.open("rb") as file:
                file.seek(self._n_bytes)
                content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        for line in whole.splitlines():
            page, row_checksum = _parse(line, path)
            self._note(page, row_checksum)
        self._n_bytes += len(whole)
        n_rows = self._n_rows_on_disk()
        if n_rows < len(self.pages):
            raise RetrievalError(
                f"{self.folder / ROWS} must hold a row for each of {len(self.pages)} pages, but holds {n_rows}. {_FIX}"
            )

    def add(self, pages: Sequence[IndexedPage], descriptors: NDArray[np.floating], replaces: bool = False) -> None:
        """Append pages. When this returns they are on the disk; if the process is killed before,
        the first of them may be there, each whole, and the others are not.

        Several processes may add to one index, one after the other.

        Args:
            pages: none of them in the index yet, unless they replace what is there.
            descriptors: (n_pages, n_dimensions), finite.
            replaces: whether a page that is there already is described anew: from then on only the
                new row counts. The old one stays in the file.

        Raises:
            ValueError: if the shape does not fit, a value is not finite, or an id is there twice.
            RetrievalError: if a page is in the index already, or the index is damaged.
            OSError: if the disk is full, or the like; nothing that was there is lost.
        """
        if descriptors.shape != (len(pages), self.n_dimensions) or not np.isfinite(descriptors).all():
            raise ValueError(
                f"Descriptors must be finite, {(len(pages), self.n_dimensions)}, but got {descriptors.shape}."
            )
        if len({page.page_id for page in pages}) < len(pages):
            raise ValueError("A page can be added once, but an id is given twice.")
        rows = np.ascontiguousarray(descriptors, dtype=_ROW)
        with _lock(self.folder):
            self.refresh()
            known = [] if replaces else [page.page_id for page in pages if page.page_id in self]
            if known:
                raise RetrievalError(
                    f"A page can be indexed once, but {known[0]!r} is in {self.folder} already"
                    f"{f', and {len(known) - 1} more of these' if len(known) > 1 else ''}. Leave them out."
                )
            self._append(pages, rows)

    @property
    def is_current(self) -> NDArray[np.bool_]:
        """Of each row whether it counts: no later one is of the same page."""
        counts = np.ones(len(self.pages), dtype=np.bool_)
        counts[self._replaced] = False
        return counts

    def descriptors(self) -> NDArray[np.float32]:
        """All rows, in the order of `pages`: (n_rows, n_dimensions), mapped read-only."""
        shape = len(self.pages), self.n_dimensions
        if len(self.pages) == 0:
            return np.empty(shape, np.float32)
        return np.asarray(np.memmap(self.folder / ROWS, dtype=_ROW, mode="r", shape=shape))

    def search(self, queries: NDArray[np.floating], n_found: int) -> Found:
        """The pages that are most alike to each query, among all: no page is passed over.

        Rows are multiplied in blocks, so that memory does not grow with the index.

        Args:
            queries: (n_queries, n_dimensions); a single query is (1, n_dimensions).
            n_found: how many for each, at least 1; all where there are fewer.

        Raises:
            ValueError: if the shape does not fit, or `n_found` is below 1.
        """
        if queries.ndim != 2 or queries.shape[1] != self.n_dimensions or n_found < 1:
            raise ValueError(f"Queries are (n, {self.n_dimensions}) and n_found >= 1, got {queries.shape}, {n_found=}.")
        rows, wanted = self.descriptors(), np.asarray(queries, dtype=np.float32)
        replaced, n_found = np.array(self._replaced, dtype=np.int64), min(n_found, len(self))
        scores: NDArray[np.float32] = np.empty((len(wanted), 0), np.float32)
        places: NDArray[np.int64] = np.empty((len(wanted), 0), np.int64)
        for start, stop in self._blocks(len(wanted)):
            found = wanted @ rows[start:stop].T
            found[:, replaced[(replaced >= start) & (replaced < stop)] - start] = -np.inf
            best = _best(found, n_found)
            scores = np.hstack([scores, np.take_along_axis(found, best, axis=1)])
            places = np.hstack([places, best + start])
            best = _best(scores, n_found)
            scores = np.take_along_axis(scores, best, axis=1)
            places = np.take_along_axis(places, best, axis=1)
        order = np.lexsort((places, -scores), axis=1)
        return Found(np.take_along_axis(places, order, axis=1), np.take_along_axis(scores, order, axis=1))

    def verify(self) -> None:
        """Read every row and compare checksums.

        Raises:
            RetrievalError: names the first page whose descriptor is not the one that was added.
        """
        rows = self.descriptors()
        for start, stop in self._blocks(0):
            for place, row in enumerate(rows[start:stop], start=start):
                if zlib.crc32(row.tobytes()) != self._checksums[place]:
                    raise RetrievalError(
                        f"{self.folder / ROWS} must hold the descriptor of {self.pages[place].page_id!r} that was "
                        f"added, but row {place} has changed. {_FIX}"
                    )

    def _blocks(self, n_queries: int) -> Iterator[tuple[int, int]]:
        step = max(1, _BLOCK_CELLS // max(n_queries, self.n_dimensions))
        for start in range(0, len(self.pages), step):
            yield start, min(start + step, len(self.pages))

    def _append(self, pages: Sequence[IndexedPage], rows: NDArray[np.float32]) -> None:
        checksums = [zlib.crc32(row.tobytes()) for row in rows]
        lines = b"".join(_line(page, row) for page, row in zip(pages, checksums, strict=True))
        with _opened(self.folder / ROWS, len(self.pages) * self.n_dimensions * _ROW.itemsize) as file:
            content = rows.tobytes()
            crash_point("index-row-half-written", lambda: file.write(content[: len(content) // 2]))
            _write(file, content)
        crash_point("index-rows-written")
        with _opened(self.folder / PAGES, self._n_bytes) as file:
            crash_point("index-line-half-written", lambda: file.write(lines[:-5]))
            _write(file, lines)
        crash_point("index-extended")
        if len(self.pages) == 0:
            sync_folder(self.folder)
        self._n_bytes += len(lines)
        for page, row_checksum in zip(pages, checksums, strict=True):
            self._note(page, row_checksum)

    def _note(self, page: IndexedPage, row_checksum: int) -> None:
        if (place := self._places.get(page.page_id)) is not None:
            self._replaced.append(place)
        self._places[page.page_id] = len(self.pages)
        self.pages.append(page)
        self._checksums.append(row_checksum)

    def _n_rows_on_disk(self) -> int:
        path = self.folder / ROWS
        return path.stat().st_size // (self.n_dimensions * _ROW.itemsize) if path.exists() else 0


def _best(scores: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """The places of the n largest of each row, in any order."""
    if scores.shape[1] <= n:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.argpartition(scores, -n, axis=1)[:, -n:]


def _line(page: IndexedPage, row_checksum: int) -> bytes:
    told = [page.content] if page.content else []
    content = json.dumps([page.page_id, page.writer_id, row_checksum, *told], separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _parse(line: bytes, path: Path) -> tuple[IndexedPage, int]:
    try:
        if line[:9] != b"%08x " % zlib.crc32(line[9:]):
            raise ValueError("its checksum is another")
        page_id, writer_id, row_checksum, *told = json.loads(line[9:])
        return IndexedPage(page_id, writer_id, *told), row_checksum
    except (TypeError, ValueError) as error:
        raise RetrievalError(
            f"{path} must name a page in every line, but this one is damaged: {error}. {_FIX}"
        ) from error


@contextmanager
def _opened(path: Path, n_bytes: int) -> Iterator[FileIO]:
    """Open a file behind its first bytes; what was behind them is cut off. When left, it is on the
    disk.
    """
    with path.open("ab", buffering=0) as file:
        file.truncate(n_bytes)
        yield file
        os.fsync(file.fileno())


def _write(file: FileIO, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _lock(folder: Path) -> FileLock:
    """To be held by the one process that adds."""
    return FileLock(folder / ".lock")


def _read_head(folder: Path) -> dict[str, Any]:
    try:
        head = json.loads((folder / HEAD).read_bytes())
        found_format = head["format"]
        if found_format == FORMAT_VERSION and isinstance(head["source"], str) and int(head["n_dimensions"]) > 0:
            return dict(head)
    except FileNotFoundError as error:
        raise RetrievalError(f"An index of pages holds {HEAD}, but {folder} does not.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RetrievalError(
            f"{folder / HEAD} must describe an index of pages, but does not ({error!r}). {_FIX}"
        ) from error
    raise RetrievalError(f"An index must have format {FORMAT_VERSION}, but {folder} has {found_format}. {_FIX}")
