"""Divide a corpus so that no text and no page is in two subsets, and every writer is in all of
them.

Where writers copied the same texts, a network can learn how the words of a text look instead of how
a writer forms letters; here it is judged on words that it has not seen (IAM's writers copied parts
of one text corpus, CVL's all copied the same few texts). scikit-learn's `StratifiedGroupKFold`
keeps texts together, too, but knows one kind of group and does not promise every writer a page in
every subset. That is a small integer programme, solved by HiGHS.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, csr_array, hstack, identity, kron, vstack
from scipy.sparse.csgraph import connected_components

from core.corpora.index import CorpusIndex, ExcludedWriter, TextImage
from core.errors import SplitError
from core.splits.by_page import images_of_subset, name_writers, pages_of_writers, split_unit, usable_images
from core.splits.manifest import SUBSETS, SplitManifest, Subset
from core.splits.settings import SplitSettings

_GAP = 0.02  # of the way to the best division; the rest would take long and change a page or two
_MAX_NODES = 2_000  # and not seconds: the same corpus must be divided alike on a slow machine


def split_texts(index: CorpusIndex, settings: SplitSettings, unusable: Collection[str] = ()) -> SplitManifest:
    """Deal texts to the subsets.

    Texts that share a page cannot be separated, and go together. Shares are met for each writer as
    nearly as that allows.

    Args:
        index: the corpus.
        settings: how to divide it.
        unusable: ids of images that cannot be read; they are in no subset.

    Raises:
        SplitError: if the text of an image is not known, a writer has too few texts and
            `too_few_pages` is `error` (one of whose pages cannot be read is excluded), or the texts
            cannot be dealt so that every writer is in every subset.
    """
    images = usable_images(index, unusable)
    _check_texts_are_known(index, images)
    pages = pages_of_writers(images, index.name)
    bundle_of_page = _bundle(images)
    subsets = SUBSETS if settings.test > 0 else SUBSETS[:2]
    excluded_writers, faults = [], []  # faults: those who would have too few texts if all could be read
    with_unreadable = pages_of_writers(index.images, index.name)
    for writer_id, all_pages in with_unreadable.items():
        own = pages.get(writer_id, [])
        n_bundles = len({bundle_of_page[page] for page in own})
        if n_bundles < len(subsets):
            excluded_writers.append(ExcludedWriter(writer_id, len(own), _lack(n_bundles, len(subsets))))
            faults += excluded_writers[-1:] if len(own) == len(all_pages) else []
    kept = [writer_id for writer_id in pages if writer_id not in {writer.writer_id for writer in excluded_writers}]
    if (faults and settings.too_few_pages == "error") or len(kept) < 2:
        raise SplitError(
            f"A division by text needs {len(subsets)} texts or more of every writer, none of them on a page with "
            f"another one, but in {index.name!r} {name_writers(excluded_writers)}. If everybody copied the same text, "
            "take `split.kind: page`; otherwise set `split.too_few_pages: leave_out`."
        )
    chosen = {page: bundle_of_page[page] for writer_id in kept for page in pages[writer_id]}
    subset_of_bundle = _deal(_count(kept, pages, chosen), subsets, settings, index.name)
    subset_of_page = {page: subset_of_bundle[bundle] for page, bundle in chosen.items()}
    return SplitManifest(
        corpus=index.name,
        unit=split_unit(index),
        writer_ids=tuple(kept),
        train=images_of_subset(images, subset_of_page, "train"),
        validation=images_of_subset(images, subset_of_page, "validation"),
        test=images_of_subset(images, subset_of_page, "test"),
        excluded_writers=tuple(excluded_writers),
        settings=settings.as_json(),
    )


@dataclass(frozen=True)
class _Counts:
    """How many pages each writer has of each bundle of texts.

    Attributes:
        bundles: their numbers, in the order of the columns.
        n_pages: (n_writers, n_bundles).
    """

    bundles: tuple[int, ...]
    n_pages: csr_array


def _check_texts_are_known(index: CorpusIndex, images: Sequence[TextImage]) -> None:
    without = [image.image_id for image in images if image.text_id is None]
    if without:
        raise SplitError(
            f"A division by text needs to know the text of every image, but of {len(without)} of {len(images)} images "
            f"of {index.name!r} it is not known, such as {', '.join(without[:3])}. Take `split.kind: page`, or name "
            "texts where the layout can have them (`text` in a manifest or pattern)."
        )


def _bundle(images: Sequence[TextImage]) -> dict[str, int]:
    """Number the sets of pages that texts hold together, by page."""
    pages = list(dict.fromkeys(image.group_id for image in images))
    texts = list(dict.fromkeys(image.text_id for image in images))
    page_number = {page: number for number, page in enumerate(pages)}
    text_number = {text: number + len(pages) for number, text in enumerate(texts)}
    edges = {(page_number[image.group_id], text_number[image.text_id]) for image in images}
    rows, columns = zip(*edges, strict=True)
    n = len(pages) + len(texts)
    _, labels = connected_components(coo_array((np.ones(len(edges)), (rows, columns)), shape=(n, n)), directed=False)
    return {page: int(labels[number]) for page, number in page_number.items()}


def _lack(n_bundles: int, n_subsets: int) -> str:
    # Reasons are part of the hash of a split: 0.1's words stay.
    return f"has {n_bundles} text{'' if n_bundles == 1 else 's'} that can be parted, needs {n_subsets}"


def _count(writers: Sequence[str], pages: dict[str, list[str]], bundle_of_page: dict[str, int]) -> _Counts:
    bundles = tuple(sorted(set(bundle_of_page.values())))
    column = {bundle: place for place, bundle in enumerate(bundles)}
    entries = [(row, column[bundle_of_page[page]]) for row, writer in enumerate(writers) for page in pages[writer]]
    rows, columns = zip(*entries, strict=True)
    shape = len(writers), len(bundles)
    return _Counts(bundles, csr_array(coo_array((np.ones(len(entries)), (rows, columns)), shape=shape)))


def _deal(counts: _Counts, subsets: Sequence[Subset], settings: SplitSettings, corpus: str) -> dict[int, Subset]:
    """Solve for the subset of each bundle.

    Unknowns: for each bundle and subset, whether it lies there (bundles run slower than subsets);
    for each writer and subset, how far the writer's pages there are from the share, which is made
    small. The seed decides among equals.
    """
    n_writers, n_bundles = counts.n_pages.shape
    n_subsets = len(subsets)
    share = {"validation": settings.validation, "test": settings.test, "train": 1 - settings.validation - settings.test}
    if n_subsets == 2:
        share["train"] = 1 - settings.validation
    per_writer = counts.n_pages.sum(axis=1)
    # In hundredths: HiGHS fails on a wish such as 0.999999, nearer to a whole page than its
    # tolerance.
    wanted = np.outer(per_writer, [share[subset] for subset in subsets]).ravel().round(2)
    n_places, n_misses = n_bundles * n_subsets, n_writers * n_subsets
    here = kron(
        counts.n_pages, identity(n_subsets), format="csr"
    )  # (writers x subsets, places): pages of a writer there
    miss = identity(n_misses, format="csr")
    nothing = csr_array((n_bundles, n_misses))
    rules = [
        LinearConstraint(hstack([kron(identity(n_bundles), np.ones((1, n_subsets))), nothing]), 1, 1),
        LinearConstraint(hstack([here, csr_array((n_misses, n_misses))]), np.ones(n_misses), np.inf),
        LinearConstraint(vstack([hstack([here, -miss]), hstack([-here, -miss])]), -np.inf, np.r_[wanted, -wanted]),
    ]
    chance = np.random.default_rng(settings.seed).random(n_places) * 0.1 * n_misses / n_places
    solved = milp(
        c=np.r_[chance, np.ones(n_misses)],
        constraints=rules,
        integrality=np.r_[np.ones(n_places), np.zeros(n_misses)],
        bounds=Bounds(0, np.r_[np.ones(n_places), np.full(n_misses, np.inf)]),
        options={"mip_rel_gap": _GAP, "node_limit": _MAX_NODES, "presolve": True},
    )
    if solved.x is None:
        raise SplitError(
            f"A division by text must give every writer a page in every subset, but the texts of {corpus!r} cannot be "
            f"dealt so: too many writers share them ({n_bundles} texts that can be separated, {n_writers} writers; "
            f"{str(solved.message).strip()}). Take `split.kind: page`, or fewer writers."
        )
    lies: NDArray[np.int64] = solved.x[:n_places].reshape(n_bundles, n_subsets).argmax(axis=1)
    return {bundle: subsets[int(place)] for bundle, place in zip(counts.bundles, lies, strict=True)}
