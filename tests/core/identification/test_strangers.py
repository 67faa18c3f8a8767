import numpy as np
import pytest

from core.identification.calibration import fit_unknown_writer_test, remove_own_writer, shares_accepted


def test_no_more_strangers_are_accepted_than_was_said() -> None:
    generator = np.random.default_rng(0)
    unknown_writers, known = generator.beta(2, 3, 300), generator.beta(6, 2, 300)
    for rate in (0.01, 0.05, 0.2):
        test = fit_unknown_writer_test("class_removed", unknown_writers, known, rate)
        assert test.false_accept_rate == rate
        assert shares_accepted(test, unknown_writers.tolist()) <= rate
        fresh = generator.beta(2, 3, 5000)
        assert shares_accepted(test, fresh.tolist()) == pytest.approx(rate, abs=0.04)
        assert test.false_reject_rate == pytest.approx(1 - shares_accepted(test, known.tolist()))


def test_a_stricter_rate_rejects_more_known_writers() -> None:
    generator = np.random.default_rng(1)
    unknown_writers, known = generator.beta(2, 3, 300), generator.beta(4, 2, 300)
    rates = [
        fit_unknown_writer_test("class_removed", unknown_writers, known, rate).false_reject_rate
        for rate in (0.01, 0.1, 0.5)
    ]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > rates[-1]


def test_too_few_strangers_cannot_hold_a_small_rate_and_say_so() -> None:
    test = fit_unknown_writer_test("class_removed", np.linspace(0.1, 0.6, 9), np.array([0.9, 0.3]), 0.01)
    assert test.false_accept_rate == pytest.approx(0.1)
    assert test.is_known(0.61)
    assert not test.is_known(0.6)
    assert test.false_reject_rate == 0.5


def test_many_strangers_are_kept_as_a_thousand_that_stand_for_them() -> None:
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


def test_strangers_and_known_are_both_needed() -> None:
    with pytest.raises(ValueError, match="got 0 strangers, 1 known"):
        fit_unknown_writer_test("class_removed", np.zeros(0), np.zeros(1), 0.1)
