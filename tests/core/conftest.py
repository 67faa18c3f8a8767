"""Line stores with known pixels."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from core.corpora.index import CorpusIndex, TextImage
from core.lines.store import LineStore, build_line_store
from core.settings import InkSettings

HEIGHT_PX = 40
BAR_PX = 3
Line = tuple[str, str, str | None, int, Sequence[int]]


@pytest.fixture(scope="session")
def build_bar_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[Line]], LineStore]:
    """Builds a store of lines 40 px high from (image id, writer id, page id, width, first columns
    of bars).

    A bar is ink, 3 px wide and as high as the line, on white paper; an image without bars has a
    small dot.
    """
    numbers = itertools.count()

    def build(lines: Sequence[Line]) -> LineStore:
        folder = tmp_path_factory.mktemp(f"bars{next(numbers)}")
        images = []
        for image_id, writer_id, page_id, width_px, bars in lines:
            pixels = np.full((HEIGHT_PX, width_px), 255, dtype=np.uint8)
            for bar in bars:
                pixels[:, bar : bar + BAR_PX] = 0
            if not bars:
                pixels[16:22, 5:9] = 0
            Image.fromarray(pixels).save(folder / f"{image_id}.png")
            images.append(TextImage(image_id, folder / f"{image_id}.png", writer_id, page_id))
        index = CorpusIndex("bars", folder, tuple(images))
        return build_line_store(index, InkSettings(height_px=HEIGHT_PX, crop_to_ink=False), folder / "lines")

    return build


@pytest.fixture(scope="session")
def bar_store(build_bar_store: Callable[[Sequence[Line]], LineStore]) -> LineStore:
    """Five writers w0..w4 with two pages of three lines each (`w0-p1-l2`), 120 to 259 px wide, bars
    at random.
    """
    generator = np.random.default_rng(0)
    lines: list[Line] = []
    for writer, page, line in itertools.product(range(5), range(2), range(3)):
        width_px = int(generator.integers(120, 260))
        bars = np.flatnonzero(generator.random(width_px // 8) < 0.4) * 8
        lines.append((f"w{writer}-p{page}-l{line}", f"w{writer}", f"w{writer}-p{page}", width_px, bars.tolist()))
    return build_bar_store(lines)
