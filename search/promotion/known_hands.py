"""What a promoted model takes along to compare hands by: its own writers' pages, and pages by
writers who were set aside.

What came of it is tested on pages by yet other writers, where there are enough.
"""

from collections.abc import Sequence

import numpy as np

from core.lines.source import LineSource
from core.retrieval.described_corpus import describe_corpus, image_ids_of
from core.retrieval.known_hands import CrossFittedPages, DescribedPage, Hands, PagesByInk, average_hands
from core.retrieval.page_embeddings import PatchEmbedder
from core.settings import PatchSettings
from core.splits.manifest import SplitManifest

PER_WRITER = 6
"""Training pages of each writer that are described, evenly chosen."""
_VALIDATION_PAGES = 100


def gather_hands(
    store: LineSource,
    manifest: SplitManifest,
    writer_ids: Sequence[str],
    set_aside: LineSource | None,
    settings: PatchSettings,
    embedder: PatchEmbedder,
    false_accept_rate: float,
    max_false_reject_rate: float,
) -> Hands:
    """Describe what a model takes along.

    Args:
        store: the lines of its corpus.
        manifest: on which pages it was trained and validated.
        writer_ids: whom it was trained on, in the order of its classes.
        set_aside: lines of images by writers who took no part; `None` where there are none.
        settings: of the patches.
        embedder: of the network.
        false_accept_rate: share of pages by unknown writers that may be given a name.
        max_false_reject_rate: beyond it no page is called unknown.
    """
    training = describe_corpus(store, manifest.train, settings, embedder, PER_WRITER)
    held_out = _describe_held_out(store, manifest, writer_ids, settings, embedder)
    others = [page for page in held_out if page.writer_id not in writer_ids]
    others += describe_corpus(set_aside, image_ids_of(set_aside), settings, embedder) if set_aside else []
    n_dimensions = len(training[0].descriptor)
    own = [[page for page in training if page.writer_id == writer_id] for writer_id in writer_ids]
    return Hands(
        centres=average_hands(training, writer_ids),
        n_pages=np.array([len(pages) for pages in own], dtype=np.int64),
        n_patches=np.array([sum(page.n_patches for page in pages) for pages in own], dtype=np.int64),
        validation=PagesByInk.of((page for page in held_out if page.writer_id in writer_ids), n_dimensions),
        set_aside=PagesByInk.of(others, n_dimensions),
        set_aside_from=f"writers of {manifest.corpus} who took no part in training",
        false_accept_rate=false_accept_rate,
        max_false_reject_rate=max_false_reject_rate,
    )


def describe_fold(
    store: LineSource,
    fold: SplitManifest,
    writer_ids: Sequence[str],
    settings: PatchSettings,
    embedder: PatchEmbedder,
) -> CrossFittedPages:
    """Describe the pages that a fold held out, and its writers' centres.

    Args:
        store: the lines of its corpus.
        fold: on which pages its network was trained.
        writer_ids: whom it was trained on, in the order of its classes.
        settings: of the patches.
        embedder: of the fold's network.
    """
    training = describe_corpus(store, fold.train, settings, embedder, PER_WRITER)
    held_out = _describe_held_out(store, fold, writer_ids, settings, embedder)
    pages = PagesByInk.of(held_out, len(training[0].descriptor))
    return CrossFittedPages(average_hands(training, writer_ids), pages)


def _describe_held_out(
    store: LineSource,
    manifest: SplitManifest,
    writer_ids: Sequence[str],
    settings: PatchSettings,
    embedder: PatchEmbedder,
) -> list[DescribedPage]:
    if not manifest.validation:
        return []
    per_writer = max(1, _VALIDATION_PAGES // len(writer_ids))
    return describe_corpus(store, manifest.validation, settings, embedder, per_writer)
