"""A process that builds or opens a line store and says what it took, for `benchmarks.line_store`.

It imports nothing but `core`, so that its memory is that of the store.
"""

import dataclasses
import json
import sys
import time
from pathlib import Path

import psutil
from pydantic import TypeAdapter

from core.corpora.folder import FolderCorpus
from core.corpora.index import CorpusIndex, Unit
from core.corpora.settings import FolderSettings
from core.lines.store import LineStore, build_line_store
from core.settings import InkSettings

N_MARKS = 4


@dataclasses.dataclass(frozen=True)
class StoreCost:
    """What building or opening a store took.

    Attributes:
        index_s: seconds to list the corpus.
        build_s: seconds until the store was there and open.
        open_s: seconds to open it once more by its path.
        n_images: of the corpus.
        n_read: how many had to be read.
        n_lines: in the store.
        rss_mb: resident memory in 10^6 bytes, when a quarter, half, three quarters and all of the
            images were read.
    """

    index_s: float
    build_s: float
    open_s: float
    n_images: int
    n_read: int
    n_lines: int
    rss_mb: tuple[float, ...]


def measure(root: Path, cache_dir: Path, share_of_writers: float, unit: Unit) -> StoreCost:
    """Build the store of a folder of scans, or open it if it is there.

    Args:
        root: `<writer>/<page>.png`.
        cache_dir: for line stores.
        share_of_writers: how many of the writers count, the first ones.
        unit: what one image is.
    """
    started = time.perf_counter()
    index = _first_writers(FolderCorpus(FolderSettings(root=root, unit=unit)).index(), share_of_writers)
    listed = time.perf_counter()
    done: list[int] = []
    rss_mb: list[float] = []

    def note(n_done: int, n_images: int) -> None:
        done.append(n_done)
        if N_MARKS * n_done // n_images > len(rss_mb):
            rss_mb.append(psutil.Process().memory_info().rss / 1e6)

    store = build_line_store(index, InkSettings(), cache_dir, note)
    built = time.perf_counter()
    LineStore.open(store.folder)
    opened = time.perf_counter()
    n_read = len([n for n in done if n])
    times = (listed - started, built - listed, opened - built)
    return StoreCost(*times, len(index.images), n_read, len(store), tuple(rss_mb))


def _first_writers(index: CorpusIndex, share: float) -> CorpusIndex:
    kept = set(index.writer_ids[: round(share * len(index.writer_ids))])
    return dataclasses.replace(index, images=tuple(image for image in index.images if image.writer_id in kept))


if __name__ == "__main__":
    _, _root, _cache_dir, _share, _unit = sys.argv
    _cost = measure(Path(_root), Path(_cache_dir), float(_share), TypeAdapter(Unit).validate_python(_unit))
    print(json.dumps(dataclasses.asdict(_cost)))
