import numpy as np
import pytest

from core.scoring.mean_scores import LOG_FLOOR, mean_log_probabilities


def test_a_group_has_the_normalised_geometric_mean_of_its_patches() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    groups, means = mean_log_probabilities(np.log(probabilities), ["page 2", "page 1", "page 2"])
    assert groups == ["page 2", "page 1"]
    mean = np.sqrt([0.9 * 0.5, 0.1 * 0.5])
    np.testing.assert_allclose(np.exp(means), [mean / mean.sum(), [0.2, 0.8]])


def test_one_impossible_patch_does_not_make_a_score_infinite() -> None:
    groups, means = mean_log_probabilities(np.array([[-np.inf, 0.0]], dtype=np.float32), [7])
    assert groups == [7]
    np.testing.assert_allclose(means, [[LOG_FLOOR, 0.0]], atol=1e-6)


def test_long_sums_of_float32_stay_exact() -> None:
    row = np.log(np.array([0.3, 0.7], dtype=np.float32))
    _, means = mean_log_probabilities(np.tile(row, (100_000, 1)), [0] * 100_000)
    np.testing.assert_allclose(np.exp(means), [[0.3, 0.7]], rtol=1e-6)


def test_a_probability_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="must be numbers, but 1 are NaN"):
        mean_log_probabilities(np.array([[np.nan, 0.0]]), ["a"])


def test_a_patch_without_a_group_is_refused() -> None:
    with pytest.raises(ValueError, match="got 2 patches, 1 groups"):
        mean_log_probabilities(np.zeros((2, 3)), ["a"])
