"""Every named crash point once: drivers and workers that kill themselves there, and a sweep that is
whole afterwards.

The sweeps are real but for the objective: corpus, split, engine, ledger, workers and MLflow.
"""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from core import crash_points
from core.crash_points import ALL_POINTS, DRIVER_POINTS, WORKER_POINTS, crash_point
from search.ledger.ledger import read_ledger
from search.ledger.trial import TrialState
from search.objectives.cheap import METRIC
from search.sweep.control import BudgetCommand, new_command, send_command
from tests.chaos.audit import audit
from tests.chaos.drivers import start_driver
from tests.chaos.experiments import write_cheap

ROOT = Path(__file__).parents[3]
STORIES = {
    "start": (
        *("ledger-empty", "sweep-created", "split-saved", "launch-recorded", "sweep-run-created", "sweep-tracked"),
        *("proposal-made", "line-half-written@2", "proposal-recorded", "worker-forked", "attempt-recorded"),
        *("trial-run-created", "trial-run-described"),
    ),
    "epoch": ("report-received", "report-judged", "report-recorded", "report-answered", "epoch-tracked"),
    "end": (
        *("result-received", "end-recorded", "end-told", "model-created", "model-uploaded", "model-ready"),
        *("trial-run-closed", "trial-tracked", "tracked-recorded", "close-recorded", "sweep-run-closed"),
    ),
}
"""Launches one after the other, each killed at a point of the driver, and then one that nothing
disturbs.
"""
RUNGS = {
    "engine": {"name": "optuna", "sampler": "random", "pruner": "asha", "rung_first_epoch": 1, "rung_factor": 2},
    "training": {"epochs": 4, "precision": "float32"},
    "budget": {"trials": 6},
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all: each sweep has its own name, corpus and tracking store are made once."""
    return tmp_path_factory.mktemp("crashes")


@pytest.fixture(scope="module")
def twin(workspace: Path) -> Path:
    """A sweep that nothing disturbed."""
    driver = start_driver(workspace, write_cheap(workspace, "undisturbed", {"budget": {"trials": 3}}))
    assert driver.end() == 0, driver.log.read_text()
    assert audit(workspace, "undisturbed", METRIC) == []
    return workspace / "mlruns/sweeps/undisturbed"


@pytest.mark.parametrize("story", [pytest.param("start", marks=pytest.mark.long), "epoch", "end"])
def test_a_driver_killed_at_every_point_loses_and_doubles_nothing(story: str, workspace: Path, twin: Path) -> None:
    experiment = write_cheap(workspace, story, {"budget": {"trials": 3}})
    for point in STORIES[story]:
        driver = start_driver(workspace, experiment, crash_at=point)
        assert driver.end() == -signal.SIGKILL, f"{point} was not passed: {driver.log.read_text()}"
    driver = start_driver(workspace, experiment)
    assert driver.end() == 0, driver.log.read_text()
    assert audit(workspace, story, METRIC, twin) == []


def test_workers_killed_at_every_point_cost_an_attempt_each(workspace: Path, twin: Path) -> None:
    changes = {"budget": {"trials": 3}, "executor": {"workers": 1, "threads": 1, "max_attempts": 9}}
    experiment = write_cheap(workspace, "workers", changes)
    driver = start_driver(workspace, experiment, crash_at=",".join(WORKER_POINTS))
    assert driver.end() == 0, driver.log.read_text()
    assert audit(workspace, "workers", METRIC, twin) == []
    trials = read_ledger(workspace / "mlruns/sweeps/workers").trials.values()
    # Who dies after its result was sent is no loss.
    assert [trial.n_lost for trial in trials] == [len(WORKER_POINTS) - 1] * 3
    assert all([start.start_epoch for start in trial.starts] == [0, 0, 0, 0, 1, 2, 2] for trial in trials)


def test_a_driver_killed_after_a_loss_goes_on(workspace: Path, twin: Path) -> None:
    experiment = write_cheap(workspace, "loss", {"budget": {"trials": 3}})
    driver = start_driver(workspace, experiment, crash_at="report-sent@2,loss-recorded")
    assert driver.end() == -signal.SIGKILL
    assert start_driver(workspace, experiment).end() == 0
    assert audit(workspace, "loss", METRIC, twin) == []


def test_a_driver_told_to_stop_and_killed_on_the_way_goes_on(workspace: Path) -> None:
    changes = {"training": {"epochs": 4, "precision": "float32"}, "budget": {"trials": 1}}
    experiment = write_cheap(workspace, "stop", changes)
    driver = start_driver(workspace, experiment, crash_at="report-received!TERM,interruption-recorded")
    assert driver.end() == -signal.SIGKILL, driver.log.read_text()
    assert start_driver(workspace, experiment).end() == 0
    assert audit(workspace, "stop", METRIC) == []
    trial = read_ledger(workspace / "mlruns/sweeps/stop").trials[0]
    assert [start.start_epoch for start in trial.starts] == [0, 2]


def test_a_driver_killed_after_it_took_a_command_down_follows_it_once(workspace: Path) -> None:
    experiment = write_cheap(workspace, "steered", {"budget": {"trials": 2}})
    folder = workspace / "mlruns/sweeps/steered"
    folder.mkdir(parents=True)
    send_command(folder, BudgetCommand(*new_command(), {"trials": "+1"}))
    driver = start_driver(workspace, experiment, crash_at="command-recorded")
    assert driver.end() == -signal.SIGKILL, driver.log.read_text()
    assert start_driver(workspace, experiment).end() == 0
    assert audit(workspace, "steered", METRIC) == []
    assert len(read_ledger(folder).trials) == 3


@pytest.mark.long
def test_a_driver_killed_between_pause_and_continuation_goes_on(workspace: Path) -> None:
    undisturbed = write_cheap(workspace, "rungs-undisturbed", RUNGS)
    assert start_driver(workspace, undisturbed).end() == 0
    experiment = write_cheap(workspace, "rungs", RUNGS)
    for point in ("end-recorded", "end-told@2", "continuation-recorded"):
        driver = start_driver(workspace, experiment, crash_at=point)
        assert driver.end() == -signal.SIGKILL, f"{point} was not passed: {driver.log.read_text()}"
    assert start_driver(workspace, experiment).end() == 0
    twin = workspace / "mlruns/sweeps/rungs-undisturbed"
    assert audit(workspace, "rungs", METRIC, twin) == []
    states = {trial.state for trial in read_ledger(twin).trials.values()}
    assert TrialState.COMPLETED in states


def test_every_point_is_passed_by_the_code_killed_at_in_a_test_and_explained_in_the_docs() -> None:
    code = "\n".join(path.read_text() for folder in ("core", "search") for path in (ROOT / folder).rglob("*.py"))
    points = set(ALL_POINTS)
    assert set(re.findall(r'crash_point\(\s*"([a-z-]+)"', code)) == points
    killed_at = {point.partition("@")[0] for story in STORIES.values() for point in story}
    assert {*killed_at, "loss-recorded", "interruption-recorded", "continuation-recorded", "command-recorded"} == set(
        DRIVER_POINTS
    )
    explained = set(re.findall(r"^\| `([a-z-]+)`", (ROOT / "docs/safety.md").read_text(), re.MULTILINE))
    assert explained == points


def test_a_crash_point_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no-such-point"):
        crash_points.arm("no-such-point")
    assert crash_points.armed() == ""


def test_an_unarmed_crash_point_costs_nothing() -> None:
    started_s = time.process_time()
    for _ in range(100_000):
        crash_point("report-recorded")
    assert (time.process_time() - started_s) / 100_000 < 5e-6


def test_the_command_line_arms_points_by_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    from search.cli.main import CRASH_VARIABLE, arm_crash_points

    monkeypatch.setitem(os.environ, CRASH_VARIABLE, "report-recorded@7")
    try:
        arm_crash_points()
        assert crash_points.armed() == "report-recorded@7"
    finally:
        crash_points.arm("")


class TestTheAudit:
    """It says what is wrong, or it would be worth nothing."""

    @pytest.fixture
    def copy(self, workspace: Path, twin: Path, tmp_path: Path) -> Path:
        """The undisturbed sweep's workspace, to be spoilt."""
        shutil.copytree(workspace / "mlruns", tmp_path / "mlruns")
        return tmp_path

    def test_a_second_run_a_running_one_and_a_gap_in_a_curve_are_found(self, copy: Path, twin: Path) -> None:
        client = MlflowClient(f"sqlite:///{copy / 'mlruns' / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("undisturbed")
        runs = {
            run.data.tags["trial"]: run.info.run_id
            for run in client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")
        }
        client.create_run(experiment.experiment_id, tags={"kind": "trial", "trial": "0"})
        client.update_run(runs["1"], status="RUNNING")
        client.log_metric(runs["2"], METRIC, 1.0, step=9)
        faults = audit(copy, "undisturbed", METRIC, twin)
        assert [fault for fault in faults if "trial 0 has 2 runs" in fault]
        assert [fault for fault in faults if "the run of trial 1 is RUNNING" in fault]
        assert [fault for fault in faults if "the curve of trial 2" in fault]
        assert len(faults) == 3

    def test_a_lost_trial_another_score_and_left_over_files_are_found(self, copy: Path, twin: Path) -> None:
        sweep = copy / "mlruns/sweeps/undisturbed"
        left = sweep / "trials/0/attempt-1/checkpoints/epoch-1.json"
        left.parent.mkdir(parents=True)
        left.touch()
        lines = (sweep / "ledger.jsonl").read_text().splitlines(keepends=True)
        last = next(i for i, line in enumerate(lines) if '"proposed"' in line and '"number": 2' in line)
        spoilt = [line.replace('"val/loss": 3', '"val/loss": 4', 1) if '"reported"' in line else line for line in lines]
        (sweep / "ledger.jsonl").write_text("".join(spoilt[:last]))
        faults = audit(copy, "undisturbed", METRIC, twin)
        for expected in ("is left over", "2 trials in the ledger", "2 trials instead of 3", "instead of", "completed"):
            assert [fault for fault in faults if expected in fault], expected
