"""A sweep that runs, seen and steered from another terminal, killed, and resumed.

Its trials would take five minutes each: they end because they are stopped.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from search.ledger.trial import TrialState
from tests.chaos.experiments import METRIC, write_cheap
from tests.command_line import running_sweep, whosehand

SLOW = {
    "objective": {"run": "tests.chaos.slow_objective:train_slowly", "metric": METRIC},
    "training": {"epochs": 300, "precision": "float32"},
    "budget": {"trials": 2},
}
KEYS = {"name", "state", "trials", "best", "running", "budget", "remaining_s", "where"}


@pytest.mark.long
def test_a_running_sweep_is_listed_steered_killed_and_goes_on_as_it_was_steered(tmp_path: Path) -> None:
    experiment = write_cheap(tmp_path, "slow", SLOW)
    assert "no sweep here yet" in whosehand(tmp_path, "status").out
    with running_sweep(tmp_path, experiment, "slow") as sweep:
        sweep.wait_until(lambda state: bool(state.trials and state.trials[0].reports))
        (listed,) = json.loads(whosehand(tmp_path, "status", "--json").out)["sweeps"]
        assert listed.keys() >= KEYS
        assert listed["state"] == "running"
        assert [trial["trial"] for trial in listed["running"]] == [0]
        raised = whosehand(tmp_path, "budget", "slow", "trials=+1")
        assert "of 3 trials" in raised.out
        enqueued = whosehand(tmp_path, "enqueue", "slow", "dropout=2e-1")
        assert enqueued.out == "slow: is tried next: dropout=0.2\n"
        stopped = whosehand(tmp_path, "stop", "slow", "--trial", "0")
        assert stopped.out.startswith("trial 0 of slow stops")
        state = sweep.wait_until(lambda state: state.trials[0].state.is_final and len(state.trials) > 1)
        assert (state.trials[0].state, state.trials[0].reason) == (TrialState.PRUNED, "stopped by the user")
        assert state.trials[1].proposed.is_enqueued
        assert state.trials[1].hyperparameters["dropout"] == 0.2
        assert whosehand(tmp_path, "stop", "slow", "--trial", "1", "--now").out == "trial 1 of slow is stopped.\n"
        sweep.wait_until(lambda state: state.trials[1].state.is_final)
        sweep.kill()
    (listed,) = json.loads(whosehand(tmp_path, "status", "slow", "--json").out)["sweeps"]
    assert listed["state"] == "killed"
    assert "nobody is on 'slow'" in whosehand(tmp_path, "stop", "slow").error
    with running_sweep(tmp_path, experiment, "slow") as sweep:
        sweep.wait_until(lambda state: len(state.trials) == 3 and bool(state.trials[2].reports))
        assert whosehand(tmp_path, "stop", "slow").out == "sweep slow stops when its running epoch is done.\n"
        went_on = sweep.end()
    assert went_on.code == 130
    assert "budget: 3 trials, as set by `whosehand budget`" in went_on.err
    shown = whosehand(tmp_path, "status", "slow").out
    assert "interrupted" in shown
    assert "3 of 3 trials" in shown
    trial = json.loads(whosehand(tmp_path, "show", "slow", "2", "--json").out)
    assert trial["state"] == "running"
    assert trial["epochs"]
    assert "0.2" in whosehand(tmp_path, "show", "slow", "1").out
    assert "trials 0 to 2" in whosehand(tmp_path, "show", "slow", "3").error
    waits = whosehand(tmp_path, "budget", "slow", "trials=4")
    assert "changed when it goes on" in waits.out


def test_what_cannot_be_asked_is_refused_with_one_sentence(tmp_path: Path) -> None:
    assert "No sweep is called 'nothing'" in whosehand(tmp_path, "status", "nothing").error
    assert "No sweep is called 'nothing'" in whosehand(tmp_path, "stop", "nothing").error
    assert "looks like `trials=80`" in whosehand(tmp_path, "budget", "nothing", "80").error
    assert "looks like `learning_rate=1e-3`" in whosehand(tmp_path, "enqueue", "nothing", "x").error


def test_status_needs_neither_tensorflow_nor_mlflow_nor_an_engine() -> None:
    modules = "search.cli.status, search.sweep.status, search.sweep.progress, search.sweep.steering"
    heavy = ("tensorflow", "keras", "mlflow", "optuna", "keras_tuner", "cv2", "sklearn", "scipy", "torch")
    code = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
