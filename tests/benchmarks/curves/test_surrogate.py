import numpy as np
import pytest

from benchmarks.curves.surrogate import Surrogate, cross_validate
from benchmarks.curves.synthetic import METRIC, synthetic_table
from benchmarks.curves.table import CurveTable, RecordedCurve
from core.errors import ModelError
from core.space import Point
from search.testing.simulation import SimulatedEpoch

TABLE = synthetic_table(60)
SURROGATE = Surrogate(TABLE, METRIC, 8)


def test_it_knows_the_points_that_it_was_fitted_to() -> None:
    whole = [curve for curve in TABLE.curves if not curve.failed]
    scores, seconds = SURROGATE.curves([curve.point for curve in whole])
    seen = np.array([[epoch.metrics[METRIC] for epoch in curve.epochs] for curve in whole])
    assert np.median(np.abs(scores / seen - 1)) < 0.1
    assert np.median(np.abs(seconds[:, 0] / [curve.epochs[0].duration_s for curve in whole] - 1)) < 0.1


def test_a_seed_changes_a_curve_as_much_as_seeds_did_and_is_repeatable() -> None:
    point = SURROGATE.points[0]
    last = [SURROGATE.epochs(point, seed)[-1].metrics[METRIC] for seed in range(200)]
    assert SURROGATE.epochs(point, 7) == SURROGATE.epochs(point, 7)
    assert np.std(np.log(last)) == pytest.approx(SURROGATE.noise.deviation, rel=0.2)
    assert 0.02 < SURROGATE.noise.deviation < 0.08, "it was made up with 0.04"


def test_seeds_of_a_point_that_guesses_are_no_large_noise_for_a_good_one() -> None:
    def curve(width: int, seed: int, share: float) -> RecordedCurve:
        point: Point = {"rate": 1e-2, "width": width, "kind": "flat"}
        return RecordedCurve(point, seed, 8, 8 * [SimulatedEpoch({"val/patch_top1": share}, 1.0, 100)])

    guesses = [curve(8, seed, share) for seed, share in enumerate((0.03, 0.05))]
    good = [curve(width, 0, 0.5) for width in range(16, 72, 8)]
    surrogate = Surrogate(CurveTable((), (*guesses, *good)), "val/patch_top1", 8)
    last = [surrogate.epochs(good[0].point, seed)[-1].metrics["val/patch_top1"] for seed in range(50)]
    assert 0 < np.std(last) < 0.03


def test_where_points_failed_others_fail() -> None:
    bad: Point = {"rate": 0.099, "width": 24, "kind": "flat"}
    assert SURROGATE.fails(bad)
    with pytest.raises(ModelError):
        SURROGATE.epochs(bad, 0)


def test_bootstraps_differ_and_repeat() -> None:
    small, point = synthetic_table(10), [SURROGATE.points[0]]
    first, again, other = (Surrogate(small, METRIC, 8, bootstrap=seed).curves(point)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 5 points"):
        Surrogate(synthetic_table(3), METRIC, 8)


def test_its_error_is_that_of_points_left_out() -> None:
    error = cross_validate(TABLE, METRIC, 8, n_folds=2)
    assert 0.3 < error.rank_correlation <= 1
    assert error.r2 < 1
    assert error.deviation > error.noise
