from pathlib import Path

import pytest

from benchmarks.curves.points import curve_points, wanted_curves
from benchmarks.curves.record import Recorder, without_early_stopping
from benchmarks.curves.table import CurveTable
from core.corpora.settings import HandsSettings
from core.settings import PatchSettings, TrainingSettings
from search.experiment.experiment import Experiment
from search.experiment.settings import BudgetSettings
from search.experiment.space_settings import SpaceSettings
from search.experiment.workspace import Workspace
from search.sweep.progress import SilentProgress

EXPERIMENT = Experiment(
    name="few",
    corpus=HandsSettings(n_writers=3, n_pages=3, n_lines=3),
    patches=PatchSettings(patches_per_epoch=200, per_image_at_validation=1),
    space=SpaceSettings(fixed={"n_blocks": 2, "filters": 8, "input_px": 56}),
    training=TrainingSettings(epochs=2, early_stopping_patience=1),
    budget=BudgetSettings(trials=1),
)


def test_curves_are_recorded_whole_though_trials_would_end_early() -> None:
    assert without_early_stopping(EXPERIMENT).training.early_stopping_patience is None
    assert without_early_stopping(EXPERIMENT).training.epochs == 2


@pytest.mark.long
def test_what_stands_in_the_table_is_not_trained_again(tmp_path: Path) -> None:
    experiment = without_early_stopping(EXPERIMENT)
    path = tmp_path / "few.csv"
    recorder = Recorder(experiment, Workspace(tmp_path), tmp_path / "records", path, "first", SilentProgress())
    assert recorder.record(wanted_curves(curve_points(experiment, 1), (0,), 0, (2,), 1))
    first = CurveTable.read(path)
    assert [len(curve.epochs) for curve in first.curves] == [2]
    assert first.curves[0].epochs[0].n_patches == first.curves[0].epochs[1].n_patches > 0
    assert first.curves[0].start_s > 0
    assert first.curves[0].end_s > 0
    assert "val/image_logloss" in first.curves[0].epochs[0].metrics

    wanted = wanted_curves(curve_points(experiment, 2), (0, 1), 1, (2,), 1)
    again = Recorder(experiment, Workspace(tmp_path), tmp_path / "records", path, "second", SilentProgress())
    assert again.record(wanted)
    both = CurveTable.read(path)
    assert both.recordings == ("first", "second")
    assert both.curves[0] == first.curves[0]
    assert [curve.seed for curve in both.curves] == [0, 0, 1]
    assert again.record(wanted)
    assert CurveTable.read(path) == both
