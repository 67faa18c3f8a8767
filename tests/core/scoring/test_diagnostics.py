import numpy as np
import pytest

from core.scoring.diagnostics import excess_calibration_error, measure_reliability


def test_the_error_is_the_mean_distance_of_probability_and_truth() -> None:
    probabilities = np.array([0.95] * 10 + [0.65] * 10)
    is_right = np.array([True] * 9 + [False] + [True] * 4 + [False] * 6)
    found = measure_reliability(probabilities, is_right)
    assert [(part.n, round(part.share_right, 3)) for part in found.bins] == [(10, 0.4), (10, 0.9)]
    assert found.ece == pytest.approx(0.5 * 0.25 + 0.5 * 0.05)
    assert (found.n, found.share_right) == (20, 0.65)


def test_probabilities_that_come_true_have_no_error() -> None:
    probabilities = np.repeat([0.5, 1.0], 10)
    found = measure_reliability(probabilities, np.arange(20) % 2 + (np.arange(20) >= 10) > 0)
    assert found.ece == pytest.approx(0.0)
    assert [part.mean_probability for part in found.bins] == [0.5, 1.0]


def test_bins_hold_equal_numbers_and_each_at_least_ten() -> None:
    probabilities = np.linspace(0.5, 1, 47)
    assert [part.n for part in measure_reliability(probabilities, probabilities > 0.6).bins] == [12, 12, 12, 11]
    assert [part.n for part in measure_reliability(probabilities[:5], probabilities[:5] > 0).bins] == [5]


def test_what_chance_explains_is_no_error_and_more_is() -> None:
    probabilities = np.full(60, 0.9)
    excess, p = excess_calibration_error(probabilities, np.arange(60) % 10 > 0)
    assert excess == 0.0
    assert p > 0.5
    excess, p = excess_calibration_error(probabilities, np.arange(60) % 2 > 0)
    assert excess == pytest.approx(0.4 - 0.07, abs=0.03)  # less what chance gives
    assert p == 0.0


@pytest.mark.parametrize("probabilities", [[], [0.5, 0.5], [1.5]])
def test_what_are_no_probabilities_of_decisions_is_refused(probabilities: list[float]) -> None:
    with pytest.raises(ValueError, match=r"must (be as many|lie in)"):
        measure_reliability(np.array(probabilities), np.array([True]))
