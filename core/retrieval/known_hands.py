"""What a model keeps to compare hands by: pages described by how much ink they have, and the hands
that it was trained on.

A page with little ink is less like its writer's other pages than one with much. So whatever is
learned about similarities is learned for each amount of ink, on that much of every page. An amount
is a number of patches that share at most half of their area with each other.
"""

import json
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from core.durable_files import write_atomically
from core.errors import RegistryError, RetrievalError
from core.patches.plan import distinct_patches
from core.retrieval.descriptors import describe_patches
from core.retrieval.page_embeddings import PlacedPage

HANDS_FILE = "hands.npz"
AMOUNTS = (4, 8, 16, 24, 32, 48, 64)
"""Of ink, in patches that are not the same place, for which similarities are learned."""
UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, BadZipFile, zlib.error)
"""What is raised by an archive that is empty, torn, spoilt, or holds something else."""
Descriptors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DescribedPage:
    """A page as it is compared.

    Attributes:
        writer_id: who wrote it; empty where that is not known.
        descriptor: (n_dimensions,) of length 1, the mean of all its patches.
        n_patches: how much ink it has: patches that are not the same place.
        by_amount: (n_amounts, n_dimensions), the same of its first so many of them; for the first
            of `AMOUNTS`, as many as it has ink for.
    """

    writer_id: str
    descriptor: Descriptors
    n_patches: int
    by_amount: Descriptors

    @property
    def level(self) -> int | None:
        """The place in `AMOUNTS` of the largest amount that it has; `None` where it has too little
        ink for any.
        """
        return len(self.by_amount) - 1 if len(self.by_amount) else None


@dataclass(frozen=True, eq=False)
class PagesByInk:
    """Pages of known writers, as much of each as there are `AMOUNTS`.

    Attributes:
        writers: of each page.
        n_patches: (n_pages,) how much ink each has.
        by_amount: (n_amounts, n_pages, n_dimensions); zeros where a page has less ink.
    """

    writers: tuple[str, ...]
    n_patches: NDArray[np.int64]
    by_amount: NDArray[np.float16]

    @classmethod
    def of(cls, pages: Iterable[DescribedPage], n_dimensions: int) -> Self:
        """Collect pages.

        Args:
            pages: with their writers.
            n_dimensions: of a descriptor; counts where there is no page.
        """
        kept = list(pages)
        by_amount = np.zeros((len(AMOUNTS), len(kept), n_dimensions), np.float16)
        for number, page in enumerate(kept):
            by_amount[: len(page.by_amount), number] = page.by_amount
        n_patches = np.array([page.n_patches for page in kept], dtype=np.int64)
        return cls(tuple(page.writer_id for page in kept), n_patches, by_amount)

    @property
    def n_writers(self) -> int:
        """How many writers there are."""
        return len(set(self.writers))

    def at(self, level: int, least: int | None = None) -> tuple[Descriptors, tuple[str, ...]]:
        """The pages with at least so much ink, by so much of it.

        Args:
            level: place in `AMOUNTS`.
            least: place of the amount that pages must have, if it is more.

        Returns:
            (n_pages, n_dimensions) descriptors of length 1, and the writers.
        """
        has = self.n_patches >= AMOUNTS[level if least is None else least]
        rows = self.by_amount[level, has].astype(np.float32)
        writers = tuple(writer for writer, is_one in zip(self.writers, has.tolist(), strict=True) if is_one)
        return _of_length_1(rows), writers

    def fullest(self) -> tuple[Descriptors, tuple[str, ...]]:
        """The pages by the largest amount that each has, and their writers; none of those that have
        too little for any.
        """
        levels = np.searchsorted(AMOUNTS, self.n_patches, side="right") - 1
        kept = np.flatnonzero(levels >= 0)
        rows = self.by_amount[levels[kept], kept].astype(np.float32)
        return _of_length_1(rows), tuple(self.writers[number] for number in kept.tolist())

    def without(self, writers: Collection[str]) -> "PagesByInk":
        """The pages of the others."""
        kept = np.array([writer not in writers for writer in self.writers], dtype=bool)
        names = tuple(writer for writer in self.writers if writer not in writers)
        return PagesByInk(names, self.n_patches[kept], self.by_amount[:, kept])

    def save(self, path: Path) -> None:
        """Write a compressed NumPy archive without pickles, whole or not at all."""
        archive = BytesIO()
        np.savez_compressed(archive, allow_pickle=False, **_arrays("pages", self))
        write_atomically(path, archive.getvalue())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            RetrievalError: if the file is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as kept:
                return cls(*_pages("pages", kept))
        except UNREADABLE as error:
            raise RetrievalError(f"{path} cannot be read ({error}). Delete it: it is made again.") from error


@dataclass(frozen=True, eq=False)
class CrossFittedPages:
    """Pages that another network of the same kind has not seen, and its writers' centres.

    Networks have spaces of their own, so that these pages are compared with these centres alone.

    Attributes:
        centres: (n_writers, n_dimensions) of length 1, in the order of the model's record.
        pages: held out from that network.
    """

    centres: Descriptors
    pages: PagesByInk


