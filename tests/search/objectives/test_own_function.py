"""What a machine must be able to import before it gets trials."""

import sys
from pathlib import Path

import pytest

from core.errors import OwnCodeError, WhosehandError
from search.experiment.own_code import find_source
from search.ledger.trial import EpochReport, PruningDecision, TrialSpec, TrialState
from search.objectives.own_function import try_code
from search.objectives.tasks import RUN_OWN, TRY_CODE, CodeTrial, FunctionReference, OwnTask


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module where Python looks; returns the path of its function."""
    (tmp_path / "installed_objective.py").write_text("def run(trial):\n    return 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "installed_objective", raising=False)
    return "installed_objective:run"


def go(report: EpochReport) -> PruningDecision:
    return PruningDecision.GO


def try_out(function: FunctionReference, objective: str = RUN_OWN) -> TrialState:
    task = CodeTrial(objective, OwnTask(function, "val/loss", checkpoints=False, patches=None))
    spec = TrialSpec.of_task(TRY_CODE, task, Path("nowhere"), precision="float32", seed=1, threads=1)
    return try_code(spec, go).state


def test_code_that_is_there_with_the_same_source_passes(installed: str) -> None:
    assert try_out(FunctionReference(installed, sha256=find_source(installed, []).sha256)) is TrialState.COMPLETED


def test_installed_code_with_another_source_is_refused(installed: str) -> None:
    with pytest.raises(OwnCodeError, match="'installed_objective:run' has another source than"):
        try_out(FunctionReference(installed, sha256="0" * 64))


def test_code_that_is_missing_is_refused_with_its_name() -> None:
    with pytest.raises(OwnCodeError, match="'nowhere_here:run' cannot be imported: No module named 'nowhere_here'"):
        try_out(FunctionReference("nowhere_here:run"))


def test_what_runs_the_trials_is_imported_too(installed: str) -> None:
    with pytest.raises(WhosehandError, match="no_such_room:train"):
        try_out(FunctionReference(installed), objective="search.no_such_room:train")
