"""Generated scans for `benchmarks.line_store`: few are written, many are made of them, no two the
same.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.corpora.hands import GENERATOR_VERSION
from core.handwriting.page import write_page
from core.handwriting.penmanship import draw_penmanship

PAGE_PX = (3508, 2480)
"""A4 at 300 dpi: rows, columns."""
_SHIFT_PX = 2
_PER_WRITER = 10


def draw_once(images: Path, n_images: int, write: Callable[[Path, int], None]) -> Path:
    """See that a folder of so many images is there, and return it.

    Args:
        images: where such folders are kept; their names tell the generator's version, so that it
            may change.
        n_images: how many.
        write: `write_pages` or `write_words`.
    """
    folder = images / f"{write.__name__.removeprefix('write_')}-{n_images}-v{GENERATOR_VERSION}"
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        write(partial, n_images)
        partial.replace(folder)
    return folder


def write_pages(folder: Path, n_pages: int, n_distinct: int = 10) -> None:
    """Write full pages as PNG files, `<writer>/<page>.png`, ten a writer.

    Each distinct page is by a writer of its own; the others are the same ones moved by some pixels.
    """
    distinct = [full_page(seed) for seed in range(min(n_distinct, n_pages))]
    for number in range(n_pages):
        page = np.roll(distinct[number % len(distinct)], _SHIFT_PX * (number // len(distinct)), axis=1)
        _save(page, folder, number)


def write_words(folder: Path, n_words: int, size_px: tuple[int, int] = (64, 256)) -> None:
    """Write small images, each a cut out of a page that has ink, `<writer>/<number>.png`."""
    page, generator = full_page(0), np.random.default_rng(0)
    n_written = 0
    while n_written < n_words:
        top = int(generator.integers(PAGE_PX[0] - size_px[0]))
        left = int(generator.integers(PAGE_PX[1] - size_px[1]))
        word = page[top : top + size_px[0], left : left + size_px[1]]
        if (word < 100).mean() > 0.03:
            _save(word, folder, n_written)
            n_written += 1


def full_page(seed: int) -> NDArray[np.uint8]:
    """A page of about 25 lines of generated handwriting, (3508, 2480), 255 is paper."""
    written = write_page(draw_penmanship(np.random.default_rng(seed)), 25, np.random.default_rng([seed, 1])).pixels
    scale = PAGE_PX[1] / written.shape[1]
    scaled = cv2.resize(written, (PAGE_PX[1], round(written.shape[0] * scale)), interpolation=cv2.INTER_LINEAR)
    page = np.full(PAGE_PX, np.uint8(np.median(scaled)), dtype=np.uint8)
    n_rows = min(PAGE_PX[0], scaled.shape[0])
    page[:n_rows] = scaled[:n_rows]
    return page


def _save(pixels: NDArray[np.uint8], folder: Path, number: int) -> None:
    path = folder / f"{number // _PER_WRITER:04d}" / f"{number % _PER_WRITER:02d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)
