"""Pictures of generated pages with the lines that are found on them, each line in a colour of its
own.

    python -m benchmarks.page_overlays docs/pictures/page_lines.png

One page with each trouble of `benchmarks.bench_pages`, of other seeds than the benchmark's. Ink
that belongs to no line stays black.
"""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from benchmarks.bench_pages import TROUBLES, draw_sheet
from core.corpora.index import Unit
from core.pages.scan import INK_LEVEL
from core.pages.text_lines import read_page
from core.settings import InkSettings

DEVELOPMENT_SEED = 100
_TILE_PX = (200, 290)
_PER_ROW = 5
_COLOURS = ((178, 114, 0), (0, 94, 213), (115, 158, 0), (167, 121, 204))  # Okabe and Ito, as BGR


def main(
    path: Annotated[Path, typer.Argument(help="The PNG file to write.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the first writer.")] = DEVELOPMENT_SEED,
) -> None:
    """Draw a page with each trouble, and what is read from it."""
    tiles = [
        draw_tile(name, draw_sheet(name, seed + 100 * number).pixels, "form" if "form" in troubles else "page")
        for number, (name, troubles) in enumerate(TROUBLES.items())
    ]
    save_tiles(tiles, path)


def draw_tile(name: str, pixels: NDArray[np.uint8], unit: Unit) -> NDArray[np.uint8]:
    """The page as it was scanned, and as it is read, side by side, with the trouble's name
    above.
    """
    page = read_page(pixels, unit, InkSettings())
    read = cv2.cvtColor(page.clean.tone, cv2.COLOR_GRAY2BGR)
    for number, line in enumerate(page.lines):
        region = line.region
        place = slice(region.top, region.top + region.height), slice(region.left, region.left + region.width)
        own = (page.clean.tone[place] < INK_LEVEL) & ~line.is_foreign
        read[place][cv2.dilate(own.view(np.uint8), np.ones((3, 3), np.uint8)) > 0] = _COLOURS[number % len(_COLOURS)]
    halves = [cv2.resize(half, _TILE_PX, interpolation=cv2.INTER_AREA) for half in (_in_colour(pixels), read)]
    tile = cv2.copyMakeBorder(np.hstack(halves), 26, 4, 4, 4, cv2.BORDER_CONSTANT, value=(208, 208, 208))
    cv2.putText(tile, name, (8, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (30, 30, 30), 1, cv2.LINE_AA)
    return np.asarray(tile, dtype=np.uint8)


def save_tiles(tiles: list[NDArray[np.uint8]], path: Path) -> None:
    """Write tiles of one size in rows."""
    tiles = [*tiles, *[np.full_like(tiles[0], 208)] * (-len(tiles) % _PER_ROW)]
    rows = [np.hstack(tiles[start : start + _PER_ROW]) for start in range(0, len(tiles), _PER_ROW)]
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(cv2.cvtColor(np.vstack(rows), cv2.COLOR_BGR2RGB))
    picture.quantize(24).save(path, optimize=True)  # a fifth of the size


def _in_colour(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


if __name__ == "__main__":
    typer.run(main)
