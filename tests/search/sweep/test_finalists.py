"""Ranking finalists: means over fresh seeds, how flattered the search's values were, and which
trial is taken.
"""

from collections.abc import Mapping

import pytest

from core.errors import ComparisonError
from search.ledger.ranking import Direction
from search.sweep.finalists import Finalist, FinalistChoice, FinalistRanking, Spread, finalist_seed
from search.sweep.plan import trial_rng_seed


def finalist(trial: int, search_value: float, repeats: Mapping[int, float], n_failed: int = 0) -> Finalist:
    return Finalist(trial, {}, search_value, repeats, n_failed, n_open=0)


def ranking(*finalists: Finalist, direction: Direction = "minimize") -> FinalistRanking:
    return FinalistRanking(finalists, "val/image_logloss", direction)


def test_a_mean_of_one_value_has_no_interval() -> None:
    assert Spread.of([0.5]) == Spread(0.5, None, None, 1)
    assert str(Spread.of([0.5])) == "0.5"


def test_the_interval_is_students() -> None:
    spread = Spread.of([1.0, 2.0, 4.0, 5.0])
    assert spread.low is not None
    assert spread.high is not None
    # sd = sqrt(10/3), t(0.975, 3) = 3.1824
    assert (spread.high - spread.low) / 2 == pytest.approx(3.1824463 * (10 / 3) ** 0.5 / 2)


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1), ("maximize", -1)])
def test_flattery_is_what_the_search_showed_too_much(direction: Direction, sign: int) -> None:
    flattered = finalist(3, 0.5, {0: 0.5 + sign * 0.1, 1: 0.5 + sign * 0.3})
    spread = ranking(flattered, direction=direction).flattery(flattered)
    assert spread is not None
    assert spread.mean == pytest.approx(0.2)
    assert ranking(flattered).flattery(finalist(4, 0.5, {})) is None


def test_the_distance_behind_the_first_is_paired_by_seed() -> None:
    first, second = finalist(1, 0.4, {0: 0.5, 1: 0.9, 2: 0.1}), finalist(2, 0.3, {0: 0.6, 1: 1.0})
    behind = ranking(first, second).behind(second, first)
    assert behind is not None
    assert behind.n == 2
    assert behind.mean == pytest.approx(0.1)
    assert ranking(first, second).behind(first, first) is None
    assert ranking(first).behind(finalist(3, 0.3, {7: 0.1}), first) is None


def test_one_repeat_or_a_failed_one_chooses_nothing() -> None:
    lucky, broken = finalist(1, 0.1, {0: 0.1}), finalist(2, 0.2, {0: 0.2, 1: 0.2}, n_failed=1)
    assert ranking(lucky, broken).chosen is None
    sound = finalist(3, 0.3, {0: 0.3, 1: 0.3})
    assert ranking(lucky, broken, sound).chosen is sound


def test_the_searchs_favourite_is_the_one_with_the_best_value_seen() -> None:
    one, other = finalist(1, 0.4, {0: 0.4, 1: 0.4}), finalist(2, 0.3, {0: 0.6, 1: 0.6})
    assert ranking(one, other).favourite is other
    assert ranking(one, other, direction="maximize").favourite is one


def test_repeats_have_seeds_that_no_trial_has() -> None:
    trials = {trial_rng_seed(3, number) for number in range(1000)}
    repeats = {trial_rng_seed(finalist_seed(3), number) for number in range(100)}
    assert len(repeats) == 100
    assert not trials & repeats
    assert finalist_seed(3) != finalist_seed(4)


@pytest.mark.parametrize("counts", [(0, 3), (3, 0)])
def test_there_must_be_a_finalist_and_a_repeat(counts: tuple[int, int]) -> None:
    with pytest.raises(ComparisonError, match="must hold, but got"):
        FinalistChoice(*counts)
