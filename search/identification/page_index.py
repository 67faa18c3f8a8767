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
from core.retrieval.adaptation import Adaptation
from core.retrieval.approximate_search import Searcher
from core.retrieval.descriptor_index import HEAD, DescriptorIndex, IndexedPage
from core.retrieval.similarities import rerank
from search.identification.kept_indexes import note_origin
from search.identification.page_reader import PageReader

_BATCH, _BATCH_S = 64, 5.0  # pages that are added at once, and how long they wait at the most
_MOST_COMPARED = 1000  # pages, the nearest of the query: adapted, reranked
_MOST_LEARNED = 20_000  # pages that tell how an archive's differ
_SETTLED_NS = 2 * 10**9  # a file that was changed so shortly before could change again within the same time


@dataclass
class IndexTally:
    """What became of the pages of an archive.

    Attributes:
        n_added: pages that are new in the index.
        n_changed: pages that were in it, but whose file has changed since: described anew.
        n_known: pages that were in it, and are as they were.
        gone: pages that are in it, but whose file is not there any more; they stay in it.
        unreadable: pages that could not be used, and why; empty ones of files with several are
            passed over.
    """

    n_added: int = 0
    n_changed: int = 0
    n_known: int = 0
    gone: list[str] = field(default_factory=list)
    unreadable: list[Excluded] = field(default_factory=list)


@dataclass(frozen=True)
class AlikePage:
    """A page of an index that is like the one that was looked for.

    Attributes:
        path: of its file, `letter.tif#3` where that holds several pages.
        similarity: cosine of the descriptors, adapted or not, from -1 to 1; it ranks, and is no
            probability.
    """

    path: str
    similarity: float

    @property
    def page(self) -> Page:
        """The page, by the name that the index has for it."""
        return Page.named(Path(self.path))

    @property
    def is_gone(self) -> bool:
        """Whether its file is not there any more."""
        return not self.page.path.exists()


