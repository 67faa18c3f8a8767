import numpy as np
import pytest

from core.errors import RetrievalError
from core.retrieval.likelihood_ratios import (
    RatioCalibration,
    calibrate_ratios,
    empirical_bounds,
    in_words,
    least_cllr,
    score_ratios,
    tippett,
)
from core.retrieval.pairs import PagePairs, collect_pairs
from tests.core.retrieval.generated_pages import generated_pages

DISTANCE = 2.0


def known_pairs(n_same: int = 2000, n_different: int = 2000, seed: int = 0) -> PagePairs:
    """Similarities whose true ln LR is DISTANCE times the similarity, each pair by writers of its
    own.
    """
    generator = np.random.default_rng(seed)
    same = generator.normal(DISTANCE / 2, 1, n_same)
    different = generator.normal(-DISTANCE / 2, 1, n_different)
    first = np.arange(n_same + n_different)
    is_same = first < n_same
    second = np.where(is_same, first, first + n_different)
    scores = np.concatenate([same, different]).astype(np.float32)
    return PagePairs(scores, is_same, first.astype(np.int32), second.astype(np.int32), n_same, n_different)


def unbounded(slope: float = 1.0) -> RatioCalibration:
    return RatioCalibration(slope, 0.0, -99.0, 99.0, 1, 1, 1, 1)


def test_likelihood_ratios_are_those_that_are_true() -> None:
    found = calibrate_ratios(known_pairs(20_000, 20_000))
    assert found.slope == pytest.approx(DISTANCE / np.log(10), rel=0.03)
    assert found.intercept == pytest.approx(0, abs=0.02)


def test_how_many_pairs_there_are_of_a_kind_is_no_evidence() -> None:
    pairs = known_pairs(500, 50)
    often = np.repeat(np.arange(550), np.where(pairs.is_same, 1, 20))
    repeated = PagePairs(
        pairs.scores[often], pairs.is_same[often], pairs.first[often], pairs.second[often], 500, 50 * 20
    )
    once, many = calibrate_ratios(pairs), calibrate_ratios(repeated)
    scores = np.linspace(-2, 2, 5)
    np.testing.assert_allclose(many.log10_ratios(scores), once.log10_ratios(scores), atol=0.02)


def test_more_pages_of_the_same_writers_do_not_widen_the_bounds() -> None:
    similarities, names = generated_pages(n_writers=10, n_pages=8, spread=0.05)
    found = calibrate_ratios(collect_pairs(similarities, names))
    assert (found.n_same, found.n_writers_of_same, found.n_writers_of_different) == (280, 10, 10)
    assert 0.9 < found.highest <= np.log10(11)
    assert -np.log10(11) <= found.lowest < -0.9
    assert found.log10_ratios(np.array([-1.0, 1.0])).tolist() == [found.lowest, found.highest]


def by_definition(same: np.ndarray, different: np.ndarray) -> tuple[float, float]:
    """The paper's rule at every threshold, with LRs instead of counts."""
    same, different = np.append(same, -np.inf), np.append(different, np.inf)
    thresholds = np.arange(-400, 401) / 100
    cost = [np.mean(same <= t) + 10**t * np.mean(different > t) for t in thresholds]
    is_worse = np.array(cost) > np.minimum(10**thresholds, 1)
    low, high = thresholds[is_worse & (thresholds <= 0)], thresholds[is_worse & (thresholds >= 0)]
    return min(0, max(low) + 0.01), max(0, min(high) - 0.01)


def test_the_bounds_are_those_of_the_papers_definition() -> None:
    for seed, spread in ((0, 1.0), (1, 0.5), (2, 3.0)):
        pairs = known_pairs(300, 900, seed)
        ratios = pairs.scores.astype(np.float64) * spread
        same, different = ratios[pairs.is_same], ratios[~pairs.is_same]
        assert empirical_bounds(same, different) == pytest.approx(by_definition(same, different), abs=1e-9)


def test_ratios_that_are_all_right_are_bounded_by_their_number() -> None:
    lowest, highest = empirical_bounds(np.full(99, 50.0), np.full(99, -50.0))
    assert highest == pytest.approx(np.log10(99), abs=0.01)
    assert lowest == pytest.approx(-np.log10(99), abs=0.01)
    fewer = empirical_bounds(np.full(99, 50.0), np.full(99, -50.0), n_same=9, n_different=9)
    assert fewer == pytest.approx((-np.log10(9), np.log10(9)), abs=0.01)


def test_ratios_that_mislead_are_not_spoken() -> None:
    assert empirical_bounds(np.full(50, -3.0), np.full(50, 3.0)) == (0, 0)


