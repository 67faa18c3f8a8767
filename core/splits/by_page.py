"""Divide a corpus into train, validation and test, by page.

Lines and patches of one page share a pen, a scan and a mood: divided by line or patch, a model is
rewarded for knowing the page. (scikit-learn's `StratifiedGroupKFold` keeps groups together too, but
balances writers over folds only as far as it can; here every writer has pages in every subset, and
the pages of one writer are dealt without regard to the others, so that a new writer moves nobody
else's page.)
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.corpora.index import CorpusIndex, ExcludedWriter, OfficialSplit, TextImage, natural_key
from core.errors import SplitError
from core.splits.manifest import SplitManifest, Subset
from core.splits.settings import FoldSettings, SplitSettings

Unit = Literal["page", "image"]
_SHOWN = 10


def split_pages(index: CorpusIndex, settings: SplitSettings, unusable: Collection[str] = ()) -> SplitManifest:
    """Divide the corpus so that no page is in two subsets and every writer is in all of them.

    The unit is the page, or the image where the corpus has no pages (then nothing is known about
    which images were written together, and every report must say so).

    Args:
        index: the corpus.
        settings: how to divide it.
        unusable: ids of images that cannot be read. They are in no subset, so that no subset is
            empty for a writer whose only page of it is broken; a writer who has too few pages for
            that reason alone is excluded, which is no error.

    Returns:
        The manifest; `writer_ids` are in natural order, and class k of a model is `writer_ids[k]`.

    Raises:
        SplitError: if a writer has too few pages and `too_few_pages` is `error`, if fewer than two
            writers are left, if a page has two writers or lies in both subsets of the official
            division, or if an official division is wanted that does not exist.
    """
    usable = usable_images(index, unusable)
    usable_pages = {image.group_id for image in usable}
    pages_of_writer = _officially_divided(index, uses_official=_uses_official(index, settings))
    _check_fold(pages_of_writer, settings)
    dealt, excluded_writers, faults = _deal_writers(pages_of_writer, usable_pages, settings)
    _check_excluded(excluded_writers, faults, n_kept=len(dealt), settings=settings, unit=split_unit(index))
    of_page = {
        page.group_id: subset for subsets in dealt.values() for subset, pages in subsets.items() for page in pages
    }
    return SplitManifest(
        corpus=index.name,
        unit=split_unit(index),
        writer_ids=tuple(dealt),
        train=images_of_subset(usable, of_page, "train"),
        validation=images_of_subset(usable, of_page, "validation"),
        test=images_of_subset(usable, of_page, "test"),
        excluded_writers=tuple(excluded_writers),
        settings=settings.as_json(),
    )


def split_unit(index: CorpusIndex) -> Unit:
    """What is not divided: the page, or the image where the corpus has no pages."""
    return "page" if index.has_pages else "image"


def usable_images(index: CorpusIndex, unusable: Collection[str]) -> tuple[TextImage, ...]:
    """The images that can be read."""
    return tuple(image for image in index.images if image.image_id not in unusable)


def pages_of_writers(images: Iterable[TextImage], corpus: str) -> dict[str, list[str]]:
    """The pages of each writer, writers in natural order, pages in that of the corpus.

    Raises:
        SplitError: if a page has two writers.
    """
    writer_of_page: dict[str, str] = {}
    for image in images:
        page = image.group_id
        if writer_of_page.setdefault(page, image.writer_id) != image.writer_id:
            raise SplitError(
                f"A page must have one writer, but page {page!r} of {corpus!r} has {writer_of_page[page]!r} and "
                f"{image.writer_id!r}."
            )
    pages: dict[str, list[str]] = {}
    for page, writer_id in writer_of_page.items():
        pages.setdefault(writer_id, []).append(page)
    return {writer_id: pages[writer_id] for writer_id in sorted(pages, key=natural_key)}


def images_of_subset(
    images: Iterable[TextImage], subset_of_page: Mapping[str, Subset], subset: Subset
) -> tuple[str, ...]:
    """The ids of the images whose page is in a subset."""
    return tuple(image.image_id for image in images if subset_of_page.get(image.group_id) == subset)


def name_writers(writers: Collection[ExcludedWriter]) -> str:
    """The first of them with their reasons, and how many more there are."""
    first = "; ".join(f"writer {writer.writer_id!r} {writer.reason}" for writer in list(writers)[:_SHOWN])
    return f"{first}; and {len(writers) - _SHOWN} more" if len(writers) > _SHOWN else first


@dataclass(frozen=True)
class _Page:
    group_id: str
    official: OfficialSplit | None


def _uses_official(index: CorpusIndex, settings: SplitSettings) -> bool:
    if settings.official == "ignore":
        return False
    n_without = sum(image.official_split is None for image in index.images)
    if n_without == 0:
        return True
    if settings.official == "use" or n_without < len(index.images):
        raise SplitError(
            f"An official division must name a subset for every image, but of {len(index.images)} images of "
            f"{index.name!r} {n_without} have none. Set `split.official: ignore`."
        )
    return False


def _officially_divided(index: CorpusIndex, uses_official: bool) -> dict[str, list[_Page]]:
    """The pages of each writer with their subset of the official division, where that counts."""
    pages_of_writer = pages_of_writers(index.images, index.name)
    official_of_page: dict[str, OfficialSplit | None] = {}
    for image in index.images:
        official = image.official_split if uses_official else None
        if official_of_page.setdefault(image.group_id, official) != official:
            raise SplitError(
                f"A page must lie in one subset, but the official division of {index.name!r} has images of page "
                f"{image.group_id!r} in both. Set `split.official: ignore`."
            )
    return {
        writer_id: [_Page(page, official_of_page[page]) for page in pages]
        for writer_id, pages in pages_of_writer.items()
    }


def _check_fold(pages_of_writer: Mapping[str, list[_Page]], settings: SplitSettings) -> None:
    most = max((sum(page.official != "test" for page in pages) for pages in pages_of_writer.values()), default=0)
    if settings.folds is not None and settings.folds.n == "pages" and settings.folds.fold > most:
        raise SplitError(
            f"`split.folds.fold` must be one of the rotations, but got {settings.folds.fold}, and no writer has more "
            f"than {most} pages."
        )


def _deal_writers(
    pages_of_writer: Mapping[str, list[_Page]], usable_pages: Collection[str], settings: SplitSettings
) -> tuple[dict[str, dict[Subset, list[_Page]]], list[ExcludedWriter], list[ExcludedWriter]]:
    """The subsets of each writer who has enough pages, the writers who have too few, and those of
    them who would have too few if all pages could be read.
    """
    dealt: dict[str, dict[Subset, list[_Page]]] = {}
    excluded: list[ExcludedWriter] = []
    faults: list[ExcludedWriter] = []
    for writer_id, pages in pages_of_writer.items():
        good = [page for page in pages if page.group_id in usable_pages]
        lack = _lack(good, settings)
        if lack is None:
            dealt[writer_id] = _deal(writer_id, good, settings)
            continue
        lost = f" ({len(pages) - len(good)} cannot be read)" if len(good) < len(pages) else ""
        excluded.append(ExcludedWriter(writer_id, len(good), f"{lack}{lost}"))
        if _lack(pages, settings) is not None:
            faults.append(excluded[-1])
    return dealt, excluded, faults


def _lack(pages: list[_Page], settings: SplitSettings) -> str | None:
    """What a writer has too little of, or `None`."""
    official_test = sum(page.official == "test" for page in pages)
    is_official = any(page.official is not None for page in pages)
    if is_official:
        n_train = len(pages) - official_test
        needs_test = 1 if settings.test > 0 else 0
        least = _least_outside_test(settings)
        if n_train < least or official_test < needs_test:
            return (  # reasons are part of the hash of a split: 0.1's words stay
                f"has {n_train} in the official train part, needs {least}, and {official_test} in test, needs "
                f"{needs_test}"
            )
        return None
    needed = _least_outside_test(settings) + (settings.test > 0)
    return f"has {len(pages)}, needs {needed}" if len(pages) < needed else None


def _deal(writer_id: str, pages: list[_Page], settings: SplitSettings) -> dict[Subset, list[_Page]]:
    test = [page for page in pages if page.official == "test"]
    is_official = any(page.official is not None for page in pages)
    rest = sorted((page for page in pages if page.official != "test"), key=lambda page: page.group_id)
    seed = hashlib.sha256(f"{settings.seed} {writer_id}".encode()).digest()
    shuffled = [rest[i] for i in np.random.default_rng(list(seed)).permutation(len(rest))]
    if not is_official and settings.test > 0:
        n_test = min(_share(settings.test, len(pages)), len(pages) - _least_outside_test(settings))
        test, shuffled = shuffled[:n_test], shuffled[n_test:]
    if settings.folds is not None:
        return {"test": test, **_rotate(shuffled, settings.folds)}
    of = len(rest) if is_official else len(pages)
    n_validation = min(_share(settings.validation, of), len(shuffled) - 1)
    return {"test": test, "validation": shuffled[:n_validation], "train": shuffled[n_validation:]}


def _rotate(shuffled: list[_Page], folds: FoldSettings) -> dict[Subset, list[_Page]]:
    """Hold out fold k; with one page a fold, writers with fewer pages than others start over."""
    n = len(shuffled) if folds.n == "pages" else folds.n
    held_out = shuffled[(folds.fold - 1) % n :: n]
    return {"validation": held_out, "train": [page for page in shuffled if page not in held_out]}


def _least_outside_test(settings: SplitSettings) -> int:
    return 2 if settings.folds is None else settings.folds.least_pages


def _share(share: float, n: int) -> int:
    return max(1, round(share * n))


def _check_excluded(
    excluded_writers: list[ExcludedWriter],
    faults: list[ExcludedWriter],
    n_kept: int,
    settings: SplitSettings,
    unit: Unit,
) -> None:
    if faults and settings.too_few_pages == "error":
        raise SplitError(
            f"Every writer needs at least one {unit} in each subset, but {len(faults)} "
            f"{'has' if len(faults) == 1 else 'have'} too few {unit}s: "
            f"{name_writers(faults)}. Add {unit}s, or set `split.too_few_pages: leave_out`."
        )
    if n_kept < 2:
        raise SplitError(
            f"There must be two writers or more with enough {unit}s, but there are {n_kept}: "
            f"{name_writers(excluded_writers)}. Add {unit}s."
        )
