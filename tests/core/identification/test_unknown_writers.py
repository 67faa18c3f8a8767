import numpy as np
import pytest
from numpy.typing import NDArray

from core.identification.calibration import UnknownWriterTest, fit_unknown_writer_test, remove_own_writer


def accepted(test: UnknownWriterTest, probabilities: NDArray[np.float64]) -> float:
    """The share of images that are taken for a known writer's."""
    return float(np.mean([test.is_known(probability) for probability in probabilities.tolist()]))


def test_no_more_unknown_writers_are_accepted_than_was_said() -> None:
    generator = np.random.default_rng(0)
    unknown_writers, known = generator.beta(2, 3, 300), generator.beta(6, 2, 300)
    for rate in (0.01, 0.05, 0.2):
        test = fit_unknown_writer_test("class_removed", unknown_writers, known, rate)
        assert test.false_accept_rate == rate
        assert accepted(test, unknown_writers) <= rate
        fresh = generator.beta(2, 3, 5000)
        assert accepted(test, fresh) == pytest.approx(rate, abs=0.04)
        assert test.false_reject_rate == pytest.approx(1 - accepted(test, known))


def test_a_stricter_rate_rejects_more_known_writers() -> None:
    generator = np.random.default_rng(1)
    unknown_writers, known = generator.beta(2, 3, 300), generator.beta(4, 2, 300)
    rates = [
        fit_unknown_writer_test("class_removed", unknown_writers, known, rate).false_reject_rate
        for rate in (0.01, 0.1, 0.5)
    ]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > rates[-1]


def test_too_few_unknown_writers_cannot_hold_a_small_rate_and_say_so() -> None:
    test = fit_unknown_writer_test("class_removed", np.linspace(0.1, 0.6, 9), np.array([0.9, 0.3]), 0.01)
    assert test.false_accept_rate == pytest.approx(0.1)
    assert test.is_known(0.61)
    assert not test.is_known(0.6)
    assert test.false_reject_rate == 0.5


def test_many_unknown_writers_are_kept_as_a_thousand_that_stand_for_them() -> None:
    unknown_writers = np.random.default_rng(0).random(5000)
    test = fit_unknown_writer_test("left_out_writers", unknown_writers, unknown_writers, 0.05)
    assert (len(test.scores), test.n_unknown_writers) == (1000, 5000)
    assert list(test.scores) == sorted(test.scores)
    assert test.none_of_these(0.5) == pytest.approx(0.5, abs=0.03)
    assert (test.none_of_these(-1), test.none_of_these(2)) == (1, 1 / 1001)


def test_removing_the_own_writer_leaves_the_others_in_proportion() -> None:
    answers = np.log(np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]))
    others = np.exp(remove_own_writer(answers, np.array([0, 2])))
    np.testing.assert_allclose(others, [[0.6, 0.4], [0.625, 0.375]])


def test_unknown_writers_and_known_are_both_needed() -> None:
    with pytest.raises(ValueError, match="got 0 by unknown writers and 1 by known ones"):
        fit_unknown_writer_test("class_removed", np.zeros(0), np.zeros(1), 0.1)


def test_a_threshold_that_rejects_too_many_known_writers_is_kept_and_not_used() -> None:
    unknown_writers, known = np.linspace(0.1, 0.8, 40), np.array([0.9] * 8 + [0.2] * 2)
    used = fit_unknown_writer_test("class_removed", unknown_writers, known, 0.05, max_false_reject_rate=0.2)
    assert (used.false_reject_rate, used.is_used) == (0.2, True)
    unused = fit_unknown_writer_test("class_removed", unknown_writers, known, 0.05, max_false_reject_rate=0.1)
    assert (unused.false_reject_rate, unused.is_used) == (0.2, False)
    assert unused.scores == used.scores
