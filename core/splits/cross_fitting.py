"""Training and validation pages together, and how each of them is held out once all the same.

A model that is trained on both has no page left to choose its number of epochs by, to calibrate it
or to set a threshold on. Cross-fitting stands in: networks of the same point are trained on two
thirds of these pages each, and say what such a network does on the third that it has not seen
(Stone 1974, "Cross-validatory choice and assessment of statistical predictions"). Test pages stay
sealed.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from core.corpora.index import TextImage
from core.errors import SplitError
from core.splits.by_page import pages_of_writers
from core.splits.manifest import SplitManifest
from core.splits.settings import N_FOLDS


def all_but_test(manifest: SplitManifest, images: Iterable[TextImage]) -> SplitManifest:
    """The same division with the validation pages among those of training; none validates.

    Args:
        manifest: a division by page.
        images: of the corpus, in its order.
    """
    both = _not_sealed(manifest, images)
    settings = {**manifest.settings, "refit": "all_but_test"}
    return replace(manifest, train=_ids(both), validation=(), settings=settings)


def cross_fits(manifest: SplitManifest, images: Iterable[TextImage]) -> tuple[SplitManifest, ...]:
    """Divide training and validation pages into folds; each is held out by one of the divisions.

    A writer's pages are dealt out evenly, so that each writer is held out in as many folds as he or
    she has pages, but in `N_FOLDS` at most. A writer's only page is never held out, and every
    writer is trained on in every fold. The same pages are always dealt alike, by the split's seed.

    Args:
        manifest: a division by page.
        images: of the corpus, in its order.

    Returns:
        A division for each fold that holds out a page: the others train, those held out validate,
        and test is as it was.

    Raises:
        SplitError: if no writer has two pages.
    """
    both = _not_sealed(manifest, images)
    pages = pages_of_writers(both, manifest.corpus)
    fold_of_page = _deal(pages, int(manifest.settings.get("seed", 0)))
    if not fold_of_page:
        raise SplitError(
            f"Cross-fitting holds out pages of writers who have two or more, but each of the {len(pages)} writers of "
            f"{manifest.corpus!r} has one beside the test pages. Add pages, or refit with `promotion.refit: train`."
        )
    folds = sorted(set(fold_of_page.values()))
    return tuple(_held_out(manifest, both, fold_of_page, fold, len(folds)) for fold in folds)


def _not_sealed(manifest: SplitManifest, images: Iterable[TextImage]) -> tuple[TextImage, ...]:
    wanted = {*manifest.train, *manifest.validation}
    return tuple(image for image in images if image.image_id in wanted)


def _deal(pages: Mapping[str, Sequence[str]], seed: int) -> dict[str, int]:
    """The fold of each page that is held out; each writer goes on where the one before has ended,
    so that folds are equally large.
    """
    fold_of_page: dict[str, int] = {}
    for writer_id, own in pages.items():
        if len(own) < 2:
            continue
        digest = hashlib.sha256(f"cross-fitting {seed} {writer_id}".encode()).digest()
        for place in np.random.default_rng(list(digest)).permutation(len(own)).tolist():
            fold_of_page[own[place]] = len(fold_of_page) % N_FOLDS
    return fold_of_page


def _held_out(
    manifest: SplitManifest, both: Collection[TextImage], fold_of_page: Mapping[str, int], fold: int, n_folds: int
) -> SplitManifest:
    held_out = [image for image in both if fold_of_page.get(image.group_id) == fold]
    kept = [image for image in both if fold_of_page.get(image.group_id) != fold]
    settings = {**manifest.settings, "cross_fit": {"fold": fold + 1, "n": n_folds}}
    return replace(manifest, train=_ids(kept), validation=_ids(held_out), settings=settings)


def _ids(images: Iterable[TextImage]) -> tuple[str, ...]:
    return tuple(image.image_id for image in images)
