import numpy as np
import pytest
from sklearn.metrics import f1_score

from core.scoring.intervals import (
    ClusteredScores,
    bootstrap_macro_f1,
    bootstrap_means,
    compare_resampled,
    draw_resamples,
    exact_interval,
)


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


def test_divisions_that_overlap_are_not_taken_for_independent() -> None:
    """Twelve pages on which two ways are equally good; five times three of them are drawn."""
    generator, p_values = np.random.default_rng(0), list[tuple[float, float]]()
    for _ in range(500):
        of_pages = generator.normal(size=12)
        differences = [of_pages[generator.permutation(12)[:3]].mean() for _ in range(5)]
        tests = compare_resampled(differences, 3, 9), compare_resampled(differences, 1e-9, 9)
        p_values.append((tests[0].p_value, tests[1].p_value))
    corrected, plain = (np.array(p_values) < 0.05).mean(axis=0)
    assert corrected == pytest.approx(0.05, abs=0.03)
    assert plain > 0.12, "the t-test that knows nothing of it"


def test_the_corrected_interval_ends_at_nothing_where_the_p_value_is_a_twentieth() -> None:
    differences = [-0.2, -0.1, -0.25, -0.15, -0.3]
    test = compare_resampled(differences, 1, 2)
    touching = compare_resampled([value - test.interval[1] for value in differences], 1, 2)
    assert touching.interval[1] == pytest.approx(0, abs=1e-12)
    assert touching.p_value == pytest.approx(0.05)
    assert test.difference == pytest.approx(-0.2)


def test_one_repeat_or_no_spread_is_nothing_to_test() -> None:
    with pytest.raises(ValueError, match="Two repeats or more"):
        compare_resampled([0.1], 1, 2)
    assert compare_resampled([0.0, 0.0], 1, 2).p_value == 1
