"""Whole sweeps with every engine, with workers that cost milliseconds."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from core.space import Real, SearchSpace
from search.engines import open_engine
from search.engines.base import EngineSettings
from search.executors.local.executor import LocalExecutor, modules_to_preload
from search.experiment.engine_settings import EngineChoice
from search.experiment.settings import BudgetSettings
from search.ledger.ledger import read_ledger
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.objectives.cheap import METRIC, CheapSettings
from search.sweep.loop import run_sweep
from search.sweep.plan import SweepOutcome
from tests.search.cheap_sweep import CHEAP, CheapSweep

SPACE = SearchSpace((Real("x", 0.0, 1.0), Real("y", 0.0, 1.0)))
CHOICES: dict[str, dict[str, Any]] = {
    "hyperband": {"name": "keras_tuner", "oracle": "hyperband", "factor": 3},
    "bayesian": {"name": "keras_tuner", "oracle": "bayesian", "num_initial_points": 5},
    "tpe": {"name": "optuna", "sampler": "tpe", "n_startup_trials": 5},
    "cmaes": {"name": "optuna", "sampler": "cmaes", "n_startup_trials": 5},
    "asha": {"name": "optuna", "sampler": "tpe", "n_startup_trials": 5, "pruner": "asha", "rung_first_epoch": 1},
    "hyperband pruner": {"name": "optuna", "sampler": "random", "pruner": "hyperband", "rung_first_epoch": 1},
}
CHOICE: TypeAdapter[EngineChoice] = TypeAdapter(EngineChoice)
HAS_RUNGS = ("hyperband", "asha", "hyperband pruner")


def launch(sweep: CheapSweep, name: str, **changes: Any) -> SweepOutcome:
    settings = EngineSettings(SPACE, (), 7, METRIC, "minimize", sweep.horizon_epochs, "cheap")
    engine = open_engine(CHOICE.validate_python({**CHOICES[name], **changes}), settings)
    executor = LocalExecutor(sweep.n_workers, 1, preload=modules_to_preload(CHEAP))
    with sweep.open() as ledger:
        return run_sweep(ledger, sweep.plan(), engine, executor, progress=sweep.progress)


def cheap(folder: Path, name: str, n_workers: int, n_trials: int) -> CheapSweep:
    return CheapSweep(
        folder,
        n_workers=n_workers,
        horizon_epochs=9 if name in HAS_RUNGS else 2,
        budget=BudgetSettings(trials=n_trials),
        settings=CheapSettings(failing=frozenset({4, 15}), dying=frozenset({6})),
    )


def trials_of(sweep: CheapSweep) -> list[TrialRecord]:
    return list(read_ledger(sweep.folder).trials.values())


def in_short(sweep: CheapSweep) -> list[tuple[Any, ...]]:
    return [(t.proposed.point, t.state, t.n_epochs, t.ended and t.ended.result.value) for t in trials_of(sweep)]


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("name", CHOICES)
def test_a_sweep_uses_its_budget_though_trials_fail(name: str, n_workers: int, tmp_path: Path) -> None:
    sweep = cheap(tmp_path / "cheap", name, n_workers, 17)
    # An ask of a Gaussian process takes as much of a processor as all else here.
    outcome = launch(sweep, name, **({"num_initial_points": 14} if name == "bayesian" else {}))
    trials = trials_of(sweep)
    assert outcome.status == "completed"
    assert outcome.n_by_state.total() == len(trials) == 17
    assert len({str(trial.proposed.point) for trial in trials}) == 17
    # Where a rung ended a trial after one epoch, it never came to the second, in which it would
    # have failed.
    failed = {trial.number for trial in trials if trial.state is TrialState.FAILED}
    assert failed <= {4, 15}
    waiting = {trial.n_epochs for trial in trials if trial.state is TrialState.PAUSED}
    match name:
        case "hyperband":
            assert 15 in failed
            assert waiting == {1, 3}
            assert outcome.n_by_state[TrialState.COMPLETED] == 1 + 2 + 3 - len(failed - {4})
        case "asha":
            assert waiting == {1, 3}
            assert outcome.n_by_state[TrialState.COMPLETED] >= 1
        case "hyperband pruner":
            assert outcome.n_by_state[TrialState.PRUNED] >= 5
            assert {trial.n_epochs for trial in trials if trial.state is TrialState.PRUNED} <= {1, 3, 9}
        case _:
            assert outcome.n_by_state == {TrialState.COMPLETED: 15, TrialState.FAILED: 2}
    if name in HAS_RUNGS:
        assert all(trial.n_epochs == 9 for trial in trials if trial.state is TrialState.COMPLETED)


@pytest.mark.parametrize("name", CHOICES)
def test_a_sweep_in_two_launches_is_the_sweep_in_one(name: str, tmp_path: Path) -> None:
    n_first, n_trials = (6, 8) if name == "bayesian" else (7, 12)
    whole = cheap(tmp_path / "whole", name, 1, n_trials)
    launch(whole, name)
    halves = cheap(tmp_path / "halves", name, 1, n_first)
    launch(halves, name)
    halves.budget = BudgetSettings(trials=n_trials)
    launch(halves, name)
    assert in_short(halves) == in_short(whole)


@pytest.mark.parametrize("name", ["tpe", "cmaes", "asha", "hyperband"])
def test_a_sweep_killed_anywhere_proposes_and_ends_as_the_undisturbed_one(name: str, tmp_path: Path) -> None:
    """A driver that dies leaves the ledger up to some line, perhaps half a line more, and files
    that nobody knows.
    """
    n_trials = 12
    whole = cheap(tmp_path / "whole", name, 1, n_trials)
    launch(whole, name)
    lines = (whole.folder / "ledger.jsonl").read_text().splitlines(keepends=True)
    n_kept = 2 * len(lines) // 3
    cut = cheap(tmp_path / "cut", name, 1, n_trials)
    shutil.copytree(whole.folder, cut.folder)
    (cut.folder / "ledger.jsonl").write_text("".join(lines[:n_kept]) + lines[n_kept][:20])
    launch(cut, name)
    assert in_short(cut) == in_short(whole)
