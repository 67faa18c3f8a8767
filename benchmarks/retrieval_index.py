"""How long an index of page descriptors takes to build and to search, and with how much memory.

    python -m benchmarks.retrieval_index

Descriptors are drawn at random and scaled to length 1. They are added in batches, as `add` brings
each to the disk; searches are exact, and run in a fresh process, whose memory is looked at. The
index lies in a folder that is removed afterwards.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.report import notes, print_report
from benchmarks.short_sweep import temporary_folder
from core.retrieval.descriptor_index import DescriptorIndex, IndexedPage

_COLUMNS = ("what", "s", "each, ms", "peak memory, MB", "on the disk, MB")
_N_FOUND = 10


def main(
    pages: Annotated[int, typer.Option(min=100, help="How many descriptors.")] = 100_000,
    dimensions: Annotated[int, typer.Option(min=2, help="Values of each.")] = 256,
    batch: Annotated[int, typer.Option(min=1, help="Pages that are added at once.")] = 1000,
    queries: Annotated[int, typer.Option(min=1, help="Pages that are looked for, one by one and together.")] = 100,
    search: Annotated[Path | None, typer.Option(hidden=True, help="Search this index: the fresh process.")] = None,
) -> None:
    """Measure building and searching an index."""
    if search is not None:
        _search(search, queries)
        return
    with temporary_folder() as folder:
        notes.print(f"retrieval_index: {pages:,} descriptors of {dimensions} values into {folder} ...")
        rows = [_build(folder / "index", pages, dimensions, batch)]
        command = [sys.executable, "-m", "benchmarks.retrieval_index", "--search", str(folder / "index")]
        said = subprocess.run([*command, "--queries", str(queries)], capture_output=True, text=True, check=True).stdout
        rows += [tuple(line.split("\t")) for line in said.splitlines()]
    remarks = [
        f"{pages:,} descriptors of {dimensions} float32, added {batch:,} at once; the {_N_FOUND} most alike of all",
        "memory is the peak of the process up to there; mapped pages of the index count once they were read",
    ]
    print_report("Index of page descriptors", _COLUMNS, rows, remarks)


def generated(n_pages: int, n_dimensions: int, seed: int) -> NDArray[np.float32]:
    """Points at random on the unit sphere: (n_pages, n_dimensions)."""
    points = np.random.default_rng(seed).normal(size=(n_pages, n_dimensions)).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _build(folder: Path, n_pages: int, n_dimensions: int, batch: int) -> tuple[str, ...]:
    spent_s = 0.0
    index = DescriptorIndex.open_or_create(folder, n_dimensions, "generated")
    for start in range(0, n_pages, batch):
        numbers = range(start, min(start + batch, n_pages))
        rows = generated(len(numbers), n_dimensions, start)
        names = [IndexedPage(f"archive/box {number // 100}/page {number}.png") for number in numbers]
        started = time.perf_counter()
        index.add(names, rows)
        spent_s += time.perf_counter() - started
    size_mb = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    return ("build", f"{spent_s:.1f}", f"{1000 * spent_s / n_pages:.3f}", _peak_mb(), f"{size_mb:.0f}")


def _search(folder: Path, n_queries: int) -> None:
    """Print a row of tab-separated cells for each step."""
    started = time.perf_counter()
    index = DescriptorIndex.open(folder)
    _print("open", time.perf_counter() - started, 1)
    wanted = generated(n_queries, index.n_dimensions, seed=1 << 40)
    index.search(wanted[:1], _N_FOUND)  # the first one reads the file
    started = time.perf_counter()
    for query in wanted:
        index.search(query[np.newaxis], _N_FOUND)
    _print("search, one by one", time.perf_counter() - started, n_queries)
    started = time.perf_counter()
    index.search(wanted, _N_FOUND)
    _print(f"search, {n_queries} together", time.perf_counter() - started, n_queries)


def _print(what: str, seconds: float, n: int) -> None:
    print(what, f"{seconds:.2f}", f"{1000 * seconds / n:.2f}", _peak_mb(), "", sep="\t")


def _peak_mb() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f}"


if __name__ == "__main__":
    typer.run(main)
