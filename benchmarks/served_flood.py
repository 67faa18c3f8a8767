"""A served model under hostile images: four requests at a time, and what memory that takes.

    python -m benchmarks.served_flood MODEL_FOLDER [--requests 1000]

Among the images are a PNG of 12,000 x 12,000 pixels in some kilobytes, JPEGs of that size, pages as
large as are read, and files that are none.
"""

import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw

from benchmarks.report import print_report
from benchmarks.served_model import Server, ask, others_in_the_way, serve
from benchmarks.short_sweep import temporary_folder

_LONG_SIDE_PX = 12_000
_LARGEST_PX = (3_350, 4_740)  # 15.9 million pixels, A4 at 400 dpi
_EVERY_S = 0.02


def main(
    model: Annotated[Path, typer.Argument(help="Folder of a promoted model.")],
    n_requests: Annotated[int, typer.Option("--requests", min=20)] = 1000,
) -> None:
    """Serve a model over loopback and flood it."""
    with temporary_folder() as folder, serve(model, Path(sys.executable), others_in_the_way(folder)) as server:
        flood = flood_server(server, n_requests)
    rows = [
        ("memory before", f"{flood.idle_mb:.0f} MB"),
        ("most memory", f"{flood.peak_mb:.0f} MB"),
        ("more than before", f"{flood.peak_mb - flood.idle_mb:.0f} MB"),
        ("time", f"{flood.duration_s:.0f} s"),
        *(
            (f"answers to {name}", ", ".join(f"{n} x {status}" for status, n in sorted(found.items())))
            for name, found in flood.answers.items()
        ),
    ]
    print_report(f"A served model, {n_requests:,} hostile requests, 4 at a time", ("what", "figure"), rows, [])


@dataclass(frozen=True)
class Flood:
    """What a flood did.

    Attributes:
        idle_mb: memory of the server and its processes after its first answer.
        peak_mb: the most in between.
        duration_s: of all requests.
        answers: how often each kind of image got which status.
    """

    idle_mb: float
    peak_mb: float
    duration_s: float
    answers: Mapping[str, Mapping[int, int]]


def flood_server(server: Server, n_requests: int, n_parallel: int = 4) -> Flood:
    """Send hostile images, and watch the memory."""
    images = hostile_images()
    ask(server.url, images["a line"])
    time.sleep(1)
    idle_mb, peaks, is_over = server.memory_mb(), [0.0], threading.Event()

    def watch() -> None:
        while not is_over.wait(_EVERY_S):
            peaks[0] = max(peaks[0], server.memory_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started_s = time.monotonic()
    try:
        names = list(itertools.islice(itertools.cycle(_order()), n_requests))
        with ThreadPoolExecutor(n_parallel) as pool:
            statuses = list(pool.map(lambda name: ask(server.url, images[name], timeout_s=600)[0], names))
    finally:
        is_over.set()
        watcher.join()
    answers = {
        name: Counter(status for sent, status in zip(names, statuses, strict=True) if sent == name) for name in images
    }
    return Flood(idle_mb, peaks[0], time.monotonic() - started_s, answers)


def hostile_images() -> dict[str, bytes]:
    """By a name for each, the content of the file."""
    size = (_LONG_SIDE_PX, _LONG_SIDE_PX)
    line = Image.new("L", (600, 120), 255)
    _write(line, 30)
    page = Image.new("L", _LARGEST_PX, 255)
    _write(page, 170)
    return {
        "a line": _file(line, "PNG"),
        "a PNG of 144 million pixels": _file(Image.new("1", size, 1), "PNG", optimize=True),
        "a JPEG of 144 million pixels": _file(Image.new("L", size, 255), "JPEG"),
        "a page as large as is read": _file(page, "PNG"),
        "an RGBA image as large as is read": _file(Image.new("RGBA", _LARGEST_PX, (255, 255, 255, 128)), "PNG"),
        "a cut JPEG": _file(Image.fromarray(np.zeros((500, 500), np.uint8)), "JPEG")[:300],
        "a program": b"%!PS-Adobe-3.0\n(x) run\n",
    }


def _order() -> list[str]:
    """A round of 250 images; what takes seconds is rare, but some of it always at the same time."""
    common = ["a PNG of 144 million pixels"] * 6 + ["a line"] * 2 + ["a cut JPEG", "a program"]
    return [
        *["a JPEG of 144 million pixels"] * 4,
        *["an RGBA image as large as is read"] * 2,
        "a page as large as is read",
        *["a PNG of 144 million pixels"] * 3,
        *common * 24,
    ]


def _write(image: Image.Image, step: int) -> None:
    """Lines of strokes."""
    pen = ImageDraw.Draw(image)
    for bottom in range(4 * step // 3 * 2, image.height - step // 3, 4 * step // 3 * 2):
        for left in range(step, image.width - step, step):
            pen.line([(left, bottom), (left + step // 2, bottom - step), (left + step // 4 * 3, bottom)], 20, step // 8)


def _file(image: Image.Image, kind: str, **options: bool) -> bytes:
    content = BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


if __name__ == "__main__":
    typer.run(main)
