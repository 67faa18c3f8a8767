"""A faster search for indexes of more than about a million pages: faiss names candidates, and their
similarities are computed exactly.

    <folder>/approximate.faiss   what faiss knows of the rows, a quarter of their size; made by the
                                 first search, and extended by the next one when pages have come

So scores are those of the exact search; only a page that faiss does not name can be missed. What is
in the file can always be made again from the rows.
"""

import os
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import RetrievalError
from core.retrieval.descriptor_index import DescriptorIndex, Found

FILE = "approximate.faiss"
_TRAINING_ROWS_A_LIST = 64  # of k-means; faiss itself asks for 39 at least
_CANDIDATES = 20  # named for each page that is asked for
_PROBED_SHARE = 0.05  # of the lists that are looked into
_ROWS_AT_ONCE = 100_000
_FEWEST_ROWS = 1_000  # of fewer all are compared


class Searcher(Protocol):
    """What `DescriptorIndex` does, too."""

    def search(self, queries: NDArray[np.floating], n_found: int) -> Found:
        """The pages that are most alike to each query."""
        ...


class ApproximateSearch:
    """Searches an index by faiss (Johnson, Douze and Jégou, "Billion-scale similarity search with
    GPUs", IEEE Transactions on Big Data 7, 2019): rows are dealt to lists by k-means, and only the
    lists nearest to a query are looked into.

    Args:
        index: of at least one page; what is added to it later is not found by this search.

    Raises:
        RetrievalError: if faiss is not installed, or the index is empty.
        OSError: if the file cannot be written.
    """

    def __init__(self, index: DescriptorIndex) -> None:
        if len(index) == 0:
            raise RetrievalError(f"A search needs at least one page, but the index in {index.folder} has none.")
        self._index, self._faiss = index, _faiss()
        self._lists = self._open() if len(index.pages) >= _FEWEST_ROWS else None

    def search(self, queries: NDArray[np.floating], n_found: int) -> Found:
        """The pages that are most alike to each query, of those that faiss names.

        Args:
            queries: (n_queries, n_dimensions); a single query is (1, n_dimensions).
            n_found: how many for each, at least 1; all where there are fewer.
        """
        if self._lists is None:
            return self._index.search(queries, n_found)
        wanted, n_found = np.ascontiguousarray(queries, dtype=np.float32), min(n_found, len(self._index))
        n_named = min(_CANDIDATES * n_found, len(self._index.pages))
        self._lists.nprobe = max(1, round(_PROBED_SHARE * self._lists.nlist))
        named = self._lists.search(wanted, n_named)[1]
        rows = self._index.descriptors()
        places, scores = np.zeros((len(wanted), n_found), np.int64), np.zeros((len(wanted), n_found), np.float32)
        for number, query in enumerate(wanted):
            own = self._counting(named[number])
            if len(own) < n_found:  # too few in the lists that were looked into: all are
                found = self._index.search(query[np.newaxis], n_found)
                places[number], scores[number] = found.places[0], found.scores[0]
                continue
            exact = rows[own] @ query
            best = np.lexsort((own, -exact))[:n_found]
            places[number], scores[number] = own[best], exact[best]
        return Found(places, scores)

    def _counting(self, named: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the rows that faiss names, -1 among them for none, that count."""
        return named[(named >= 0) & self._index.is_current[np.maximum(named, 0)]]

    def _open(self) -> Any:
        path, rows = self._index.folder / FILE, self._index.descriptors()
        lists = None
        if path.exists():
            try:
                lists = self._faiss.read_index(str(path))
            except RuntimeError:  # damaged, or of another version: made anew
                lists = None
        if lists is None or lists.ntotal > len(rows) or 2 * lists.ntotal < len(rows):
            lists = self._trained(rows)
        if lists.ntotal < len(rows):
            for start in range(lists.ntotal, len(rows), _ROWS_AT_ONCE):
                lists.add(np.ascontiguousarray(rows[start : start + _ROWS_AT_ONCE]))
            partial = path.with_name(f".{FILE}.{os.getpid()}")
            self._faiss.write_index(lists, str(partial))
            partial.replace(path)
        return lists

    def _trained(self, rows: NDArray[np.float32]) -> Any:
        """Empty lists, about as many as a search then compares rows in one."""
        n_lists = max(1, min(round(4 * np.sqrt(len(rows))), len(rows) // _TRAINING_ROWS_A_LIST))
        lists = self._faiss.index_factory(rows.shape[1], f"IVF{n_lists},SQ8", self._faiss.METRIC_INNER_PRODUCT)
        n_training = min(len(rows), n_lists * _TRAINING_ROWS_A_LIST)
        chosen = np.sort(np.random.default_rng(0).choice(len(rows), n_training, replace=False))
        lists.train(np.ascontiguousarray(rows[chosen]))
        return lists


def _faiss() -> Any:
    try:
        import faiss  # an extra: large, and of use to few
    except ImportError as error:
        raise RetrievalError(
            'An approximate search needs faiss, which is not installed: `pip install "whosehand[faiss]"`. '
            "The exact one, without --approximate, needs nothing."
        ) from error
    return faiss
