"""The pages of a corpus described, a few of each writer or all of them.

Images of single words or lines hold too little ink to describe a hand: where a corpus has no pages,
up to ten of a writer's are joined to one, so that most writers have some pages.
"""

from collections.abc import Sequence

import numpy as np

from core.lines.source import LineSource
from core.retrieval.known_hands import AMOUNTS, DescribedPage, describe_page
from core.retrieval.page_embeddings import PER_PAGE, JoinedLines, PatchEmbedder, embed_pages
from core.settings import PatchSettings

_MOST_JOINED = 10
_FEWEST_PAGES = 4  # that the writer in the middle shall have
_LITTLE_INK = AMOUNTS[3]  # patches, below which an image is no page


def describe_corpus(
    store: LineSource,
    image_ids: Sequence[str],
    settings: PatchSettings,
    embedder: PatchEmbedder,
    per_writer: int | None = None,
) -> list[DescribedPage]:
    """Describe pages of known writers; images with little ink and no page are joined first.

    Args:
        store: of their lines.
        image_ids: that the pages are made of.
        settings: of the patches.
        embedder: of the network.
        per_writer: most pages of a writer, evenly chosen; all of them if not given.
    """
    n_joined = _n_to_join(store, image_ids)
    if n_joined < 2 or not _have_little_ink(store, image_ids, settings, embedder):
        return _describe(store, _choose(store, image_ids, per_writer), settings, embedder)
    joined = JoinedLines(store, image_ids, n_joined)
    found = _describe(joined, _choose(joined, joined.image_ids, per_writer), settings, embedder)
    has_page = {page.writer_id for page in found}
    line_of = {line.image_id: line.writer_id for line in store.lines}
    others = [image_id for image_id in image_ids if image_id in line_of and line_of[image_id] not in has_page]
    return [*found, *(_describe(store, _choose(store, others, per_writer), settings, embedder) if others else [])]


def image_ids_of(store: LineSource) -> list[str]:
    """The images that a store has lines of."""
    return list(dict.fromkeys(line.image_id for line in store.lines))


def _describe(
    lines: LineSource, image_ids: Sequence[str], settings: PatchSettings, embedder: PatchEmbedder
) -> list[DescribedPage]:
    return [describe_page(page) for page in embed_pages(lines, image_ids, settings, PER_PAGE, embedder)]


def _have_little_ink(
    store: LineSource, image_ids: Sequence[str], settings: PatchSettings, embedder: PatchEmbedder
) -> bool:
    """Whether the images are words rather than pages, from two of each writer."""
    some = _describe(store, _choose(store, image_ids, 2), settings, embedder)
    return float(np.median([page.n_patches for page in some])) < _LITTLE_INK


def _choose(store: LineSource, image_ids: Sequence[str], per_writer: int | None) -> list[str]:
    """The images of so many pages of each writer, evenly chosen."""
    pages = _pages(store, image_ids)
    chosen = []
    for of_writer in pages.values():
        step = 1 if per_writer is None else max(1, -(-len(of_writer) // per_writer))
        chosen += [image_id for page in list(of_writer.values())[::step] for image_id in page]
    return chosen


def _pages(store: LineSource, image_ids: Sequence[str]) -> dict[str, dict[str, dict[str, None]]]:
    """By writer and page, the images."""
    wanted, pages = set(image_ids), dict[str, dict[str, dict[str, None]]]()
    for line in store.lines:
        if line.image_id in wanted:
            pages.setdefault(line.writer_id, {}).setdefault(line.group_id, {})[line.image_id] = None
    return pages


def _n_to_join(store: LineSource, image_ids: Sequence[str]) -> int:
    """How many images shall make a page; 1 where some are pages of several images already."""
    pages = [list(of_writer.values()) for of_writer in _pages(store, image_ids).values()]
    if any(len(page) > 1 for of_writer in pages for page in of_writer):
        return 1
    return min(_MOST_JOINED, int(np.median([len(of_writer) for of_writer in pages])) // _FEWEST_PAGES)
