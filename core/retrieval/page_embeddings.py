"""The patches of each page, in a network's embedding: what a page is described by.

Patches are spaced evenly over all lines of a page, as when it is evaluated. The network is handed
over, so that nothing here imports TensorFlow.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import RetrievalError
from core.lines.source import LineSource
from core.patches.plan import PatchPlan, evaluation_plan, read_patches
from core.settings import PatchSettings

PER_PAGE = 64
"""Most patches of a page, where nothing else is said."""
_PAGES_AT_ONCE = 128
_BATCH_SIZE = 64
_Page = tuple[str, str]


class PatchEmbedder(Protocol):
    """What `core.networks.inference.Embedder` does."""

    def embed(self, batches: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Patches (n, height, width, 1), 0 ink to 255 paper, to (n, n_features), rows of length
        1.
        """
        ...


@dataclass(frozen=True, eq=False)
class EmbeddedPage:
    """The patches of a page.

    Attributes:
        page_id: of the page; of the image where the corpus has no pages.
        writer_id: who wrote it; empty where that is not known.
        embeddings: (n_patches, n_features), each row of length 1.
    """

    page_id: str
    writer_id: str
    embeddings: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PlacedPage(EmbeddedPage):
    """The same, and where the patches are: how much ink a page has is counted by places.

    Attributes:
        plan: of the patches.
    """

    plan: PatchPlan


class JoinedLines:
    """A line source whose images are joined to artificial pages, where single words or lines are
    too little to describe a hand.

    The images of each writer are dealt at random, so many to a page; those that are left over are
    on none. Joined words of one session are more alike than pages of different days.

    Args:
        lines: the images' lines.
        image_ids: to join.
        n_images: to a page, at least 1.
        seed: of the dealing.

    Attributes:
        height_px: of every line.
        lines: as they were, on their artificial pages, `<writer>, page <number>`.
        image_ids: of the images that are on one, in the order in which they were given.
        n_left_over: images with a line that are on none.

    Raises:
        ValueError: if `n_images` is below 1.
        RetrievalError: if no writer has so many images.
    """

    def __init__(self, lines: LineSource, image_ids: Sequence[str], n_images: int, seed: int = 0) -> None:
        if n_images < 1:
            raise ValueError(f"`n_images >= 1` must hold, but got {n_images=}.")
        wanted, owned = set(image_ids), dict[str, dict[str, None]]()
        for line in lines.lines:
            if line.image_id in wanted:
                owned.setdefault(line.writer_id, {})[line.image_id] = None
        page_of = _deal(owned, n_images, seed)
        if not page_of:
            most = max(map(len, owned.values()), default=0)
            raise RetrievalError(
                f"Joining {n_images} images to a page needs a writer with so many, but none has more than {most}. "
                "Join fewer."
            )
        self._lines = lines
        self.height_px = lines.height_px
        self.lines = tuple(replace(line, group_id=page_of.get(line.image_id, line.group_id)) for line in lines.lines)
        self.image_ids = tuple(image_id for image_id in image_ids if image_id in page_of)
        self.n_left_over = sum(map(len, owned.values())) - len(page_of)

    def pixels(self, line: int) -> NDArray[np.uint8]:
        """The pixels of a line, (height_px, width_px), 255 is paper."""
        return self._lines.pixels(line)

    def n_ink(self, line: int) -> NDArray[np.int32]:
        """The count of ink pixels left of each column, (width_px + 1,)."""
        return self._lines.n_ink(line)

    def kept_arrays(self, about: Mapping[str, object]) -> Mapping[str, NDArray[Any]] | None:
        """What is kept beside the lines: other pages do not change them."""
        return self._lines.kept_arrays(about)


def embed_pages(
    lines: LineSource,
    image_ids: Sequence[str],
    settings: PatchSettings,
    per_page: int,
    embedder: PatchEmbedder,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[PlacedPage]:
    """Embed the patches of each page.

    Args:
        lines: holds the lines; images without a line in it are passed over.
        image_ids: that the pages are made of.
        settings: of the patches; those of the network.
        per_page: most patches of a page, at least 1.
        embedder: of the network.
        on_progress: called with (pages done, pages in all).

    Yields:
        Each page, in the order of the lines; hands on a shared page count apart.

    Raises:
        PatchError: if a patch is higher than the lines.
        RetrievalError: if none of the images has a line.
    """
    wanted, images_of = set(image_ids), dict[_Page, dict[str, None]]()
    for line in lines.lines:
        if line.image_id in wanted:
            images_of.setdefault((line.writer_id, line.group_id), {})[line.image_id] = None
    if not images_of:
        raise RetrievalError(f"Pages are described by their text lines, but none of {len(wanted)} images has one.")
    waiting, n_done = iter(images_of.items()), 0
    while chunk := list(islice(waiting, _PAGES_AT_ONCE)):
        ids = [image_id for _, images in chunk for image_id in images]
        plan = evaluation_plan(lines, ids, None, settings, per_page, by="page")
        for page in _embed(lines, plan, embedder):
            n_done += 1
            if on_progress is not None:
                on_progress(n_done, len(images_of))
            yield page


def _embed(lines: LineSource, plan: PatchPlan, embedder: PatchEmbedder) -> Iterator[PlacedPage]:
    """The pages of a plan, one after the other as their patches are."""
    patches_of: dict[Hashable, list[int]] = {}
    for patch, number in enumerate(plan.lines.tolist()):
        line = lines.lines[number]
        patches_of.setdefault((line.writer_id, line.group_id), []).append(patch)
    for own in patches_of.values():
        line = lines.lines[int(plan.lines[own[0]])]
        chosen = plan[np.array(own)]
        starts = range(0, len(chosen), _BATCH_SIZE)
        batches = (read_patches(lines, chosen[start : start + _BATCH_SIZE])[..., np.newaxis] for start in starts)
        yield PlacedPage(line.group_id, line.writer_id, embedder.embed(batches), chosen)


def _deal(owned: dict[str, dict[str, None]], n_images: int, seed: int) -> dict[str, str]:
    """The artificial page of each image."""
    generator, page_of = np.random.default_rng(seed), {}
    for writer_id, images in owned.items():
        shuffled = generator.permutation(list(images)).tolist()
        for page in range(len(shuffled) // n_images):
            for image_id in shuffled[page * n_images : (page + 1) * n_images]:
                page_of[image_id] = f"{writer_id}, page {page + 1}"
    return page_of
