"""The part of `benchmarks.scale` that lists a corpus's lines and finds places for patches."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.scale_cost import Cost, Size, measured
from core.corpora.index import CorpusIndex, TextImage
from core.lines.store import LineStore, build_line_store
from core.patches.kept_offsets import keep_offsets
from core.patches.plan import PatchSampler, evaluation_plan
from core.settings import InkSettings, PatchSettings

N_LINES = 10
"""Of a page, each an image of its own, as in IAM's folder of lines."""
_N_DISTINCT = 100
_HEIGHT_PX = 32
_INK = InkSettings(height_px=_HEIGHT_PX)
_PATCHES = PatchSettings(size_px=_HEIGHT_PX, patches_per_epoch=10_000)


def many_lines(size: Size, folder: Path) -> CorpusIndex:
    """Lines of bars; a hundred are drawn, and each counts as many images."""
    files = [folder / "lines" / f"{number:03d}.png" for number in range(_N_DISTINCT)]
    generator = np.random.default_rng(0)
    for path in files:
        pixels = np.full((_HEIGHT_PX + 8, int(generator.integers(150, 300))), 255, dtype=np.uint8)
        for left in range(5, pixels.shape[1] - 3, int(generator.integers(6, 20))):
            pixels[5 : int(generator.integers(20, 38)), left : left + 3] = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    images = []
    for number in range(N_LINES * size.n_pages):
        page = number // N_LINES
        writer = page * size.n_writers // size.n_pages
        path = files[number % _N_DISTINCT]
        images.append(TextImage(f"{page:06d}/{number:07d}", path, f"{writer:05d}", page_id=f"{page:06d}"))
    return CorpusIndex("many", folder / "lines", tuple(images))


def measure_lines(size: Size, folder: Path) -> Sequence[Cost]:
    """The list of lines, made by the driver and opened by every worker; a trial's first plans."""
    index = many_lines(size, folder)
    stores: list[LineStore] = []
    costs = [measured("line store made", lambda: stores.append(build_line_store(index, _INK, folder / "stores")))]
    place = stores.pop().folder
    costs.append(measured("line store opened by a worker", lambda: stores.append(LineStore.open(place))))
    store, writer_ids = stores[0], index.writer_ids
    costs.append(measured("offsets of all lines found, once", lambda: keep_offsets(store, _PATCHES)))
    images = [image.image_id for image in index.images]
    training, validation = [image for k, image in enumerate(images) if k % 5], images[::5]
    return [
        *costs,
        measured(
            "a trial's training plan",
            lambda: PatchSampler(store, training, writer_ids, _PATCHES, seed=1).plan_epoch(0),
        ),
        measured("its validation plan", lambda: evaluation_plan(store, validation, writer_ids, _PATCHES, per_image=8)),
    ]
