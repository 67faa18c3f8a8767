from dataclasses import replace

import pytest

from benchmarks.curves.ranks import early_ranks, rank_agreement
from benchmarks.curves.synthetic import METRIC, synthetic_table
from benchmarks.curves.table import CurveTable, RecordedCurve
from search.testing.simulation import SimulatedEpoch

TABLE = synthetic_table(20)


def upside_down(curve: RecordedCurve) -> RecordedCurve:
    epochs = [SimulatedEpoch({METRIC: 1 / epoch.metrics[METRIC]}, 1.0, 1) for epoch in curve.epochs]
    return replace(curve, epochs=tuple(epochs))


def test_a_table_ranks_points_as_itself_does() -> None:
    (found,) = rank_agreement(TABLE, TABLE, METRIC, is_low_good=True)
    assert (found.horizon, found.n_points) == (8, len({curve.key[0] for curve in TABLE.curves}))
    assert (found.rho, found.low, found.high) == pytest.approx((1, 1, 1))


def test_the_opposite_order_disagrees_but_for_what_failed_in_both() -> None:
    whole = CurveTable((), tuple(curve for curve in TABLE.curves if not curve.failed))
    opposite = CurveTable((), tuple(map(upside_down, whole.curves)))
    (found,) = rank_agreement(whole, opposite, METRIC, is_low_good=True)
    assert found.low <= found.rho <= found.high
    assert found.rho < -0.8


def test_too_few_points_that_both_have_give_nothing() -> None:
    few = CurveTable((), TABLE.curves[:3])
    assert list(rank_agreement(few, TABLE, METRIC, is_low_good=True)) == []


def test_the_later_an_epoch_the_better_it_tells_the_end() -> None:
    ranks = early_ranks(TABLE, METRIC, 8, is_low_good=True)
    assert len(ranks) == 8
    assert ranks[0] < ranks[-1]
    assert ranks[-1] == pytest.approx(1, abs=0.05)
