"""How long it takes to index many small files: names, copies, pages; without reading a line.

    python -m benchmarks.index_speed

Files are PNGs of one small picture with a text of random length in a side chunk, so that no two
have one content and many have one size; some are copies. They are written into a temporary folder,
a folder for each writer, and removed afterwards. The second row is the same corpus again, whose
files have not changed; what the system keeps of them in memory it had in the first row, too.
"""

import random
import struct
import time
import zlib
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from benchmarks.report import notes, print_report
from benchmarks.short_sweep import temporary_folder
from core.corpora.settings import FolderSettings
from search.cli.common import progress_bar
from search.experiment.experiment import Experiment
from search.experiment.settings import BudgetSettings
from search.experiment.workspace import Workspace
from search.sweep.preparation import index_corpus

_COLUMNS = ("what", "files", "MB", "images", "copies", "s", "s of a core")
_COPIES = 0.01
_SETTLED_S = 3.0


def main(
    files: Annotated[int, typer.Option(min=100, help="How many files.")] = 100_000,
    writers: Annotated[int, typer.Option(min=2, help="In so many folders.")] = 500,
    largest_kb: Annotated[int, typer.Option(min=2, help="Of the largest file; the mean is half of it.")] = 16,
) -> None:
    """Measure how fast a corpus of many small files is indexed."""
    with temporary_folder() as folder:
        notes.print(f"index_speed: writing {files:,} files into {folder} ...")
        n_bytes = write_files(folder / "scans", files, writers, 1000 * largest_kb)
        time.sleep(_SETTLED_S)  # a file that was changed a moment ago is hashed again the next time
        corpus = FolderSettings(root=folder / "scans")
        experiment = Experiment(name="many", corpus=corpus, budget=BudgetSettings(trials=1))
        rows = [_measure(what, experiment, folder, n_bytes) for what in ("first time", "again")]
    remarks = ["aim: 100,000 files of up to 100 kB in less than two minutes"]
    print_report("Indexing many small files", _COLUMNS, rows, remarks)


def write_files(root: Path, n_files: int, n_writers: int, largest: int) -> int:
    """Write PNG files of random size, one in a hundred a copy of its neighbour; returns their bytes
    in all.
    """
    rng = random.Random(0)
    picture = BytesIO()
    Image.linear_gradient("L").resize((64, 32)).save(picture, "PNG")
    content = picture.getvalue()
    head, tail = content[:33], content[33:]  # signature and IHDR, and the rest
    n_bytes, last = 0, b""
    for number in range(n_files):
        folder = root / f"{number % n_writers:04d}"
        if number < n_writers:
            folder.mkdir(parents=True)
        if number < n_writers or rng.random() >= _COPIES:
            text = b"Comment\0" + b"%08d" % number + rng.randbytes(1) * rng.randrange(largest - len(content))
            last = head + _chunk(b"tEXt", text) + tail
        (folder / f"{number:06d}.png").write_bytes(last)
        n_bytes += len(last)
    return n_bytes


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _measure(what: str, experiment: Experiment, folder: Path, n_bytes: int) -> tuple[str, ...]:
    started, started_cpu = time.perf_counter(), time.process_time()
    with progress_bar(f"index_speed: {what}") as advance:
        index = index_corpus(experiment, Workspace(folder), advance)
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - started_cpu
    n_copies = len(index.not_chosen) + len(index.unusable)
    n_files = len(index.images) + n_copies
    counts = (f"{n_files:,}", f"{n_bytes / 1e6:,.0f}", f"{len(index.images):,}", f"{n_copies:,}")
    return (what, *counts, f"{seconds:.1f}", f"{cpu_s:.1f}")


if __name__ == "__main__":
    typer.run(main)
