"""A report on a sweep over the default space, in which a dimension often exists in some trials
only.
"""

from pathlib import Path

import pytest

from search.comparison.report_page import render_report
from search.comparison.sweep_report import read_report
from search.experiment.workspace import Workspace
from search.ledger.trial import TrialState
from tests.search.comparison.conditional_sweep import N_TRIALS, run_conditional_sweep


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3, 4))])
def test_a_report_can_be_made_of_a_conditional_space(seed: int, tmp_path: Path) -> None:
    run_conditional_sweep(tmp_path, seed)
    report = read_report("cheap", Workspace(tmp_path), "a test")
    assert report.sweep.state.count(TrialState.COMPLETED) == N_TRIALS
    assert render_report(report).count("<figure") >= 5
