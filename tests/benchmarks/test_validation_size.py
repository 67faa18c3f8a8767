import numpy as np
import pytest

from benchmarks.validation_size import lost_by_choice, standard_errors

N_IMAGES = 400
GENERATOR = np.random.default_rng(0)


def shares_right(*worths: float) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """One patch of each image: named right or not."""
    return np.array([(GENERATOR.random(N_IMAGES) < worth).astype(float) for worth in worths])


def test_the_standard_error_is_that_of_a_share() -> None:
    single, difference = standard_errors(shares_right(0.5, 0.5))
    assert single == pytest.approx(np.sqrt(0.25 / N_IMAGES), rel=0.1)
    assert difference == pytest.approx(np.sqrt(0.5 / N_IMAGES), rel=0.15)


def test_networks_that_err_on_the_same_images_are_told_apart_better() -> None:
    own = shares_right(0.5)[0]
    better = np.maximum(own, shares_right(0.05)[0])
    single, difference = standard_errors(np.array([own, better]))
    assert difference < single / 2


def test_what_the_choice_loses() -> None:
    truth = np.repeat([[0.3], [0.5], [0.6]], N_IMAGES, axis=1)
    assert lost_by_choice(truth, truth) == 0
    assert lost_by_choice(truth[::-1], truth) == pytest.approx(0.3), "the worst one was chosen"
    assert 0 < lost_by_choice(shares_right(0.49, 0.5, 0.51), truth) < 0.3
