import numpy as np
import pytest
from numpy.typing import NDArray

from core.identification.calibration import apply_temperature, calibrate, fit_temperature
from core.scoring.diagnostics import measure_reliability

FloatArray = NDArray[np.float64]


def _answers(temperature: float, n_items: int = 4000) -> tuple[FloatArray, NDArray[np.int64]]:
    """Log-probabilities of five writers that are calibrated once divided by `temperature`, and
    right classes.
    """
    generator = np.random.default_rng(0)
    honest = apply_temperature(generator.normal(0, 2, (n_items, 5)), 1.0)
    true = (generator.random((n_items, 1)) > np.exp(honest).cumsum(axis=1)).sum(axis=1)
    return apply_temperature(honest * temperature, 1.0), np.minimum(true, 4).astype(np.int64)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 4.0])
def test_the_temperature_is_found_and_makes_probabilities_true(temperature: float) -> None:
    answers, true = _answers(temperature)
    found = fit_temperature(answers, true)
    assert found == pytest.approx(temperature, rel=0.1)
    for fitted, at_most in ((found, 0.03), (found * 3, 1.0)):
        probabilities = np.exp(apply_temperature(answers, fitted))
        error = measure_reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == true).ece
        assert error < at_most
    assert error > 0.1


def test_the_temperature_changes_no_ranking() -> None:
    answers, _ = _answers(1.0, 50)
    assert np.array_equal(answers.argsort(axis=1), apply_temperature(answers, 0.3).argsort(axis=1))


def test_a_few_right_answers_do_not_make_the_model_certain() -> None:
    answers = np.log(np.tile([0.6, 0.2, 0.2], (8, 1)))
    true = np.zeros(8, dtype=np.int64)
    best = np.exp(apply_temperature(answers, fit_temperature(answers, true)))[:, 0]
    np.testing.assert_allclose(best, 9 / 10, atol=0.01)


def test_without_an_item_nothing_is_fitted() -> None:
    with pytest.raises(ValueError, match="got 0 items"):
        fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=np.int64))


def test_a_calibration_of_pages_pools_their_patches() -> None:
    answers = np.log(np.tile([0.7, 0.2, 0.1], (40, 1)))
    labels = np.zeros(40, dtype=np.int64)
    by_page = calibrate(answers, labels, [k // 4 for k in range(40)], "page", 0.1)
    assert (by_page.unit, by_page.n_items, by_page.unknown_writers.n_unknown_writers) == ("page", 10, 10)
    assert by_page.unknown_writers.method == "class_removed"
    with_unknown_writers = calibrate(answers, labels, list(range(40)), "image", 0.1, np.log(np.full((30, 3), 1 / 3)))
    assert (with_unknown_writers.unknown_writers.method, with_unknown_writers.unknown_writers.n_unknown_writers) == (
        "left_out_writers",
        30,
    )
    assert with_unknown_writers.unknown_writers.false_reject_rate == 0
