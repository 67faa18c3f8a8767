import numpy as np
import pytest
from sklearn.metrics import f1_score

from core.scoring.intervals import ClusteredScores, bootstrap_macro_f1, bootstrap_means, draw_resamples, exact_interval


def collect(units: np.ndarray, values: np.ndarray) -> ClusteredScores:
    writers = np.zeros(len(units), dtype=np.int64)
    return ClusteredScores.collect(units, int(units.max()) + 1, writers, writers, 1, {"score": values})


def test_independent_items_have_the_interval_of_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(3, 1, 400)
    low, high = bootstrap_means(collect(np.arange(400), values), draw_resamples(400, 1000, seed=0))["score"]
    error = values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)


def test_items_that_resemble_each_other_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).normal(3, 1, 40)
    resamples = draw_resamples(40, 1000, seed=0)
    once = bootstrap_means(collect(np.arange(40), values), resamples)["score"]
    repeated = bootstrap_means(collect(np.repeat(np.arange(40), 50), np.repeat(values, 50)), resamples)["score"]
    assert repeated == pytest.approx(once)


def test_about_95_of_100_intervals_hold_the_truth() -> None:
    generator = np.random.default_rng(0)
    resamples = draw_resamples(60, 500, seed=0)
    held = []
    for _ in range(200):
        units = np.repeat(np.arange(60), 5)
        right = (generator.random(300) < np.repeat(generator.beta(8, 2, 60), 5)).astype(float)
        low, high = bootstrap_means(collect(units, right), resamples)["score"]
        held.append(low <= 0.8 <= high)
    assert 0.89 <= np.mean(held) <= 0.99


def test_macro_f1_of_a_resample_is_that_of_its_items() -> None:
    generator = np.random.default_rng(0)
    true, units = generator.integers(0, 4, 60), np.repeat(np.arange(12), 5)
    predicted = np.where(generator.random(60) < 0.7, true, generator.integers(0, 4, 60))
    scores = ClusteredScores.collect(units, 12, true, predicted, 4, {})
    once = draw_resamples(12, 1, seed=3)
    items = np.repeat(np.arange(60), once[0][units].astype(int))
    labels = np.unique(true[items])
    expected = f1_score(true[items], predicted[items], labels=labels, average="macro", zero_division=0)
    assert bootstrap_macro_f1(scores, once) == pytest.approx((expected, expected))


def test_a_seed_draws_the_same_units() -> None:
    assert (draw_resamples(10, 5, seed=1) == draw_resamples(10, 5, seed=1)).all()
    assert (draw_resamples(10, 5, seed=1) != draw_resamples(10, 5, seed=2)).any()
    assert (draw_resamples(10, 5, seed=1).sum(axis=1) == 10).all()


def test_nothing_wrong_in_few_pages_is_not_certainty() -> None:
    assert exact_interval(1.0, 50) == pytest.approx((0.025 ** (1 / 50), 1.0))
    assert exact_interval(0.0, 50) == pytest.approx((0.0, 1 - 0.025 ** (1 / 50)))
