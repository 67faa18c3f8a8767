"""Divide a corpus as an experiment says: the one entry to all kinds of split."""

from collections.abc import Collection
from dataclasses import replace

from core.corpora.index import CorpusIndex
from core.splits.by_page import split_pages
from core.splits.by_text import split_texts
from core.splits.leaky_deal import LeakyDeal
from core.splits.list_split import only_listed, split_by_lists
from core.splits.manifest import SplitManifest
from core.splits.settings import LeakyUnit, ListSettings, SplitSettings
from core.splits.writer_split import split_writers


def divide(index: CorpusIndex, settings: SplitSettings, unusable: Collection[str] = ()) -> SplitManifest:
    """Divide a corpus into train, validation and test.

    Args:
        index: the corpus.
        settings: which kind of division, and its shares.
        unusable: ids of images that cannot be read; they are in no part.

    Returns:
        The manifest. No page is in two parts, unless `settings.leaky` says so; then the manifest does, too.

    Raises:
        SplitError: if the corpus cannot be divided so.
    """
    if settings.lists is not None:
        return _by_lists(index, settings.lists, settings, unusable)
    if settings.kind == "text":
        return split_texts(index, settings, unusable)
    if settings.kind == "writer":
        return split_writers(index, settings, unusable)
    manifest = split_pages(index, settings, unusable)
    return manifest if settings.leaky is None else leak(manifest, settings.leaky, settings.seed)


def leak(manifest: SplitManifest, by: LeakyUnit, seed: int) -> SplitManifest:
    """Pour training and validation pages together, to be dealt out again by line or patch; test pages stay sealed.

    The share of validation stays as it is.
    """
    both = (*manifest.train, *manifest.validation)
    deal = LeakyDeal(by, round(len(manifest.validation) / len(both), 6), seed)
    return replace(manifest, train=both, validation=both, leaky=deal)


def _by_lists(
    index: CorpusIndex, lists: ListSettings, settings: SplitSettings, unusable: Collection[str]
) -> SplitManifest:
    if lists.validation is not None:
        return split_by_lists(index, lists, settings, unusable)
    # Validation is dealt out of the training list, page by page as ever; then all three are lists.
    within = settings.model_copy(update={"lists": None, "test": 0.0, "official": "ignore"})
    dealt = split_pages(only_listed(index, lists, "train"), within, unusable)
    full = ListSettings(train=dealt.train, validation=dealt.validation, test=lists.test)
    manifest = split_by_lists(index, full, settings, unusable)
    named = {writer.writer_id for writer in manifest.left_out}
    others = tuple(writer for writer in dealt.left_out if writer.writer_id not in named)
    return replace(manifest, left_out=(*manifest.left_out, *others))
