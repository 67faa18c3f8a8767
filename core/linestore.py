"""Every text line of a corpus, decoded and scaled once, in one memory-mapped file.

A store is a folder `<cache_dir>/<key>`; the key is a hash of all that its lines depend on, so that a changed image or
setting makes another store. It knows nothing of splits: every split of a corpus reads the same one.

    pixels.u8        the lines one after the other, each (height_px, width_px) row by row
    ink.i32          for each line the running count of ink per column, width_px + 1 numbers
    index.json       which line is whose, and what was set aside
    manifest.json    format, key, settings, and size and SHA-256 of the files above
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from core.corpora.base import CorpusIndex, SetAside
from core.errors import LineStoreError
from core.ink import InkSettings
from core.linestore_build import (
    FORMAT_VERSION,
    INDEX,
    INK,
    MANIFEST,
    PIXELS,
    Progress,
    line_store_key,
    write_line_store,
)

_FILES = (PIXELS, INK, INDEX)
_MEND = "Delete the folder; `whosehand sweep` builds it again."


@dataclass(frozen=True, slots=True)
class StoredLine:
    """One text line of the store.

    Attributes:
        image_id: the text image that it comes from.
        line_number: its place on that image, from 0 at the top.
        writer_id: who wrote it.
        group_id: its page, or its image where the corpus has no pages.
        width_px: its width; its height is the store's.
    """

    image_id: str
    line_number: int
    writer_id: str
    group_id: str
    width_px: int


def build_line_store(
    index: CorpusIndex,
    settings: InkSettings,
    cache_dir: Path,
    on_progress: Progress | None = None,
) -> "LineStore":
    """Open the store of these lines, built first if it is not there or damaged.

    Safe to call from several processes at once: one builds, the others wait. Images without readable ink are set
    aside with a reason.

    Args:
        index: the corpus.
        settings: how images become lines.
        cache_dir: the folder that holds the stores of all corpora.
        on_progress: called with (images done, images in all).

    Raises:
        CorpusError: if more than half of the images cannot be used.
        LineStoreError: if the folder cannot be written.
    """
    key = line_store_key(index, settings)
    folder = cache_dir / key
    try:
        return LineStore.open(folder)
    except LineStoreError:
        pass  # missing or damaged: either way it is built anew
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(cache_dir / f".{key}.lock"):
            return _build_locked(index, settings, folder, on_progress)
    except OSError as error:
        raise LineStoreError(
            f"Line stores must be written to {cache_dir}, but that failed ({error}). "
            "Free space, or choose another folder."
        ) from error


class LineStore:
    """A built store, opened for reading; pickles as its path, and every process maps the same memory.

    Attributes:
        folder: where it lies.
        height_px: the height of every line.
        lines: what is known about each line, in the order of the corpus.
        set_aside: the images that gave no line, and why.
    """

    def __init__(
        self, folder: Path, height_px: int, lines: tuple[StoredLine, ...], set_aside: tuple[SetAside, ...]
    ) -> None:
        self.folder = folder
        self.height_px = height_px
        self.lines = lines
        self.set_aside = set_aside
        widths = np.array([line.width_px for line in lines], dtype=np.int64)
        self._starts: list[int] = [0, *np.cumsum(widths).tolist()]

    @classmethod
    def open(cls, folder: Path) -> "LineStore":
        """Open a built store; the files' sizes and the index's checksum are checked, the pixels' is not.

        Raises:
            LineStoreError: if the folder is missing, half-written, damaged or of another format.
        """
        folder = folder.absolute()  # a worker may run elsewhere
        manifest = _read_manifest(folder)
        index = _read_json(folder / INDEX)
        lines = tuple(StoredLine(*row) for row in index["lines"])
        set_aside = tuple(SetAside(Path(path), reason) for path, reason in index["set_aside"])
        return cls(folder, int(manifest["height_px"]), lines, set_aside)

    def __reduce__(self) -> tuple[Callable[[Path], "LineStore"], tuple[Path]]:
        """Pickle as the path alone."""
        return LineStore.open, (self.folder,)

    def __len__(self) -> int:
        """The number of lines."""
        return len(self.lines)

    def pixels(self, line: int) -> NDArray[np.uint8]:
        """The pixels of a line: a read-only view, (height_px, width_px), 255 is paper."""
        start, end = self._starts[line] * self.height_px, self._starts[line + 1] * self.height_px
        return self._pixels[start:end].reshape(self.height_px, -1)

    def n_ink(self, line: int) -> NDArray[np.int32]:
        """The count of ink pixels left of each column, (width_px + 1,), so that any span is one subtraction.

        Columns a to b (b not among them) hold `n_ink(line)[b] - n_ink(line)[a]` pixels of ink: those below
        `INK_LEVEL` after tone normalisation, also where the pixels themselves are kept as they were.
        """
        return self._ink[self._starts[line] + line : self._starts[line + 1] + line + 1]

    def verify(self) -> None:
        """Read every byte and compare checksums (about a second for a gigabyte).

        Raises:
            LineStoreError: if a file is not the one that was built.
        """
        for name, entry in _read_manifest(self.folder)["files"].items():
            with (self.folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != entry["sha256"]:
                raise LineStoreError(
                    f"{self.folder / name} must have SHA-256 {entry['sha256']}, but has {found}. {_MEND}"
                )

    @cached_property
    def _pixels(self) -> NDArray[np.uint8]:
        return np.asarray(np.memmap(self.folder / PIXELS, dtype=np.uint8, mode="r"))

    @cached_property
    def _ink(self) -> NDArray[np.int32]:
        return np.asarray(np.memmap(self.folder / INK, dtype="<i4", mode="r"))


def _build_locked(index: CorpusIndex, settings: InkSettings, folder: Path, on_progress: Progress | None) -> LineStore:
    try:
        return LineStore.open(folder)  # another process was faster
    except LineStoreError:
        shutil.rmtree(folder, ignore_errors=True)
    for stale in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(stale, ignore_errors=True)  # left by a build that was killed: we hold the lock
    half_written = folder.with_name(f".{folder.name}-{os.getpid()}")
    half_written.mkdir()
    try:
        write_line_store(index, settings, half_written, on_progress)
        half_written.rename(folder)
    except BaseException:
        shutil.rmtree(half_written, ignore_errors=True)
        raise
    return LineStore.open(folder)


def _read_manifest(folder: Path) -> Mapping[str, Any]:
    """The manifest of a store whose files have the sizes, and whose index has the checksum, that it says.

    Raises:
        LineStoreError: if that is not so.
    """
    if not (folder / MANIFEST).is_file():
        raise LineStoreError(f"A line store must hold {MANIFEST}, but {folder} does not. {_MEND}")
    manifest = _read_json(folder / MANIFEST)
    found_format = manifest.get("format") if isinstance(manifest, dict) else None
    if found_format != FORMAT_VERSION:
        raise LineStoreError(
            f"A line store must have format {FORMAT_VERSION}, but {folder} has {found_format}. {_MEND}"
        )
    try:
        files = {name: (int(manifest["files"][name]["n_bytes"]), manifest["files"][name]["sha256"]) for name in _FILES}
    except (KeyError, TypeError, ValueError) as error:
        raise LineStoreError(f"{folder / MANIFEST} must tell the size and checksum of {_FILES}. {_MEND}") from error
    for name, (n_bytes, _) in files.items():
        size = (folder / name).stat().st_size if (folder / name).is_file() else None
        if size != n_bytes:
            raise LineStoreError(f"{folder / name} must have {n_bytes} bytes, but has {size}. {_MEND}")
    found = hashlib.sha256((folder / INDEX).read_bytes()).hexdigest()
    if found != files[INDEX][1]:
        raise LineStoreError(f"{folder / INDEX} must have the SHA-256 of its manifest, but has {found}. {_MEND}")
    return manifest


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise LineStoreError(f"{path} must be JSON, but cannot be read ({error}). {_MEND}") from error
