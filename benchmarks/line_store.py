"""How fast a line store is built and opened, and with how much memory.

    python -m benchmarks.line_store

Pages of A4 at 300 dpi, generated; then as many small images as make a large store. They are drawn
once and kept in `data/benchmarks` (3 MB a page); the stores go into a folder that is removed
afterwards. Each row is a fresh process that imports nothing but `core`; memory is that of the
process and its children together, looked at from outside every 20 ms.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated

import psutil
import typer

from benchmarks.line_store_pages import draw_once, write_pages, write_words
from benchmarks.line_store_worker import StoreCost
from benchmarks.report import notes, print_report
from benchmarks.short_sweep import temporary_folder
from core.corpora.index import Unit

IMAGES = Path("data/benchmarks")
_INTERVAL_S = 0.02
_COLUMNS = ("what", "images", "read", "lines", "s", "images/s", "open again, s", "peak, MB")


def main(
    pages: Annotated[int, typer.Option(min=20, help="Pages of 2480 x 3508 pixels.")] = 200,
    words: Annotated[int, typer.Option(min=20, help="Small images, for a store of about as many lines.")] = 20_000,
    images: Annotated[Path, typer.Option(help="Where the images are kept from one run to the next.")] = IMAGES,
) -> None:
    """Measure building and opening of line stores."""
    notes.print(f"line_store: {pages} pages and {words:,} small images in {images}, drawn where they are not there ...")
    page_root, word_root = draw_once(images, pages, write_pages), draw_once(images, words, write_words)
    with temporary_folder() as folder:
        runs = [
            ("build", *watch(page_root, folder / "lines")),
            ("open", *watch(page_root, folder / "lines")),
            ("half of the writers", *watch(page_root, folder / "lines", share_of_writers=0.5)),
            ("build, small images", *watch(word_root, folder / "lines", unit="line")),
            ("open, small images", *watch(word_root, folder / "lines", unit="line")),
        ]
    marks_mb = runs[3][1].rss_mb
    remarks = [
        "aims: 3 pages/s and less than 600 MB on 2 cores; opened in less than 0.2 s; memory flat",
        "memory when a quarter, half, three quarters and all of the small images were read: "
        f"{', '.join(f'{mark_mb:.0f}' for mark_mb in marks_mb)} MB; from the first to the last "
        f"{marks_mb[-1] - marks_mb[0]:+.0f} MB ({marks_mb[-1] / marks_mb[0] - 1:+.1%})",
        "open: fingerprints from the kept status of the files; open again: the store by its path, as a worker does",
    ]
    print_report("Line store", _COLUMNS, [_row(*run) for run in runs], remarks)


def watch(root: Path, cache_dir: Path, share_of_writers: float = 1.0, unit: Unit = "page") -> tuple[StoreCost, float]:
    """Build or open a store in a fresh process.

    Returns:
        What it told, and the peak of its memory with that of its children, in 10^6 bytes.

    Raises:
        CalledProcessError: if it failed.
    """
    notes.print(f"line_store: {root.name}, {share_of_writers:.0%} of the writers ...")
    command = [
        sys.executable,
        "-m",
        "benchmarks.line_store_worker",
        str(root),
        str(cache_dir),
        str(share_of_writers),
        unit,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peaks_mb = [0.0]
        watcher = threading.Thread(target=_watch, args=(process.pid, peaks_mb), daemon=True)
        watcher.start()
        said, _ = process.communicate()
        watcher.join()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return StoreCost(**json.loads(said)), max(peaks_mb)


def _watch(pid: int, peaks_mb: list[float]) -> None:
    ended = threading.Event()
    try:
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            tree = [process, *process.children(recursive=True)]
            peaks_mb.append(sum(member.memory_info().rss for member in tree) / 1e6)
            ended.wait(_INTERVAL_S)
    except psutil.Error:  # it ended meanwhile
        pass


def _row(what: str, cost: StoreCost, peak_mb: float) -> tuple[str, ...]:
    speed = f"{cost.n_read / cost.build_s:.1f}" if cost.n_read else "-"
    counts = (f"{cost.n_images:,}", f"{cost.n_read:,}", f"{cost.n_lines:,}")
    return (what, *counts, f"{cost.build_s:.2f}", speed, f"{cost.open_s:.3f}", f"{peak_mb:.0f}")


if __name__ == "__main__":
    typer.run(main)
