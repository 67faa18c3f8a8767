"""Are these two pages by one hand, and what does that rest on?

A page's descriptor is the mean of its patches, so that the similarity of two pages is the mean of
what each patch of one has in common with the other page. Scaled as the ratio is, a patch's weight
says how much it speaks for one hand: the mean of the weights is log10 LR before its bounds.
"""

import filecmp
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from core.errors import ImageError
from core.pages.frames import Page
from core.patches.plan import distinct_patches
from core.retrieval.known_hands import AMOUNTS, DescribedPage, PagesByInk, describe_page
from core.retrieval.page_embeddings import PlacedPage
from core.retrieval.same_hand import SameHand, compare_hands
from core.scoring.mean_scores import FloatArray
from search.identification.page_reader import PageReader, SeenPage

N_DECISIVE = 6


@dataclass(frozen=True, eq=False)
class ComparedPage:
    """A page with all that an answer can be shown by.

    Attributes:
        page: which.
        seen: its patches.
        described: as it is compared.
    """

    page: Page
    seen: SeenPage
    described: DescribedPage

    @classmethod
    def read(cls, page: Page, reader: PageReader) -> Self:
        """Read a page and describe it.

        Raises:
            ImageError: if it cannot be read, or shows no handwriting.
            PatchError: if no patch can be cut from it.
        """
        seen = reader.look_at(page)
        name = str(page.name)
        return cls(page, seen, describe_page(PlacedPage(name, "", seen.embeddings, seen.plan)))


@dataclass(frozen=True)
class CalibrationPages:
    """Pages that likelihood ratios are calibrated on.

    Attributes:
        pages: by writers whom training never saw.
        origin: who these are, in words.
    """

    pages: PagesByInk
    origin: str


@dataclass(frozen=True, eq=False)
class Verification:
    """How strongly two pages speak for one hand.

    Attributes:
        one: a page.
        other: the other one.
        found: the likelihood ratio.
        calibrated_on: by whom it is calibrated.
    """

    one: ComparedPage
    other: ComparedPage
    found: SameHand
    calibrated_on: CalibrationPages

    def as_json(self) -> dict[str, Any]:
        """Plain values, without pictures."""
        found, fitted = self.found, self.found.calibration
        return {
            "pages": [str(self.one.page.name), str(self.other.page.name)],
            "log10_lr": found.log10_ratio,
            "interval": list(found.interval),
            "words": found.words,
            "bounds": [fitted.lowest, fitted.highest],
            "is_at_bound": found.is_bounded,
            "similarity": found.similarity,
            "patches_compared": list(found.amounts),
            "patches_of_ink": [self.one.described.n_patches, self.other.described.n_patches],
            "calibration": {
                "origin": self.calibrated_on.origin,
                "n_writers": fitted.n_writers_of_different,
                "n_same_pairs": fitted.n_same,
                "n_different_pairs": fitted.n_different,
            },
            "is_validated_casework": False,
        }


def verify(one: Page, other: Page, reader: PageReader, calibration: CalibrationPages) -> Verification:
    """Say how strongly two pages speak for one hand.

    Args:
        one: a page.
        other: another one.
        reader: of the model.
        calibration: pages by writers whom training never saw, described by the same model.

    Raises:
        ImageError: if a page cannot be read, shows no handwriting, or is given twice.
        PatchError: if no patch can be cut from it.
        RetrievalError: if a page has too little ink, or nothing can be calibrated.
    """
    if one.frame == other.frame and _is_same_file(one.path, other.path):
        raise ImageError(f"Two pages are compared, but {one.name} and {other.name} are the same image. Give another.")
    pages = ComparedPage.read(one, reader), ComparedPage.read(other, reader)
    found = compare_hands(pages[0].described, pages[1].described, calibration.pages)
    return Verification(*pages, found, calibration)


def gather_verification_evidence(answer: Verification) -> dict[str, Any]:
    """What an answer rests on, as plain values.

    Returns:
        `pages`, each as `core.identification.evidence.weighed_page` with its `name`; `speak_for`
        and `speak_against`, each with `weight`, `cosine`, and the pictures `png` of a patch of the
        first page and `similar` of the patch of the second one that is most like it.
    """
    from core.identification.evidence import weighed_page  # its network takes TensorFlow

    sides = _Side.of(answer.one, answer.found.amounts[0]), _Side.of(answer.other, answer.found.amounts[1])
    weights = [_weigh(answer.found, side, other) for side, other in (sides, sides[::-1])]
    pages = [
        weighed_page(side.page.seen.grey, side.places, own) | {"name": Path(side.page.page.name).name}
        for side, own in zip(sides, weights, strict=True)
    ]
    order = np.argsort(-weights[0], kind="stable").tolist()
    for_one = [number for number in order if weights[0][number] > 0][:N_DECISIVE]
    for_two = [number for number in order[::-1] if weights[0][number] < 0][:N_DECISIVE]
    return {
        "pages": pages,
        "speak_for": [_decisive(number, weights[0], sides) for number in for_one],
        "speak_against": [_decisive(number, weights[0], sides) for number in for_two],
    }


def _is_same_file(one: Path, other: Path) -> bool:
    """Whether both hold the same, under one name or two; a missing file is told when it is read."""
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


@dataclass(frozen=True, eq=False)
class _Side:
    """The part of a page that was compared."""

    page: ComparedPage
    places: FloatArray
    embeddings: NDArray[np.float32]
    pixels: NDArray[np.uint8]
    descriptor: NDArray[np.float32]

    @classmethod
    def of(cls, page: ComparedPage, amount: int) -> "_Side":
        seen, row = page.seen, page.described.by_amount[AMOUNTS.index(amount)]
        chosen = distinct_patches(range(len(seen.plan)), seen.plan, max(AMOUNTS))[:amount]
        return cls(page, seen.places[chosen], seen.embeddings[chosen], seen.pixels[chosen], row)


def _weigh(found: SameHand, side: _Side, other: _Side) -> FloatArray:
    """What each patch says in log10 LR: the mean is that of the two pages, before its bounds."""
    length = float(np.linalg.norm(side.embeddings.astype(np.float64).mean(axis=0)))
    shares = side.embeddings.astype(np.float64) @ other.descriptor / length
    return found.calibration.slope * shares + found.calibration.intercept


def _decisive(number: int, weights: FloatArray, sides: tuple[_Side, _Side]) -> dict[str, Any]:
    from core.identification.evidence import png_text  # its network takes TensorFlow

    cosines = sides[1].embeddings @ sides[0].embeddings[number]
    best = int(np.argmax(cosines))
    return {
        "weight": round(float(weights[number]), 3),
        "cosine": round(float(cosines[best]), 3),
        "png": png_text(sides[0].pixels[number]),
        "similar": png_text(sides[1].pixels[best]),
    }
