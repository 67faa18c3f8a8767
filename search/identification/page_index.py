"""The pages of an archive in an index, and those that are most alike to one.

The writers of an archive are not known, and need not be.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.corpora.image_walk import expand_folders
from core.corpora.index import Excluded
from core.errors import ImageError, PatchError, RetrievalError
from core.pages.frames import Page, is_blank, list_pages
from core.retrieval.descriptor_index import HEAD, DescriptorIndex, IndexedPage
from search.identification.page_reader import PageReader

_BATCH, _BATCH_S = 64, 5.0  # pages that are added at once, and how long they wait at the most


@dataclass
class IndexTally:
    """What became of the pages of an archive.

    Attributes:
        n_added: pages that are new in the index.
        n_known: pages that were in it.
        unreadable: pages that could not be used, and why; empty ones of files with several are
            passed over.
    """

    n_added: int = 0
    n_known: int = 0
    unreadable: list[Excluded] = field(default_factory=list)


@dataclass(frozen=True)
class AlikePage:
    """A page of an index that is like the one that was looked for.

    Attributes:
        path: of its file, `letter.tif#3` where that holds several pages.
        similarity: cosine of the descriptors, from -1 to 1; it ranks, and is no probability.
    """

    path: str
    similarity: float


def extend_index(
    folder: Path, files: Sequence[Path], reader: PageReader, on_progress: Callable[[int, int], None] | None = None
) -> IndexTally:
    """Describe pages and add them to an index; those that are in it are passed over.

    What was added stays when this is stopped: the same call goes on with the rest.

    Args:
        folder: of the index; made where it is missing.
        files: images, or files with several pages. A page is known by its absolute path.
        reader: describes pages.
        on_progress: called with (files done, files in all).

    Raises:
        RetrievalError: if the index was made by another model, or is damaged.
        OSError: if it cannot be written.
    """
    tally, filling = IndexTally(), _Filling(folder, reader.source)
    for number, file in enumerate(files, start=1):
        pages = list_pages(file.absolute())
        for page in pages:
            if filling.has(page):
                tally.n_known += 1
                continue
            try:
                filling.add(page, reader.describe(page))
                tally.n_added += 1
            except (ImageError, PatchError) as error:
                if len(pages) == 1 or not is_blank(str(error)):
                    tally.unreadable.append(Excluded(page.name, str(error)))
        if on_progress is not None:
            on_progress(number, len(files))
    filling.flush()
    return tally


def index_folder(
    folder: Path, indexes: Path, reader: PageReader, on_progress: Callable[[int, int], None] | None = None
) -> tuple[Path, IndexTally]:
    """Index a folder of images for searching it, or what has come since it was indexed.

    Args:
        folder: with images, however deep.
        indexes: where such indexes are kept, one for each folder and way to describe pages.
        reader: describes pages.
        on_progress: called with (files done, files in all).

    Returns:
        The index's folder, and what became of the pages.

    Raises:
        ImageError: if there is no image, or none shows handwriting.
        RetrievalError: if the index is damaged.
    """
    files = expand_folders([folder])
    key = hashlib.sha256(f"{folder.absolute()}\0{reader.source}".encode()).hexdigest()[:16]
    tally = extend_index(indexes / key, files, reader, on_progress)
    if tally.n_added + tally.n_known == 0:
        reasons = "\n".join(f"  {image.reason}" for image in tally.unreadable)
        raise ImageError(f"At least one page in {folder} must show handwriting, but none does:\n{reasons}")
    return indexes / key, tally


def find_alike(index: DescriptorIndex, page: Page, reader: PageReader, n_found: int) -> list[AlikePage]:
    """The pages of an index that are most alike to one, the most alike first.

    Args:
        index: of the archive.
        page: what is looked for; where it is in the index itself, it is not among the answers.
        reader: describes pages as those of the index were.
        n_found: how many, at least 1.

    Raises:
        RetrievalError: if the index was made by another model.
        ImageError: if the page cannot be read, or shows no handwriting.
        PatchError: if no patch can be cut from it.
    """
    _check_source(index, reader.source)
    own = str(Page(page.path.absolute(), page.frame).name)
    found = index.search(reader.describe(page)[np.newaxis], n_found + 1)
    alike = [
        AlikePage(index.pages[place].page_id, float(score))
        for place, score in zip(found.places[0].tolist(), found.scores[0].tolist(), strict=True)
    ]
    return [each for each in alike if each.path != own][:n_found]


def only_page(file: Path) -> Page:
    """The page of a file.

    Raises:
        ImageError: if it holds several.
    """
    pages = list_pages(file)
    if len(pages) != 1:
        raise ImageError(
            f"One page is looked for, but {file} holds {len(pages)}. Save the one that is meant by itself."
        )
    return pages[0]


def is_index(folder: Path) -> bool:
    """Whether a folder holds an index of pages."""
    return (folder / HEAD).exists()


class _Filling:
    """An index that pages are added to in batches; it is begun with the first of them."""

    def __init__(self, folder: Path, source: str) -> None:
        self._folder, self._source = folder, source
        self._index = DescriptorIndex.open(folder) if is_index(folder) else None
        if self._index is not None:
            _check_source(self._index, source)
        self._waiting: dict[str, NDArray[np.float32]] = {}
        self._flushed_at = time.monotonic()

    def has(self, page: Page) -> bool:
        name = str(page.name)
        return name in self._waiting or (self._index is not None and name in self._index)

    def add(self, page: Page, descriptor: NDArray[np.float32]) -> None:
        self._waiting[str(page.name)] = descriptor
        if len(self._waiting) >= _BATCH or time.monotonic() - self._flushed_at > _BATCH_S:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            if self._index is None:
                n_dimensions = len(next(iter(self._waiting.values())))
                self._index = DescriptorIndex.open_or_create(self._folder, n_dimensions, self._source)
            self._index.refresh()  # another process may have been at the same pages
            new = {name: row for name, row in self._waiting.items() if name not in self._index}
            if new:
                self._index.add([IndexedPage(name) for name in new], np.stack(list(new.values())))
            self._waiting.clear()
        self._flushed_at = time.monotonic()


def _check_source(index: DescriptorIndex, source: str) -> None:
    if index.source != source:
        raise RetrievalError(
            f"Only descriptors of one model can be compared, but the index in {index.folder} was made by another one. "
            "Name the model that made it (--model), or index the pages anew into another folder."
        )