def test_cllr_is_1_where_nothing_is_said_and_grows_where_it_misleads() -> None:
    pairs = known_pairs()
    assert score_ratios(unbounded(slope=0.0), pairs, 0).cllr == pytest.approx(1)
    assert score_ratios(unbounded(slope=-1.0), pairs, 0).cllr > 1
    right = score_ratios(unbounded(slope=DISTANCE / np.log(10)), pairs, 0)
    for slope in (0.5, 2.0):
        assert score_ratios(unbounded(slope=slope * DISTANCE / np.log(10)), pairs, 0).cllr > right.cllr
    costs = np.log2(1 + np.exp(-DISTANCE * pairs.scores[pairs.is_same])).mean() / 2
    costs += np.log2(1 + np.exp(DISTANCE * pairs.scores[~pairs.is_same])).mean() / 2
    assert right.cllr == pytest.approx(costs, rel=1e-5)
    assert right.misleading_same == pytest.approx((pairs.scores[pairs.is_same] < 0).mean())
    assert right.misleading_different == pytest.approx((pairs.scores[~pairs.is_same] > 0).mean())


def test_the_least_cllr_is_that_of_pooled_neighbours() -> None:
    is_same = np.array([False, True, False, True])
    assert least_cllr(np.array([1.0, 2, 3, 4]), is_same) == pytest.approx(0.5)
    assert least_cllr(np.array([1.0, 3, 2, 4]), is_same) == 0
    assert least_cllr(np.array([1.0, 1, 1, 1]), is_same) == pytest.approx(1)
    weights = np.array([3.0, 1, 1, 1])
    repeated = np.repeat(np.arange(4), weights.astype(int))
    expected = least_cllr(np.array([1.0, 2, 3, 4])[repeated], is_same[repeated])
    assert least_cllr(np.array([1.0, 2, 3, 4]), is_same, weights) == pytest.approx(expected)


def test_no_calibration_is_better_than_the_best_one() -> None:
    pairs = known_pairs()
    scores = score_ratios(calibrate_ratios(pairs), pairs, 0)
    assert scores.cllr - 0.02 < scores.cllr_min <= scores.cllr


def test_intervals_hold_the_scores_and_a_seed_gives_them_again() -> None:
    similarities, names = generated_pages(n_writers=15)
    calibration = calibrate_ratios(collect_pairs(similarities, names))
    pairs = collect_pairs(*generated_pages(n_writers=15, seed=1))
    scores = score_ratios(calibration, pairs, 60)
    for name, (low, high) in scores.intervals.items():
        assert low <= getattr(scores, name) <= high, name
    assert set(scores.intervals) == {"cllr", "cllr_min", "misleading_same", "misleading_different"}
    assert score_ratios(calibration, pairs, 60).intervals == scores.intervals


def test_no_misleading_ratio_of_few_writers_is_not_certainty() -> None:
    pairs = collect_pairs(*generated_pages(n_writers=8, spread=0.01))
    scores = score_ratios(calibrate_ratios(pairs), pairs, 30)
    assert scores.misleading_same == scores.misleading_different == scores.cllr_min == 0
    for name in ("misleading_same", "misleading_different", "cllr_min"):
        assert scores.intervals[name] == pytest.approx((0, 1 - 0.025 ** (1 / 8))), name


def test_a_tippett_plot_shows_how_many_ratios_are_at_least_so_large() -> None:
    pairs, calibration = known_pairs(), unbounded()
    curves = tippett(calibration, pairs, 101)
    assert (curves.same[0], curves.different[0]) == (1, 1)
    assert (np.diff(curves.log10_ratios) > 0).all()
    for point, same, different in zip(curves.log10_ratios, curves.same, curves.different, strict=True):
        assert same == pytest.approx((pairs.scores[pairs.is_same] >= point).mean(), abs=1e-3)
        assert different == pytest.approx((pairs.scores[~pairs.is_same] >= point).mean(), abs=1e-3)


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (0, "no support"),
        (0.30, "no support"),
        (0.31, "weak support for one hand"),
        (-1, "moderate support for two hands"),
        (2.0, "moderately strong support for one hand"),
        (3.0, "strong support"),
        (-4.0, "very strong support for two hands"),
        (6.0, "extremely strong support"),
    ],
)
def test_words_are_those_of_the_guideline(ratio: float, words: str) -> None:
    assert in_words(ratio).startswith(words)


def test_pairs_that_support_no_ratio_are_refused() -> None:
    pairs = known_pairs()
    one_kind = PagePairs(pairs.scores[:5], pairs.is_same[:5], pairs.first[:5], pairs.second[:5], 5, 0)
    with pytest.raises(RetrievalError, match="5 by one hand and 0 by two"):
        calibrate_ratios(one_kind)
    upside_down = PagePairs(-pairs.scores, pairs.is_same, pairs.first, pairs.second, 2000, 2000)
    with pytest.raises(RetrievalError, match="must be more alike"):
        calibrate_ratios(upside_down)
    with pytest.raises(ValueError, match="0 of two"):
        empirical_bounds(np.ones(3), np.empty(0))
