"""How strongly do two pages speak for one hand? Likelihood ratios for the amounts of ink that they
have.

A page with little ink is less like its writer's other pages, so that the same similarity says
another thing of two words than of two pages. The two pages are compared by as much of each as there
are calibration pages with, and calibrated on just as much of those: the larger page's amount
against the smaller one's.
"""

from dataclasses import dataclass

import numpy as np

from core.errors import RetrievalError
from core.retrieval.known_hands import AMOUNTS, DescribedPage, PagesByInk
from core.retrieval.likelihood_ratios import (
    RatioCalibration,
    RatioScores,
    TippettCurves,
    calibrate_ratios,
    in_words,
    ratio_interval,
    score_ratios,
    tippett,
)
from core.retrieval.pairs import PagePairs, collect_pairs
from core.retrieval.similarities import SimilarityMatrix
from core.scoring.intervals import Interval

FEWEST_WRITERS = 10
"""With two pages each, below which nothing is calibrated: their ratios could not go beyond 11."""


@dataclass(frozen=True)
class SameHand:
    """How strongly two pages speak for one hand.

    Attributes:
        log10_ratio: above 0 for one hand, below 0 for two.
        interval: of it, 95 %, if other writers had been there to calibrate on.
        similarity: cosine of the two, by the amounts of ink that were compared.
        amounts: so many patches of each were compared.
        calibration: what turned the similarity into a ratio.
    """

    log10_ratio: float
    interval: Interval
    similarity: float
    amounts: tuple[int, int]
    calibration: RatioCalibration

    @property
    def words(self) -> str:
        """By ENFSI's verbal scale."""
        return in_words(self.log10_ratio)

    @property
    def is_bounded(self) -> bool:
        """Whether the calibration pages support no more extreme number."""
        return self.log10_ratio in (self.calibration.lowest, self.calibration.highest)


@dataclass(frozen=True, eq=False)
class SameHandScores:
    """What the ratios are worth, on writers who were not calibrated on.

    Attributes:
        amount: of ink, patches of each page.
        n_writers: who were scored.
        n_pages: by them.
        n_calibration_writers: who were calibrated on.
        scores: Cllr and its like, with intervals.
        curves: of the Tippett plot.
    """

    amount: int
    n_writers: int
    n_pages: int
    n_calibration_writers: int
    scores: RatioScores
    curves: TippettCurves


def compare_hands(
    one: DescribedPage, other: DescribedPage, calibration_pages: PagesByInk, n_resamples: int = 200, seed: int = 0
) -> SameHand:
    """Say how strongly two pages speak for one hand.

    Args:
        one: a page.
        other: another one.
        calibration_pages: by writers who took no part in training.
        n_resamples: of the bootstrap over writers.
        seed: of the bootstrap.

    Raises:
        RetrievalError: if a page has too little ink, too few writers are there to calibrate on, or
            pages by one hand are no more alike than pages by two.
    """
    if one.level is None or other.level is None:
        least = min(one.n_patches, other.n_patches)
        raise RetrievalError(
            f"Below {AMOUNTS[0]} patches of ink nothing is said about a hand, but one of the two pages has {least}. "
            "Give a page with more handwriting."
        )
    levels = _supported(one.level, other.level, calibration_pages)
    pairs = pairs_at(levels, calibration_pages)
    calibration = calibrate_ratios(pairs)
    similarity = float(one.by_amount[levels[0]] @ other.by_amount[levels[1]])
    return SameHand(
        log10_ratio=float(calibration.log10_ratios(np.array(similarity))),
        interval=ratio_interval(calibration, pairs, similarity, n_resamples, seed),
        similarity=similarity,
        amounts=(AMOUNTS[levels[0]], AMOUNTS[levels[1]]),
        calibration=calibration,
    )


def score_same_hand(
    calibration_pages: PagesByInk, pages: PagesByInk, n_resamples: int = 500, seed: int = 0
) -> SameHandScores | None:
    """Score the ratios on other writers' pages, by the largest amount of ink that enough have.

    Args:
        calibration_pages: by writers who took no part in training.
        pages: by yet other writers.
        n_resamples: of the bootstrap over writers.
        seed: of the bootstrap.

    Returns:
        `None` where either has fewer than `FEWEST_WRITERS` writers with two pages.
    """
    for level in reversed(range(len(AMOUNTS))):
        if min(_n_writers_with_two(level, chosen) for chosen in (calibration_pages, pages)) < FEWEST_WRITERS:
            continue
        calibration = calibrate_ratios(pairs_at((level, level), calibration_pages))
        found = pairs_at((level, level), pages)
        rows, writers = pages.at(level)
        return SameHandScores(
            amount=AMOUNTS[level],
            n_writers=len(set(writers)),
            n_pages=len(rows),
            n_calibration_writers=calibration.n_writers_of_different,
            scores=score_ratios(calibration, found, n_resamples, seed),
            curves=tippett(calibration, found),
        )
    return None


def pairs_at(levels: tuple[int, int], pages: PagesByInk) -> PagePairs:
    """The pairs of pages, by so much of the first and so much of the second.

    Args:
        levels: places in `AMOUNTS`.
        pages: those with less than the larger amount take no part.

    Raises:
        RetrievalError: if there are fewer than two writers, or none with two pages.
    """
    largest = max(levels)
    first, writers = pages.at(levels[0], largest)
    second, _ = pages.at(levels[1], largest)
    return collect_pairs(SimilarityMatrix(first @ second.T), writers)


def _supported(one: int, other: int, pages: PagesByInk) -> tuple[int, int]:
    """The amounts that enough writers have two pages with, the larger one lowered first."""
    levels = [one, other]
    while max(levels) >= 0:
        if _n_writers_with_two(max(levels), pages) >= FEWEST_WRITERS:
            return levels[0], levels[1]
        largest = max(levels)
        levels = [min(level, largest - 1) for level in levels]
    raise RetrievalError(
        f"Likelihood ratios are calibrated on at least {FEWEST_WRITERS} writers with two pages each whom training "
        f"never saw, but there are {_n_writers_with_two(0, pages)}. Give pages by others: `whosehand verify A B "
        "--calibrate-on FOLDER`."
    )


def _n_writers_with_two(level: int, pages: PagesByInk) -> int:
    """Writers with two pages of so much ink."""
    _, writers = pages.at(level)
    return sum(writers.count(writer) >= 2 for writer in set(writers))
