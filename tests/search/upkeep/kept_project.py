"""A project with a finished sweep of the cheap objective, to be copied and damaged."""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from search.engines import open_engine
from search.executors.local.executor import LocalExecutor, modules_to_preload
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.workspace import Workspace
from search.ledger.ledger import open_ledger
from search.objectives.cheap import METRIC, CheapSettings
from search.objectives.tasks import PatchTask
from search.sweep.launch import engine_settings, search_facts, sweep_plan
from search.sweep.loop import run_sweep
from search.tracking.runs import TrackedDataset
from search.tracking.store import TrackingStore, locate_store, open_store
from search.tracking.tracker import MlflowTracker
from search.upkeep.moved_projects import settle_project
from tests.command_line import TINY, write_experiment
from tests.search.cheap_sweep import CHEAP

NAME = "tiny"
N_TRIALS, N_EPOCHS = 4, 2
DATA = TrackedDataset("hands train", "train", "f00d" * 16, "data/hands", {"images": 10})


def print_to_stderr(text: str) -> None:
    """What a tracker says, for tests that look for it."""
    print(text, file=sys.stderr)


def make_project(folder: Path, enqueue: Sequence[str] = ()) -> None:
    """Run the sweep, with driver, worker processes, Optuna in a database, and MLflow."""
    experiment = read_experiment(folder, enqueue)
    workspace = Workspace(folder)
    with open_ledger(
        workspace.sweep(NAME), name=NAME, config=experiment.snapshot(), version="0.1.0", git_commit=""
    ) as ledger:
        store = open_store(experiment.tracking, folder)
        plan = sweep_plan(experiment, _no_task(), N_EPOCHS, experiment.budget)
        run_sweep(
            ledger,
            replace(plan, settings=CheapSettings()),
            open_engine(experiment.engine, engine_settings(experiment, ledger.created.sweep_id)),
            LocalExecutor(1, 1, preload=modules_to_preload(CHEAP)),
            MlflowTracker(store, NAME, search_facts(experiment), experiment.tracking, (DATA,), say=print_to_stderr),
        )


def read_experiment(folder: Path, enqueue: Sequence[str] = ()) -> Experiment:
    """The small experiment with the cheap objective, and a database for the study in the current
    folder.
    """
    changes = {
        "objective": {"metric": METRIC, "direction": "minimize", "run": CHEAP},
        "engine": {"name": "optuna", "sampler": "random", "storage": "sqlite:///optuna.db"},
        "training": {"epochs": N_EPOCHS, "precision": "float32"},
        "budget": {"trials": N_TRIALS},
    }
    space = yaml.safe_load(TINY.replace("1e-", "1.0e-"))["space"] | {"enqueue": list(enqueue)}
    return load_experiment(write_experiment(folder, changes | {"space": space}))


def copy_project(original: Path, folder: Path) -> TrackingStore:
    """Copy a project; the copy's records point to the copy's files. The copy becomes the current
    folder.
    """
    shutil.copytree(original, folder, dirs_exist_ok=True)
    os.chdir(folder)
    store = locate_store(root=folder)
    settle_project(Workspace(folder), store, None)
    for backup in (folder / "mlruns").glob("mlflow.db.before-fix-*"):
        backup.unlink()
    return open_store(root=folder)


def _no_task() -> PatchTask:
    """The cheap objective reads no corpus."""
    return None  # type: ignore[return-value]
