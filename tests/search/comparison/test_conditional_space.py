"""A report on a sweep over the default space, in which a dimension often exists in some trials only."""

from pathlib import Path

import pytest

from search.comparison.report_page import render_report
from search.comparison.sweep_report import SweepReport, read_report
from search.engines import open_engine
from search.experiment.experiment import load_experiment
from search.experiment.settings import BudgetSettings
from search.experiment.workspace import Workspace
from search.ledger.trial import TrialState
from search.objectives.cheap import METRIC
from search.sweep.launch import engine_settings
from tests.command_line import write_experiment
from tests.search.cheap_sweep import CHEAP, CheapSweep

N_TRIALS = 8


def report_on(folder: Path, seed: int) -> SweepReport:
    """Run a sweep of eight trials with the cheap objective, and read its report."""
    changes = {
        "name": "cheap",
        "seed": seed,
        "space": {},
        "objective": {"metric": METRIC, "direction": "minimize", "run": CHEAP},
    }
    experiment = load_experiment(write_experiment(folder, changes))
    workspace = Workspace(folder)
    sweep = CheapSweep(
        workspace.sweep("cheap"), config=experiment.snapshot(), budget=BudgetSettings(trials=N_TRIALS), horizon_epochs=1
    )
    sweep.launch(open_engine(experiment.engine, engine_settings(experiment, "cheap")))
    return read_report("cheap", workspace, "a test")


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_report_can_be_made_of_a_conditional_space(seed: int, tmp_path: Path) -> None:
    report = report_on(tmp_path, seed)
    assert report.sweep.state.count(TrialState.COMPLETED) == N_TRIALS
    page = render_report(report)
    assert page.count("<figure") >= 5