def extend_index(
    folder: Path, files: Sequence[Path], reader: PageReader, on_progress: Callable[[int, int], None] | None = None
) -> IndexTally:
    """Describe pages and add them to an index; those that are in it are passed over, unless their
    file has changed since.

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
        _add_file(file.absolute(), filling, reader, tally)
        if on_progress is not None:
            on_progress(number, len(files))
    filling.flush()
    tally.gone = filling.pages_without_file()
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
    try:
        tally = extend_index(indexes / key, files, reader, on_progress)
    finally:
        if is_index(indexes / key):  # also where it was stopped
            note_origin(indexes / key, folder, reader.folder)
    if tally.n_added + tally.n_changed + tally.n_known == 0:
        reasons = "\n".join(f"  {image.reason}" for image in tally.unreadable)
        raise ImageError(f"At least one page in {folder} must show handwriting, but none does:\n{reasons}")
    return indexes / key, tally


def find_alike(
    index: DescriptorIndex,
    page: Page,
    reader: PageReader,
    n_found: int,
    searcher: Searcher | None = None,
    n_neighbours: int | None = None,
    adaptation: Adaptation | None = None,
) -> list[AlikePage]:
    """The pages of an index that are most alike to one, the most alike first.

    Args:
        index: of the archive.
        page: what is looked for; where it is in the index itself, it is not among the answers.
        reader: describes pages as those of the index were.
        n_found: how many, at least 1.
        searcher: searches the index; itself, exactly, if not given.
        n_neighbours: rerank the 1,000 most alike by so many nearest pages of each; similarities
            then need not fall with the rank. `None` does not rerank.
        adaptation: compare the 1,000 most alike anew by descriptors that are adapted so, see
            `adaptation_to`; `None` leaves them as they are.

    Raises:
        RetrievalError: if the index was made by another model.
        ImageError: if the page cannot be read, or shows no handwriting.
        PatchError: if no patch can be cut from it.
    """
    _check_source(index, reader.source)
    own, query = str(Page(page.path.absolute(), page.frame).name), reader.describe(page)
    found = (searcher or index).search(query[np.newaxis], max(n_found, _MOST_COMPARED) + 1).places[0].tolist()
    places = [place for place in found if index.pages[place].page_id != own]
    if not places:
        return []
    compared = np.vstack([query, index.descriptors()[places]])
    if adaptation is not None:
        compared = adaptation.adapt(compared)
    similarities = compared[1:] @ compared[0]
    ranks_by = similarities if n_neighbours is None else rerank(compared, n_neighbours).rows(0, 1)[0, 1:]
    order = np.argsort(-ranks_by, kind="stable")[:n_found].tolist()
    return [AlikePage(index.pages[places[each]].page_id, float(similarities[each])) for each in order]


def adaptation_to(index: DescriptorIndex) -> Adaptation:
    """The adaptation to an index's pages, as a sample shows them that is spread evenly over it."""
    current = np.flatnonzero(index.is_current)
    step = max(1, -(-len(current) // _MOST_LEARNED))
    return Adaptation.fit(index.descriptors()[current[::step]])


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


def _add_file(file: Path, filling: "_Filling", reader: PageReader, tally: IndexTally) -> None:
    pages = list_pages(file)
    for page in pages:
        known = filling.known(page)
        if known is not None and is_as_described(file, known.content):
            tally.n_known += 1
            continue
        try:
            content = state_of(file)  # before it is read: what changes meanwhile is seen the next time
            filling.add(IndexedPage(str(page.name), content=content), reader.describe(page))
            tally.n_added += known is None
            tally.n_changed += known is not None
        except (ImageError, PatchError) as error:
            if len(pages) == 1 or not is_blank(str(error)):
                tally.unreadable.append(Excluded(page.name, str(error)))


def state_of(file: Path) -> str:
    """By which a file is known again: its size, its time of change (ns) and its content.

    The time is left out where the file was changed just now: it may change again within it.
    """
    try:
        status = file.stat()
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()[:32]
    except OSError:
        return ""  # reading it tells why
    is_settled = status.st_mtime_ns < time.time_ns() - _SETTLED_NS
    return f"{status.st_size} {status.st_mtime_ns if is_settled else 0} {digest}"


def is_as_described(file: Path, state: str) -> bool:
    """Whether a file is as it was in a state; its content is read only where size or time differ.

    Args:
        file: the file.
        state: of `state_of`; empty where it is not known, which counts as the same.
    """
    if not state:
        return True
    n_bytes, time_ns, _ = state.split(" ")
    try:
        status = file.stat()
    except OSError:
        return False
    if (str(status.st_size), str(status.st_mtime_ns)) == (n_bytes, time_ns):
        return True
    return state_of(file).rpartition(" ")[2] == state.rpartition(" ")[2]


class _Filling:
    """An index that pages are added to in batches; it is begun with the first of them."""

    def __init__(self, folder: Path, source: str) -> None:
        self._folder, self._source = folder, source
        self._index = DescriptorIndex.open(folder) if is_index(folder) else None
        if self._index is not None:
            _check_source(self._index, source)
        self._waiting: dict[str, tuple[IndexedPage, NDArray[np.float32]]] = {}
        self._flushed_at = time.monotonic()

    def known(self, page: Page) -> IndexedPage | None:
        """What is known of a page that is there, or will be with the next batch."""
        name = str(page.name)
        if name in self._waiting:
            return self._waiting[name][0]
        return self._index.page(name) if self._index is not None else None

    def add(self, page: IndexedPage, descriptor: NDArray[np.float32]) -> None:
        self._waiting[page.page_id] = page, descriptor
        if len(self._waiting) >= _BATCH or time.monotonic() - self._flushed_at > _BATCH_S:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            if self._index is None:
                n_dimensions = len(next(iter(self._waiting.values()))[1])
                self._index = DescriptorIndex.open_or_create(self._folder, n_dimensions, self._source)
            self._index.refresh()  # another process may have been at the same pages
            new = [(page, row) for page, row in self._waiting.values() if page != self._index.page(page.page_id)]
            if new:
                self._index.add([page for page, _ in new], np.stack([row for _, row in new]), replaces=True)
            self._waiting.clear()
        self._flushed_at = time.monotonic()

    def pages_without_file(self) -> list[str]:
        """The pages of the index whose file is gone, in its order."""
        if self._index is None:
            return []
        names = dict.fromkeys(page.page_id for page in self._index.pages)
        return [name for name in names if AlikePage(name, 0.0).is_gone]


def _check_source(index: DescriptorIndex, source: str) -> None:
    if index.source != source:
        raise RetrievalError(
            f"Only descriptors of one model can be compared, but the index in {index.folder} was made by another one. "
            "Name the model that made it (--model), or index the pages anew into another folder."
        )
