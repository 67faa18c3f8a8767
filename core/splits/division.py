"""Divide a corpus as an experiment says: the one entry to all kinds of split.

By page and by text have files of their own. Here are the two short ones: by the user's own lists
(the field shares divisions this way), and by writer. A division by writer is for verification,
retrieval and other uses of a network's features on hands that it has not seen (ICDAR 2013 and 2017
score that way). It is none for a network that names writers: none of those in validation and test
is among its classes.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace

from core.corpora.index import CorpusIndex, ExcludedWriter, TextImage, natural_key
from core.corpora.writer_choice import check_known, read_ids
from core.errors import SplitError
from core.splits.by_page import name_writers, pages_of_writers, split_pages, split_unit, usable_images
from core.splits.by_text import split_texts
from core.splits.manifest import SUBSETS, LeakyDeal, SplitManifest, Subset
from core.splits.settings import LeakyUnit, ListSettings, SplitSettings

_DEALT_IN_THIS_ORDER: tuple[Subset, ...] = ("test", "validation", "train")


def divide(index: CorpusIndex, settings: SplitSettings, unusable: Collection[str] = ()) -> SplitManifest:
    """Divide a corpus into train, validation and test.

    Args:
        index: the corpus.
        settings: which kind of division, and its shares.
        unusable: ids of images that cannot be read; they are in no subset.

    Returns:
        The manifest. No page is in two subsets, unless `settings.leaky` says so; then the manifest
        does, too.

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
    """Pour training and validation pages together, to be dealt out again by line or patch; test
    pages stay sealed.

    The share of validation stays as it is.
    """
    both = (*manifest.train, *manifest.validation)
    deal = LeakyDeal(by, round(len(manifest.validation) / len(both), 6), seed)
    return replace(manifest, train=both, validation=both, leaky=deal)


def split_by_lists(
    index: CorpusIndex, lists: ListSettings, settings: SplitSettings, unusable: Collection[str] = ()
) -> SplitManifest:
    """Put the images where the lists say; those in no list are in no subset.

    Args:
        index: the corpus.
        lists: ids of pages or of images.
        settings: what else is said; `validation` counts where there is no list of that name.
        unusable: ids of images that cannot be read; they are in no subset, whatever the lists say.

    Raises:
        SplitError: if a list cannot be read, names something unknown or the same thing twice, if a
            page would be in two subsets, or if a writer is not in every subset and `too_few_pages`
            is `error`.
    """
    pages_of_writers(index.images, index.name)  # every page has one writer, or this says so
    listed = _read_lists(index, lists)
    _check_pages_are_whole(index, listed)
    subsets = [subset for subset in SUBSETS if subset in listed.values()]
    usable = [image for image in usable_images(index, unusable) if image.image_id in listed]
    found = Counter((image.writer_id, listed[image.image_id]) for image in usable)
    wanted = Counter((image.writer_id, listed[image.image_id]) for image in index.images if image.image_id in listed)
    kept, excluded_writers, faults = [], [], []
    for writer_id in sorted({writer_id for writer_id, _ in wanted}, key=natural_key):
        lacking = [subset for subset in subsets if not found[writer_id, subset]]
        if not lacking:
            kept.append(writer_id)
            continue
        n_pages = len({image.group_id for image in usable if image.writer_id == writer_id})
        excluded_writers.append(ExcludedWriter(writer_id, n_pages, f"has nothing in {' and '.join(lacking)}"))
        if any(not wanted[writer_id, subset] for subset in lacking):
            faults.append(excluded_writers[-1])
    _check_writers(len(kept), excluded_writers, faults if settings.too_few_pages == "error" else [])
    return SplitManifest(
        corpus=index.name,
        unit=split_unit(index),
        writer_ids=tuple(kept),
        train=_ids(usable, listed, kept, "train"),
        validation=_ids(usable, listed, kept, "validation"),
        test=_ids(usable, listed, kept, "test"),
        excluded_writers=tuple(excluded_writers),
        settings=settings.as_json(),
    )


def _check_writers(n_kept: int, excluded: list[ExcludedWriter], faults: list[ExcludedWriter]) -> None:
    if faults:
        raise SplitError(
            f"Every writer of the lists must be in all of them, because a network names those whom it was trained on, "
            f"but {name_writers(faults)}. Add pages to the lists, or set `split.too_few_pages: leave_out`."
        )
    if n_kept < 2:
        raise SplitError(f"Two writers or more must be in all lists, but {n_kept} are: {name_writers(excluded)}.")


