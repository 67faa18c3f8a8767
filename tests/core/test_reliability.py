import numpy as np
import pytest

from core.reliability import measure_reliability


def test_the_error_is_the_mean_distance_of_probability_and_truth() -> None:
    probabilities = np.array([0.95] * 10 + [0.65] * 10)
    is_right = np.array([True] * 9 + [False] + [True] * 4 + [False] * 6)
    found = measure_reliability(probabilities, is_right)
    assert [(bin_.n, round(bin_.share_right, 3)) for bin_ in found.bins] == [(10, 0.4), (10, 0.9)]
    assert found.ece == pytest.approx(0.5 * 0.25 + 0.5 * 0.05)
    assert (found.n, found.share_right) == (20, 0.65)


def test_probabilities_that_come_true_have_no_error() -> None:
    found = measure_reliability(np.array([1.0, 1.0, 0.5, 0.5]), np.array([True, True, True, False]))
    assert found.ece == pytest.approx(0.0)
    assert [(bin_.low, bin_.high) for bin_ in found.bins] == [(0.4, 0.5), (0.9, 1.0)]


@pytest.mark.parametrize("probabilities", [[], [0.5, 0.5], [1.5]])
def test_what_are_no_probabilities_of_decisions_is_refused(probabilities: list[float]) -> None:
    with pytest.raises(ValueError, match=r"must (be as many|lie in)"):
        measure_reliability(np.array(probabilities), np.array([True]))
