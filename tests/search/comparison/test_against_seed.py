import pytest

from search.comparison.trial_table import Decided, pair_decisions


def decided(item: str, probability: float, is_right: bool = True) -> Decided:
    return Decided(item, "a", "a" if is_right else "b", probability, probability, 4)


def test_two_trials_are_compared_page_by_page() -> None:
    first = [decided(f"p{k}", 0.8) for k in range(10)] + [decided("only here", 0.1)]
    second = [decided(f"p{k}", 0.4, is_right=k >= 6) for k in range(10)]
    paired = pair_decisions(first, second)
    assert paired is not None
    assert (paired.n_items, paired.n_units, paired.n_only_first, paired.n_only_second) == (10, 10, 6, 0)
    assert paired.top1_difference == pytest.approx(0.6)
    assert paired.top1_interval[0] < 0.6 < paired.top1_interval[1]
    assert paired.logloss_difference == pytest.approx(-0.6931, abs=1e-4)
    assert paired.logloss_interval == pytest.approx((-0.6931, -0.6931), abs=1e-4)
    assert paired.p_value == pytest.approx(2 / 2**6)


def test_equal_trials_do_not_differ() -> None:
    same = [decided(f"p{k}", 0.7) for k in range(5)]
    paired = pair_decisions(same, same)
    assert paired is not None
    assert (paired.top1_difference, paired.logloss_difference, paired.p_value) == (0.0, 0.0, 1.0)


def test_no_common_page_compares_nothing() -> None:
    assert pair_decisions([decided("p0", 0.5)], [decided("p1", 0.5)]) is None
    assert pair_decisions([], []) is None