@dataclass(frozen=True, eq=False)
class Hands:
    """The hands that a model was trained on, and pages by others to learn from how alike hands are.

    Attributes:
        centres: (n_writers, n_dimensions) of length 1: the mean descriptor of training pages of
            each writer, in the order of the model's record.
        n_pages: (n_writers,) training pages that these are of.
        n_patches: (n_writers,) how much ink they have.
        validation: validation pages of the same writers; none where the model was trained on them.
        set_aside: pages by writers whom training never saw; there may be none.
        set_aside_from: who these writers are, in words.
        false_accept_rate: wanted: the share of pages by unknown writers that may be given a name.
        max_false_reject_rate: beyond it no page is called unknown.
        cross_fitted: instead of validation pages, those that each fold held out.
    """

    centres: Descriptors
    n_pages: NDArray[np.int64]
    n_patches: NDArray[np.int64]
    validation: PagesByInk
    set_aside: PagesByInk
    set_aside_from: str
    false_accept_rate: float
    max_false_reject_rate: float
    cross_fitted: tuple[CrossFittedPages, ...] = ()

    def save(self, path: Path) -> None:
        """Write a compressed NumPy archive without pickles."""
        words = {
            "set_aside_from": self.set_aside_from,
            "false_accept_rate": self.false_accept_rate,
            "max_false_reject_rate": self.max_false_reject_rate,
            "amounts": AMOUNTS,
        }
        np.savez_compressed(
            path,
            allow_pickle=False,
            centres=self.centres,
            n_pages=self.n_pages,
            n_patches=self.n_patches,
            words=np.array(json.dumps(words)),
            **_arrays("validation", self.validation),
            **_arrays("set_aside", self.set_aside),
            **_cross_fitted_arrays(self.cross_fitted),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            RegistryError: if the file is damaged, or of another version of whosehand.
        """
        try:
            with np.load(path, allow_pickle=False) as kept:
                words = json.loads(str(kept["words"]))
                if tuple(words.pop("amounts")) != AMOUNTS:
                    raise ValueError("it is of another version of whosehand")
                return cls(
                    centres=kept["centres"],
                    n_pages=kept["n_pages"],
                    n_patches=kept["n_patches"],
                    validation=PagesByInk(*_pages("validation", kept)),
                    set_aside=PagesByInk(*_pages("set_aside", kept)),
                    cross_fitted=_cross_fitted(kept),
                    **words,
                )
        except UNREADABLE as error:
            raise RegistryError(f"The model's {path} cannot be read ({error}). Promote the model again.") from error


def describe_page(page: PlacedPage) -> DescribedPage:
    """Describe a page: the mean of its patches, and that of the first so many."""
    distinct = distinct_patches(range(len(page.plan)), page.plan, max(AMOUNTS))
    amounts = [amount for amount in AMOUNTS if amount <= len(distinct)]
    n_dimensions = page.embeddings.shape[1]
    rows = [describe_patches(page.embeddings[distinct[:amount]]) for amount in amounts]
    return DescribedPage(
        writer_id=page.writer_id,
        descriptor=describe_patches(page.embeddings),
        n_patches=len(distinct),
        by_amount=np.array(rows, np.float32).reshape(len(rows), n_dimensions),
    )


def average_hands(pages: Sequence[DescribedPage], writer_ids: Sequence[str]) -> Descriptors:
    """The mean descriptor of each writer's pages, (n_writers, n_dimensions).

    Raises:
        ValueError: if a writer has none.
    """
    own = [[page.descriptor for page in pages if page.writer_id == writer_id] for writer_id in writer_ids]
    if not all(own):
        missing = [writer_id for writer_id, rows in zip(writer_ids, own, strict=True) if not rows]
        raise ValueError(f"Every writer needs a described page, but these have none: {', '.join(missing)}.")
    return np.stack([describe_patches(np.stack(rows)) for rows in own])


def _of_length_1(rows: Descriptors) -> Descriptors:
    """What half precision has changed is put right."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def _arrays(name: str, pages: PagesByInk) -> dict[str, NDArray[Any]]:
    return {
        f"{name}_writers": np.array(pages.writers, dtype=np.str_),
        f"{name}_n_patches": pages.n_patches,
        f"{name}_by_amount": pages.by_amount,
    }


def _pages(
    name: str, kept: Mapping[str, NDArray[Any]]
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.float16]]:
    writers = tuple(str(writer) for writer in kept[f"{name}_writers"])
    return writers, kept[f"{name}_n_patches"], kept[f"{name}_by_amount"]


def _cross_fitted_arrays(folds: Sequence[CrossFittedPages]) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for number, fold in enumerate(folds):
        name = f"fold_{number}"
        arrays |= {f"{name}_centres": fold.centres, **_arrays(name, fold.pages)}
    return arrays


def _cross_fitted(kept: Mapping[str, NDArray[Any]]) -> tuple[CrossFittedPages, ...]:
    """None in models of earlier versions, and of networks that were validated on pages."""
    folds: list[CrossFittedPages] = []
    while (name := f"fold_{len(folds)}_centres") in kept:
        folds.append(CrossFittedPages(kept[name], PagesByInk(*_pages(name.removesuffix("_centres"), kept))))
    return tuple(folds)
