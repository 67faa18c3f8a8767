import json
import math
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.peers import EPOCHS_LOG
from benchmarks.peers.race import OWN_EXPERIMENT, SIDES, Run, Step, _read_log, _rows, draw, main, prepare
from search.experiment.experiment import load_experiment
from search.experiment.workspace import Workspace

PEER = Run((Step(50.0, "0", 2.0, 0.3), Step(100.0, "0", 1.0, 0.5), Step(150.0, "1", 1.5, 0.6)), 120.0, 1)
OWN = Run((Step(40.0, "0", 1.2, 0.4), Step(60.0, "1", 0.9, 0.7)), 300.0, 2)


def test_the_best_of_a_run_and_when_it_was_reached() -> None:
    assert PEER.best_at("loss") == (1.0, 100.0)
    assert PEER.best_at("top1") == (0.6, 150.0)
    assert OWN.time_to("loss", PEER.best_at("loss")[0]) == 60.0
    assert OWN.time_to("top1", 0.4) == 40.0
    assert PEER.time_to("loss", 0.9) == PEER.time_to("top1", 0.7) == math.inf
    assert Run((), 0.0, 1).best_at("loss")[1] == math.inf


def test_the_table_says_when_each_side_reached_the_peers_best_and_how_much_time_went_into_steps() -> None:
    runs = {("optuna", 1): PEER, ("whosehand", 1): OWN}
    columns, rows = _rows(runs, [1], ["optuna", "whosehand"], 200.0)
    own = dict(zip(columns, rows[1], strict=True))
    assert own["optuna's best log-loss at, s"] == "60"
    assert own["optuna's best top-1 at, s"] == "60"
    assert own["time in steps"] == "75 %", "300 of 2 x 200 seconds"
    assert own["trials, epochs"] == "2, 2"
    assert dict(zip(columns, rows[0], strict=True))["top-1"] == "60.0 %"


def test_epochs_that_ended_after_the_time_do_not_count(tmp_path: Path) -> None:
    lines = [
        {"at_s": 1000.0 + at, "trial": "0", "steps_s": 4.0, "val_loss": 1.0, "val_accuracy": 0.5} for at in (5, 10, 11)
    ]
    (tmp_path / EPOCHS_LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = _read_log(tmp_path, 1000.0, 10.0)
    assert [step.at_s for step in run.steps] == [5.0, 10.0]
    assert run.steps_s == 8.0


def test_a_race_is_drawn(tmp_path: Path) -> None:
    draw({(SIDES[0], 1): PEER, (SIDES[3], 1): OWN}, tmp_path / "race.png")
    assert (tmp_path / "race.png").stat().st_size > 0


def test_its_options_are_said() -> None:
    app = typer.Typer()
    app.command()(main)
    assert "--minutes" in CliRunner().invoke(app, ["--help"]).output


@pytest.mark.long
def test_the_peers_get_the_validation_patches_of_a_trial_and_as_many_training_patches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = ["corpus={layout: hands, n_writers: 3, n_pages: 4, n_lines: 3}", "split={validation: 0.25}"]
    experiment = load_experiment(OWN_EXPERIMENT, [*changes, "patches.patches_per_epoch=100"])
    prepare(experiment, tmp_path)
    with np.load(tmp_path / "patches.npz") as arrays:
        assert arrays["x"].shape == (800, 113, 113, 1)
        assert len(arrays["validation_x"]) == len(arrays["validation_y"]) > 0
        assert set(arrays["y"]) == {0, 1, 2}
    own = load_experiment(tmp_path / "default_space.yaml")
    assert "filters" in own.space.search_space().names
    assert own.patches == experiment.patches
    assert Workspace(tmp_path).root.exists()
