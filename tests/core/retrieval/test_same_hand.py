import numpy as np
import pytest

from core.errors import RetrievalError
from core.retrieval.known_hands import AMOUNTS, PagesByInk
from core.retrieval.same_hand import FEWEST_WRITERS, compare_hands, score_same_hand
from tests.core.retrieval.described_hands import N_DIMENSIONS, describe_hands

AMONG = (64, 64, 20)
"""How many patches the pages have."""


@pytest.fixture(scope="module")
def calibration() -> PagesByInk:
    return PagesByInk.of(describe_hands(30, 3, seed=1, n_patches=AMONG), N_DIMENSIONS)


def test_pages_by_one_hand_speak_for_it_and_pages_by_two_against(calibration: PagesByInk) -> None:
    pages = describe_hands(4, 2, seed=2)
    same = [compare_hands(pages[2 * k], pages[2 * k + 1], calibration, 20).log10_ratio for k in range(4)]
    different = [compare_hands(pages[2 * k], pages[2 * k - 2], calibration, 20).log10_ratio for k in range(4)]
    assert np.median(same) > 0.5
    assert np.median(different) < -0.5


@pytest.mark.long
def test_an_answer_stays_in_its_bounds_and_its_interval_around_it(calibration: PagesByInk) -> None:
    pages = describe_hands(4, 2, seed=3)
    for other in pages[1:]:
        found = compare_hands(pages[0], other, calibration, 50)
        low, high = found.interval
        assert found.calibration.lowest <= low <= high <= found.calibration.highest
        assert low - 0.2 <= found.log10_ratio <= high + 0.2
        assert found.calibration.highest <= np.log10(30 + 1) + 0.02, "thirty writers support no more"


def test_the_same_similarity_says_more_of_little_ink_than_of_much(calibration: PagesByInk) -> None:
    little, much = (describe_hands(2, 2, seed=4, n_patches=(n,)) for n in (5, 64))
    of_little = compare_hands(little[0], little[1], calibration, 50)
    of_much = compare_hands(much[0], much[1], calibration, 50)
    assert of_little.amounts == (4, 4)
    assert of_much.amounts == (64, 64)
    assert of_little.calibration.slope < of_much.calibration.slope
    mixed = compare_hands(little[0], much[0], calibration, 50)
    assert mixed.amounts == (4, 64)


def test_pages_are_compared_by_no_more_ink_than_calibration_pages_have() -> None:
    short = PagesByInk.of(describe_hands(12, 2, seed=5, n_patches=(20,)), N_DIMENSIONS)
    page, other = describe_hands(1, 2, seed=6)
    assert compare_hands(page, other, short, 50).amounts == (16, 16)


def test_with_too_little_ink_or_too_few_writers_nothing_is_said(calibration: PagesByInk) -> None:
    page, tiny = describe_hands(1, 2, seed=7, n_patches=(64, AMOUNTS[0] - 1))
    with pytest.raises(RetrievalError, match="one of the two pages has 3"):
        compare_hands(page, tiny, calibration)
    few = PagesByInk.of(describe_hands(FEWEST_WRITERS - 1, 3, seed=8), N_DIMENSIONS)
    with pytest.raises(RetrievalError, match=r"there are 9.*--calibrate-on"):
        compare_hands(page, page, few)


def test_ratios_are_scored_on_other_writers_by_the_most_ink_that_enough_have(calibration: PagesByInk) -> None:
    tested = PagesByInk.of(describe_hands(15, 3, seed=9, n_patches=(64, 50, 20)), N_DIMENSIONS)
    found = score_same_hand(calibration, tested, n_resamples=50)
    assert found is not None
    assert (found.amount, found.n_writers, found.n_pages) == (48, 15, 30)
    low, high = found.scores.intervals["cllr"]
    assert low <= found.scores.cllr <= high < 0.6
    assert found.scores.cllr_min <= found.scores.cllr
    assert score_same_hand(calibration, tested.without([f"9-{number}" for number in range(6)])) is None
