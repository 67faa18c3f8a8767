import numpy as np
import pytest

from core.scoring.intervals import compare_paired


def test_a_candidate_that_is_better_on_every_page_is_better() -> None:
    units = [k // 3 for k in range(24)]
    generator = np.random.default_rng(0)
    hard = generator.random(24)
    test = compare_paired(hard + 0.1, hard + 0.6 + 0.2 * generator.random(24), units, [True] * 8, [True] * 7 + [False])
    assert test.is_better
    assert test.logloss_interval[0] <= test.logloss_difference <= test.logloss_interval[1] < 0
    assert (test.n_items, test.n_units, test.n_only_first, test.n_only_second) == (24, 8, 1, 0)
    assert test.p_value == 1.0


def test_a_model_is_not_better_than_itself_and_the_worse_one_is_not_better() -> None:
    losses = np.linspace(0, 1, 12)
    same = compare_paired(losses, losses, list(range(12)), [True] * 12, [True] * 12)
    assert (same.is_better, same.logloss_difference, same.p_value) == (False, 0, 1)
    assert not compare_paired(losses + 0.5, losses, list(range(12)), [True] * 12, [True] * 12).is_better


def test_a_difference_that_one_page_makes_is_chance() -> None:
    ours, theirs = np.zeros(10), np.zeros(10)
    ours[0] = -5.0
    assert not compare_paired(ours, theirs, list(range(10)), [True] * 10, [True] * 10).is_better


def test_lines_of_one_page_count_as_one() -> None:
    generator = np.random.default_rng(1)
    by_page = np.repeat(generator.normal(-0.1, 0.5, 6), 20) + generator.normal(0, 0.01, 120)
    decisions = [True] * 6
    honest = compare_paired(by_page, np.zeros(120), [k // 20 for k in range(120)], decisions, decisions)
    naive = compare_paired(by_page, np.zeros(120), list(range(120)), [True] * 120, [True] * 120)
    assert np.ptp(honest.logloss_interval) > 3 * np.ptp(naive.logloss_interval)


def test_losing_decisions_beyond_chance_is_not_better_whatever_the_log_loss() -> None:
    test = compare_paired(np.zeros(20), np.ones(20), list(range(20)), [False] * 8 + [True] * 12, [True] * 20)
    assert test.logloss_interval[1] < 0
    assert test.p_value == pytest.approx(2 / 2**8)
    assert not test.is_better


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match="numbered from 0 to 1"):
        compare_paired([0.0], [0.0], [0], [True] * 2, [True] * 2)
    with pytest.raises(ValueError, match="equally many"):
        compare_paired([0.0], [0.0, 1.0], [0], [True], [True])