def split_writers(index: CorpusIndex, settings: SplitSettings, unusable: Collection[str] = ()) -> SplitManifest:
    """Deal writers to the subsets, with all their pages.

    Args:
        index: the corpus.
        settings: `validation` and `test` are shares of the writers.
        unusable: ids of images that cannot be read; they are in no subset.

    Returns:
        The manifest; its `writer_ids` are the training writers.

    Raises:
        SplitError: if there are too few writers for two in training and one in every other subset.
    """
    images = usable_images(index, unusable)
    writers = list(pages_of_writers(images, index.name))
    n_test = max(1, round(settings.test * len(writers))) if settings.test > 0 else 0
    n_validation = max(1, round(settings.validation * len(writers)))
    n_train = len(writers) - n_test - n_validation
    if n_train < 2:
        raise SplitError(
            f"A division by writer needs two writers to train on, but of {len(writers)} in {index.name!r} "
            f"{n_validation} are for validation and {n_test} for test. Add writers, or lower the shares."
        )
    # By a hash of each writer's own id, so that a new writer moves few others.
    dealt = sorted(writers, key=lambda writer_id: hashlib.sha256(f"{settings.seed} {writer_id}".encode()).digest())
    ends = {"test": n_test, "validation": n_test + n_validation, "train": len(dealt)}
    subset_of = {
        writer_id: next(subset for subset in _DEALT_IN_THIS_ORDER if place < ends[subset])
        for place, writer_id in enumerate(dealt)
    }
    ids = {
        subset: tuple(image.image_id for image in images if subset_of[image.writer_id] == subset)
        for subset in _DEALT_IN_THIS_ORDER
    }
    return SplitManifest(
        corpus=index.name,
        unit=split_unit(index),
        writer_ids=tuple(writer_id for writer_id in writers if subset_of[writer_id] == "train"),
        train=ids["train"],
        validation=ids["validation"],
        test=ids["test"],
        settings=settings.as_json(),
    )


def _by_lists(
    index: CorpusIndex, lists: ListSettings, settings: SplitSettings, unusable: Collection[str]
) -> SplitManifest:
    if lists.validation is not None:
        return split_by_lists(index, lists, settings, unusable)
    # Validation is dealt out of the training list, page by page as ever; then all three are lists.
    within = settings.model_copy(update={"lists": None, "test": 0.0, "official": "ignore"})
    dealt = split_pages(_only_listed(index, lists, "train"), within, unusable)
    full = ListSettings(train=dealt.train, validation=dealt.validation, test=lists.test)
    manifest = split_by_lists(index, full, settings, unusable)
    named = {writer.writer_id for writer in manifest.excluded_writers}
    others = tuple(writer for writer in dealt.excluded_writers if writer.writer_id not in named)
    return replace(manifest, excluded_writers=(*manifest.excluded_writers, *others))


def _only_listed(index: CorpusIndex, lists: ListSettings, subset: Subset) -> CorpusIndex:
    """The corpus with the images of one list alone."""
    listed = _read_lists(index, lists)
    return replace(index, images=tuple(image for image in index.images if listed.get(image.image_id) == subset))


def _read_lists(index: CorpusIndex, lists: ListSettings) -> dict[str, Subset]:
    """The subset of each image that is in a list."""
    images_of_page: dict[str, list[str]] = {}
    for image in index.images:
        images_of_page.setdefault(image.group_id, []).append(image.image_id)
    images = {image.image_id for image in index.images}
    listed: dict[str, tuple[Subset, str]] = {}
    for subset, ids in (("train", lists.train), ("validation", lists.validation), ("test", lists.test)):
        if ids is None:
            continue
        key = f"split.lists.{subset}"
        named = read_ids(ids, key, SplitError)
        check_known(named, images_of_page.keys() | images, key, "pages or images", SplitError)
        for text in named:
            for image_id in images_of_page.get(text, [text]):
                if image_id in listed:
                    earlier, by = listed[image_id]
                    raise SplitError(
                        f"An image must be named once in all lists together, but {image_id!r} is named by {by!r} in "
                        f"split.lists.{earlier} and by {text!r} in {key}. Remove one."
                    )
                listed[image_id] = (subset, text)  # type: ignore[assignment]  # a name of the tuple above
    return {image_id: subset for image_id, (subset, _) in listed.items()}


def _check_pages_are_whole(index: CorpusIndex, listed: Mapping[str, Subset]) -> None:
    subset_of_page: dict[str, Subset] = {}
    for image in index.images:
        subset = listed.get(image.image_id)
        if subset is not None and subset_of_page.setdefault(image.group_id, subset) != subset:
            raise SplitError(
                f"A page must lie in one subset, but the lists have images of {image.group_id!r} in "
                f"{subset_of_page[image.group_id]} and in {subset}. To divide pages on purpose, see `split.leaky`."
            )


def _ids(images: list[TextImage], listed: Mapping[str, Subset], writers: list[str], subset: Subset) -> tuple[str, ...]:
    kept = set(writers)
    return tuple(image.image_id for image in images if listed[image.image_id] == subset and image.writer_id in kept)
