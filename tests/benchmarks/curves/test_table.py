from pathlib import Path

import pytest

from benchmarks.curves.points import curve_points, wanted_curves
from benchmarks.curves.synthetic import synthetic_table
from benchmarks.curves.table import CurveTable, RecordedCurve
from core.corpora.settings import HandsSettings
from core.networks.presets import seed_recipe
from core.space.search_space import key_of
from search.experiment.experiment import Experiment
from search.experiment.settings import BudgetSettings
from search.testing.simulation import SimulatedEpoch

EPOCHS = (SimulatedEpoch({"val/loss": 0.5, "val/top1": 0.25}, 1.25, 100),)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    curves = [
        RecordedCurve({"a": True, "b": 1, "c": 1.0, "d": 'x, "y"'}, 0, 1, EPOCHS),
        RecordedCurve(
            {"a": 1, "b": 1, "c": 1.0, "d": "x"}, 0, 2, EPOCHS, "TrainingError: no, not a number", 0, 0.5, 1.25
        ),
        RecordedCurve({"a": 2}, 1, 2, (), "ModelError: too small"),
    ]
    table = CurveTable().with_recording("today;\na machine: python", curves)
    table.write(tmp_path / "curves.csv")
    read = CurveTable.read(tmp_path / "curves.csv")
    assert read.recordings == ("today; a machine: python",)
    assert read.curves == table.curves
    assert read.keys == table.keys
    assert len(read.keys) == 3


def test_a_curve_that_the_table_has_is_not_added_again() -> None:
    table = CurveTable().with_recording("first", [RecordedCurve({"a": 1}, 0, 1, EPOCHS)])
    assert table.with_recording("second", [RecordedCurve({"a": 1}, 0, 1, EPOCHS)]) == table
    more = table.with_recording("second", [RecordedCurve({"a": 1}, k, 1, EPOCHS) for k in (0, 1)])
    assert [curve.recording for curve in more.curves] == [0, 1]


def test_another_file_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="must begin with the columns"):
        CurveTable.read(tmp_path / "other.csv")


def test_a_made_up_table_is_the_same_each_time() -> None:
    assert synthetic_table(8) == synthetic_table(8)


def test_recipe_and_defaults_come_first_and_more_points_are_the_same_and_further_ones() -> None:
    experiment = Experiment(name="any", corpus=HandsSettings(), budget=BudgetSettings(trials=1))
    points = curve_points(experiment, 12)
    assert points[0] == seed_recipe().as_dict()
    assert points[1] == experiment.complete({})
    assert len({key_of(point) for point in points}) == 12
    assert curve_points(experiment, 9) == points[:9]


def test_some_points_are_wanted_with_more_seeds_and_horizons() -> None:
    points = [{"a": k} for k in range(9)]
    wanted = wanted_curves(points, seeds=(0, 1, 2), n_repeated=2, horizons=(4, 8), every=3)
    assert len(wanted) == 9 + 2 * 2 + 3
    assert [curve.point for curve in wanted if curve.seed == 2] == [{"a": 0}, {"a": 4}]
    assert [curve.point for curve in wanted if curve.horizon == 8] == [{"a": 0}, {"a": 3}, {"a": 6}]
