import numpy as np
import pytest

from core.retrieval.adaptation import Adaptation
from core.retrieval.scores import score_retrieval
from core.retrieval.similarities import Cosines


def pages(n_hands: int, n_pages: int, strength: float) -> tuple[np.ndarray, list[str]]:
    """Pages of hands that differ a little in each of 16 directions; in one of these pages differ by
    what their scanner does to them.
    """
    generator = np.random.default_rng(0)
    hands = generator.normal(size=(n_hands, 16)) + 6
    points = np.repeat(hands, n_pages, axis=0) + generator.normal(0, 0.7, (n_hands * n_pages, 16))
    points[:, 3] += strength * generator.normal(size=len(points))
    names = [str(hand) for hand in range(n_hands) for _ in range(n_pages)]
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), names


def mean_precision(descriptors: np.ndarray, writers: list[str]) -> float:
    return score_retrieval(Cosines(descriptors), writers, n_resamples=0).metrics["map"]


def test_what_a_scanner_does_to_all_pages_counts_for_less() -> None:
    descriptors, writers = pages(40, 4, strength=4)
    adapted = Adaptation.fit(descriptors).adapt(descriptors)
    assert adapted.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(adapted, axis=1), 1, rtol=1e-6)
    assert mean_precision(adapted, writers) > mean_precision(descriptors, writers) + 0.02


def test_a_few_hands_are_told_apart_as_before() -> None:
    descriptors, writers = pages(6, 8, strength=0)
    before = mean_precision(descriptors, writers)
    assert mean_precision(Adaptation.fit(descriptors).adapt(descriptors), writers) == pytest.approx(before, abs=0.02)


def test_it_is_the_inverse_root_of_the_covariance_and_thirty_times_the_mean_variance() -> None:
    descriptors, _ = pages(10, 3, strength=2)
    covariance = np.cov(descriptors.astype(np.float64).T, bias=True)
    metric = np.linalg.inv(covariance + 30 * np.trace(covariance) / 16 * np.eye(16))
    expected = descriptors @ metric @ descriptors.T
    expected /= np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    adapted = Adaptation.fit(descriptors).adapt(descriptors)
    np.testing.assert_allclose(adapted @ adapted.T, expected, atol=1e-5)


@pytest.mark.parametrize("archive", [np.empty((0, 3)), np.ones((1, 3)), np.ones((5, 3))])
def test_pages_that_say_nothing_change_nothing(archive: np.ndarray) -> None:
    descriptors = np.array([[0.6, 0.8, 0.0], [0.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(Adaptation.fit(archive).adapt(descriptors), descriptors, atol=1e-7)
