"""Sweeps of the user's own code, without a corpus: what reaches the workers, what is recorded, what
is refused.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import ConfigError, LedgerError, OwnCodeError, RegistryError
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.objective_settings import ObjectiveSettings
from search.experiment.settings import BudgetSettings
from search.experiment.space_settings import SpaceSettings
from search.experiment.workspace import Workspace
from search.ledger.trial import TrialState
from search.promotion.plan import PromotionChoice, prepare_promotion
from search.sweep.known_sweeps import KnownSweep, forked, read_sweep
from search.sweep.launch import launch_sweep
from search.sweep.progress import SilentProgress

FILE = """\
name: own
budget: {trials: 3}
objective: descent:run
training: {epochs: 3}
executor: {workers: 1}
space: {dimensions: {x: {type: real, low: 0, high: 1}}}
"""
MODULE = """\
import os, signal
from pathlib import Path

def run(trial):
    loss = trial.params["x"]
    for epoch in range(trial.n_epochs):
        loss /= DIVISOR
        flag = Path("died")
        if trial.number == 1 and epoch == 1 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        trial.report(loss)
    return loss

DIVISOR = 2
"""


def launch(experiment: Experiment, folder: Path) -> KnownSweep:
    workspace = Workspace(folder)
    launch_sweep(experiment, workspace, SilentProgress())
    return read_sweep(experiment.name, workspace)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(FILE)
    (tmp_path / "descent.py").write_text(MODULE)
    return tmp_path


@pytest.mark.long
def test_a_module_beside_the_file_is_swept_survives_a_kill_and_is_not_resumed_when_it_changed(project: Path) -> None:
    experiment = load_experiment(project / "own.yaml")
    trials = launch(experiment, project).state.trials
    assert [trial.state for trial in trials.values()] == [TrialState.COMPLETED] * 3
    assert [trial.n_lost for trial in trials.values()] == [0, 1, 0]
    assert trials[1].starts[-1].start_epoch == 0  # it has no checkpoint, and starts again
    for trial in trials.values():
        assert trial.result is not None
        assert trial.result.value == pytest.approx(float(trial.proposed.point["x"]) / 8)
    assert (project / "mlruns/sweeps/own/own_code/descent.py").read_text() == MODULE

    with pytest.raises(RegistryError, match=r"searches with descent:run and has no `corpus`. Its best values are"):
        prepare_promotion("own", Workspace(project), PromotionChoice())

    more = load_experiment(project / "own.yaml", ["budget.trials=4"])
    assert len(launch(more, project).state.trials) == 4
    (project / "descent.py").write_text(MODULE.replace("DIVISOR = 2", "DIVISOR = 4"))
    with pytest.raises(LedgerError, match=r"the source of descent:run: .*--fork NEW_NAME"):
        launch_sweep(more, Workspace(project), SilentProgress())
    fork = forked(load_experiment(project / "own.yaml", ["budget.trials=1"]), "own-2", Workspace(project))
    (trial,) = launch(fork, project).state.trials.values()
    assert trial.result is not None
    assert trial.result.value == pytest.approx(float(trial.proposed.point["x"]) / 64)


def closed_over(array: Any) -> Callable[[Any], float]:
    def distance(trial: Any) -> float:
        return abs(float(array.mean()) - float(trial.params["x"]))

    return distance


@pytest.mark.long
def test_a_function_closed_over_a_large_array_travels_once(project: Path) -> None:
    array = np.full(2_000_000, 0.5)
    experiment = Experiment(
        name="closed",
        objective=ObjectiveSettings(run=closed_over(array)),
        budget=BudgetSettings(trials=3),
        space=SpaceSettings(dimensions={"x": {"type": "real", "low": 0, "high": 1}}),
    )
    sweep = launch(experiment, project)
    for trial in sweep.state.trials.values():
        assert trial.result is not None
        assert trial.result.value == pytest.approx(abs(0.5 - float(trial.proposed.point["x"])))
    (pickle,) = sweep.folder.glob("own_code/*.pickle")
    others = sum(path.stat().st_size for path in sweep.folder.rglob("*") if path.is_file() and path != pickle)
    assert pickle.stat().st_size > array.nbytes > 10 * others
    (source,) = sweep.folder.glob("own_code/*.txt")
    assert "array.mean()" in source.read_text()


def test_what_cannot_be_pickled_is_refused_before_anything_starts(project: Path) -> None:
    import threading

    experiment = Experiment(
        name="locked",
        objective=ObjectiveSettings(run=closed_over(threading.Lock())),
        budget=BudgetSettings(trials=1),
        space=SpaceSettings(dimensions={"x": {"type": "real", "low": 0, "high": 1}}),
    )
    with pytest.raises(OwnCodeError, match="must be picklable, to reach a worker, but: TypeError"):
        launch_sweep(experiment, Workspace(project), SilentProgress())
    assert not (project / "mlruns/sweeps/locked/ledger.jsonl").exists()


def test_an_engine_that_pauses_is_refused_for_an_objective_without_checkpoints(project: Path) -> None:
    for engine in ("engine.pruner=asha", "engine={name: keras_tuner, oracle: hyperband}"):
        with pytest.raises(ConfigError, match=r"engine: pauses trials .* but descent:run leaves none"):
            load_experiment(project / "own.yaml", [engine])
    load_experiment(project / "own.yaml", ["engine.pruner=asha", "objective={run: descent:run, checkpoints: true}"])
