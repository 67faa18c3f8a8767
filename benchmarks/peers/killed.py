"""Runs each peer, kills it with SIGKILL in the middle of its third trial, starts it again, and
prints what was seen.

    python -m benchmarks.peers.killed                      (all three, some minutes)
    python -m benchmarks.peers.killed whosehand optuna
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import optuna
import psutil
from mlflow import MlflowClient
from mlflow.entities import Run

from search.ledger.ledger import read_ledger

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "docs" / "peers"
PEERS = ("whosehand", "optuna", "keras_tuner")
KILL_AT_EPOCH = 8  # of 3 a trial: the third trial has two behind it


def n_lines(peer: str) -> int:
    """The lines of the user's code, without blank ones and the sentence at its head."""
    text = (SCRIPTS / f"with_{peer}.py").read_text(encoding="utf-8")
    return sum(bool(line.strip()) for line in text.splitlines()[1:])


def main() -> None:
    """Run the peers that the command names."""
    for peer in sys.argv[1:] or PEERS:
        with tempfile.TemporaryDirectory(prefix="peers-") as folder:
            print(f"\n{peer}: {n_lines(peer)} lines", flush=True)
            _run(peer, Path(folder))


def _run(peer: str, folder: Path) -> None:
    for name in ("job.py", f"with_{peer}.py"):
        shutil.copy(SCRIPTS / name, folder)
    first = _start(peer, folder)
    while _n_epochs(folder) < KILL_AT_EPOCH and first.poll() is None:
        time.sleep(0.05)
    children = psutil.Process(first.pid).children(recursive=True) if first.poll() is None else []
    first.send_signal(signal.SIGKILL)
    first.wait()
    _, left = psutil.wait_procs(children, timeout=15)
    print(f"  killed after {_n_epochs(folder)} epochs; processes left behind: {len(left)}")
    _show(folder)
    _show_own(peer, folder)
    started_s = time.monotonic()
    code = _start(peer, folder).wait()
    print(f"  started again: exit code {code}, {time.monotonic() - started_s:.0f} s, {_n_epochs(folder)} epochs in all")
    print(f"  {(folder / 'out.log').read_text(encoding='utf-8').strip().splitlines()[-1]}")
    _show(folder)
    _show_own(peer, folder)


def _start(peer: str, folder: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with (folder / "out.log").open("wb") as log:
        command = [sys.executable, f"with_{peer}.py"]
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)


def _n_epochs(folder: Path) -> int:
    path = folder / "epochs.log"
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def _show(folder: Path) -> None:
    """Print what MLflow has: runs by status, with their params, points of curves and models."""
    database = next((path for path in folder.rglob("mlflow.db")), None)
    if database is None:
        print("  MLflow: nothing")
        return
    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("digits")
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    trials = [run for run in runs if run.data.tags.get("kind") != "sweep"]
    statuses = Counter(run.info.status for run in trials)
    print(f"  MLflow: {len(trials)} runs of trials ({', '.join(f'{n} {status}' for status, n in statuses.items())})")
    for run in sorted(trials, key=lambda run: run.info.start_time):
        points = sum(len(client.get_metric_history(run.info.run_id, key)) for key in _losses(run))
        models = len(run.outputs.model_outputs) if run.outputs else 0
        names = sorted(run.data.params)
        print(f"    {run.info.status:9}  {points} points of a loss, {models} models, {len(names)} params {names[:4]}")


def _show_own(peer: str, folder: Path) -> None:
    """Print in which states the peer's own record has its trials."""
    states: list[str] = []
    if peer == "optuna":
        study = optuna.load_study(study_name="digits", storage=f"sqlite:///{folder}/optuna.db")
        states = [trial.state.name for trial in study.trials]
    elif peer == "keras_tuner":
        files = sorted(folder.glob("tuner/digits/trial_*/trial.json"))
        states = [json.loads(path.read_text(encoding="utf-8"))["status"] for path in files]
    elif peer == "whosehand":
        states = [str(trial.state) for trial in read_ledger(folder / "mlruns/sweeps/digits").trials.values()]
    counted = ", ".join(f"{n} {state}" for state, n in Counter(states).items())
    print(f"  its own record: {len(states)} trials ({counted})")


def _losses(run: Run) -> list[str]:
    return [key for key in run.data.metrics if key in ("val_loss", "val/loss")]


if __name__ == "__main__":
    main()
