"""Pause and go on, with real networks, from the command line to MLflow: the same weights, one
trial, one run.
"""

from pathlib import Path

import keras
import numpy as np
import pytest
from mlflow import MlflowClient

from search.experiment.workspace import Workspace
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.sweep.known_sweeps import KnownSweep, read_sweep
from tests.command_line import whosehand, write_experiment

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
N_TRIALS = 6
ENGINES = {
    "whole": {"name": "optuna", "sampler": "random"},
    "asha": {"name": "optuna", "sampler": "random", "pruner": "asha", "rung_first_epoch": 1, "rung_factor": 2},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same random points twice: each trial trained through, and with pauses at the rungs 1 and
    2 of 4 epochs.
    """
    folder = tmp_path_factory.mktemp("asha")
    for name, engine in ENGINES.items():
        changes = {"name": name, "engine": engine, "training": {"epochs": 4}, "budget": {"trials": N_TRIALS}}
        answer = whosehand(folder, "sweep", write_experiment(folder, changes))
        assert answer.code == 0, answer.err
    return folder


def sweep(folder: Path, name: str) -> KnownSweep:
    return read_sweep(name, Workspace(folder))


def weights(folder: Path, name: str, number: int) -> list[np.ndarray]:
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    condition = f"tags.kind = 'trial' and tags.trial = '{number}'"
    (run,) = client.search_runs([experiment.experiment_id], condition)
    (model,) = (output for output in run.outputs.model_outputs)
    path = client.get_logged_model(model.model_id).artifact_location
    (file,) = Path(path.removeprefix("file://")).rglob("*.keras")
    return [np.asarray(variable) for variable in keras.models.load_model(file).weights]


def went_on(trial: TrialRecord) -> bool:
    return trial.state is TrialState.COMPLETED and trial.segment_first_attempt > 1


def test_a_trial_that_waited_at_rungs_has_the_curve_and_weights_of_one_that_never_stopped(folder: Path) -> None:
    paused, whole = sweep(folder, "asha").state.trials, sweep(folder, "whole").state.trials
    resumed = [trial for trial in paused.values() if went_on(trial)]
    assert resumed, "a trial was paused, went on and completed"
    for trial in resumed:
        twin = whole[trial.number]
        assert trial.proposed.hyperparameters == twin.proposed.hyperparameters
        curves = [[e.report.metrics["val/image_logloss"] for e in t.reports] for t in (trial, twin)]
        assert curves[0] == curves[1]
        assert trial.value == twin.value
        arrays = [weights(folder, name, trial.number) for name in ("asha", "whole")]
        assert len(arrays[0]) == len(arrays[1]) > 0
        assert all(np.array_equal(one, other) for one, other in zip(*arrays, strict=True))


def test_every_trial_is_one_run_whatever_its_pauses(folder: Path) -> None:
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("asha")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")
    state = sweep(folder, "asha").state
    assert len(runs) == len(state.trials) == N_TRIALS
    expected = {TrialState.COMPLETED: "FINISHED", TrialState.PAUSED: "SCHEDULED"}
    by_number = {int(run.data.tags["trial"]): run for run in runs}
    for number, trial in state.trials.items():
        assert by_number[number].info.status == expected[trial.state]
        history = client.get_metric_history(by_number[number].info.run_id, "val/image_logloss")
        assert [point.step for point in history] == list(range(1, trial.n_epochs + 1)), "an unbroken curve"


def test_nothing_that_waits_was_among_the_best_of_its_rung(folder: Path) -> None:
    trials = sweep(folder, "asha").state.trials.values()
    first = {trial.number: trial.reports[0].report.metrics["val/image_logloss"] for trial in trials}
    best_half = sorted(first, key=lambda number: first[number])[: N_TRIALS // 2]
    waiting = {trial.number for trial in trials if trial.state is TrialState.PAUSED and trial.n_epochs == 1}
    assert waiting.isdisjoint(best_half)
