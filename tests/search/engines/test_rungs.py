"""Rungs: who waits, who goes on."""

import math

import pytest

from core.errors import EngineError
from search.engines.rungs import RungLadder, rung_epochs


def test_rungs_lie_before_the_horizon() -> None:
    assert rung_epochs(1, 3, 10) == (1, 3, 9)
    assert rung_epochs(1, 3, 9) == (1, 3)
    assert rung_epochs(2, 2, 9) == (2, 4, 8)


def test_a_first_rung_at_the_end_is_refused() -> None:
    with pytest.raises(EngineError, match=r"rung_first_epoch` is 4.*4 epochs"):
        rung_epochs(4, 3, 4)


def test_nobody_leaves_a_rung_before_there_are_as_many_as_the_factor() -> None:
    ladder = RungLadder((1,), 3, "minimize")
    assert not ladder.may_go_on(0, 1, 0.5)
    assert not ladder.may_go_on(1, 1, 0.4)
    assert ladder.next_to_go_on([0, 1]) is None
    assert ladder.may_go_on(2, 1, 0.3), "the third is the best of three"
    assert ladder.next_to_go_on([0, 1]) is None


def test_a_trial_that_waited_goes_on_when_more_come_who_are_worse() -> None:
    ladder = RungLadder((1, 3), 3, "minimize")
    for number, best in enumerate((0.1, 0.5, 0.6)):
        assert not ladder.may_go_on(number, 1, best)
    assert ladder.next_to_go_on([0, 1, 2]) == 0
    ladder.let_go_on(0)
    assert not ladder.is_at_a_rung(0)
    assert ladder.next_to_go_on([1, 2]) is None
    assert not ladder.may_go_on(0, 3, 0.05), "at the second rung it is alone"
    assert ladder.is_at_a_rung(0)


def test_high_scores_can_be_the_good_ones() -> None:
    ladder = RungLadder((1,), 2, "maximize")
    assert not ladder.may_go_on(0, 1, 0.5)
    assert not ladder.may_go_on(1, 1, 0.4)
    assert ladder.next_to_go_on([0, 1]) == 0


def test_between_rungs_a_trial_goes_on() -> None:
    ladder = RungLadder((2, 4), 2, "minimize")
    assert ladder.may_go_on(0, 1, 9.0)
    assert not ladder.may_go_on(0, 2, 9.0)
    assert not ladder.may_go_on(0, 3, 9.0), "a verdict that came too late holds for the next epoch"
    ladder.let_go_on(0)
    assert ladder.may_go_on(0, 3, 9.0)


def test_the_highest_rung_comes_first_and_in_it_the_best() -> None:
    ladder = RungLadder((1, 2), 2, "minimize")
    for number, best in enumerate((0.1, 0.2, 0.3, 0.4, 0.5, 0.6)):
        ladder.may_go_on(number, 1, best)
    for number in (0, 1):
        ladder.let_go_on(number)
        ladder.may_go_on(number, 2, 0.05 + 0.1 * number)
    assert ladder.next_to_go_on(range(6)) == 0, "of the upper rung, before trial 2 of the lower one"
    ladder.let_go_on(0)
    assert ladder.next_to_go_on(range(1, 6)) == 2


def test_who_ends_early_counts_in_the_rungs_that_it_never_saw() -> None:
    ladder = RungLadder((1, 3), 2, "minimize")
    ladder.end(0, 0.2)
    assert not ladder.may_go_on(1, 3, 0.3)
    assert ladder.next_to_go_on([1]) is None


def test_what_is_no_number_is_no_competitor() -> None:
    ladder = RungLadder((1,), 2, "minimize")
    assert not ladder.may_go_on(0, 1, math.nan)
    assert not ladder.may_go_on(1, 1, 0.1)
    assert ladder.next_to_go_on([0, 1]) is None


def test_a_trial_that_is_taken_back_leaves_no_trace() -> None:
    ladder = RungLadder((1,), 2, "minimize")
    ladder.may_go_on(0, 1, 0.1)
    ladder.forget(0)
    assert not ladder.may_go_on(1, 1, 0.2)
    assert ladder.next_to_go_on([1]) is None


def test_at_rungs_that_only_slow_trials_come_to_the_best_goes_on_however_few_they_are() -> None:
    ladder = RungLadder(None, 3, "minimize")
    ladder.lay_in_seconds(first_epoch=1, horizon_epochs=9, epoch_s=10.0)  # rungs at 9, 27, 81 and 243 s
    assert not ladder.may_go_on(0, 10, 0.5), "at an early rung it waits for company"
    ladder.let_go_on(0)
    assert ladder.may_go_on(0, 90, 0.4), "it is the only one as slow as that"
    assert not ladder.may_go_on(1, 90, 0.6), "the second one there is worse"
    assert ladder.may_go_on(2, 90, 0.3)


def test_who_passes_by_is_compared_with_and_does_not_wait() -> None:
    ladder = RungLadder((2, 6), 3, "maximize")
    for epoch, best in ((1, 0.1), (2, 0.3), (6, 0.9)):
        ladder.pass_by(0, epoch, best)
    assert not ladder.is_at_a_rung(0)
    assert not ladder.may_go_on(1, 2, 0.2)
    assert not ladder.may_go_on(2, 2, 0.25), "the first one, with 0.3 at this rung, is the best of three"
    assert ladder.may_go_on(3, 2, 0.5), "the best of four"
    assert ladder.next_to_go_on([1, 2]) is None
