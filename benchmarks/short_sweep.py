"""A sweep of the seed recipe that does everything a real one does, a few patches an epoch."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.corpora import hands_experiment, prepare_experiment
from benchmarks.report import notes
from core.networks.presets import seed_recipe
from core.settings import PatchSettings, TrainingSettings
from search.experiment.experiment import Experiment
from search.experiment.settings import BudgetSettings
from search.experiment.workspace import whosehand_version
from search.ledger.ledger import open_ledger
from search.ledger.state import SweepState
from search.sweep.given_points import FixedEngine
from search.sweep.launch import patch_task, sweep_plan
from search.sweep.loop import run_sweep
from search.sweep.progress import make_progress
from search.sweep.tracking_queue import Tracker
from search.sweep.workers import local_executor


def short_experiment(n_patches: int, n_epochs: int) -> Experiment:
    """Ten generated writers of four short pages, and the seed recipe."""
    return hands_experiment(n_writers=10, n_pages=4, n_lines=4).model_copy(
        update={
            "patches": PatchSettings(patches_per_epoch=n_patches),
            "training": TrainingSettings(epochs=n_epochs),
        }
    )


def run_short_sweep(
    experiment: Experiment,
    folder: Path,
    n_trials: int,
    tracker: Tracker | None = None,
    keeps_checkpoints: bool = True,
) -> SweepState:
    """Run the seed recipe `n_trials` times, one worker after the other, each with a seed of its
    own.

    Args:
        experiment: of `short_experiment`.
        folder: for ledger and files of the sweep.
        n_trials: how many.
        tracker: such as MLflow's.
        keeps_checkpoints: whether every epoch leaves one.

    Returns:
        The folded ledger.
    """
    corpus = prepare_experiment(experiment)
    task = replace(patch_task(experiment, corpus, folder), keeps_checkpoints=keeps_checkpoints)
    plan = sweep_plan(experiment, task, experiment.training.epochs, BudgetSettings(trials=n_trials))
    engine = FixedEngine([seed_recipe().as_dict()] * n_trials)
    executor = local_executor(experiment, experiment.objective.run, n_workers=1)
    with open_ledger(
        folder, name=experiment.name, config=experiment.snapshot(), version=whosehand_version(), git_commit=""
    ) as ledger:
        run_sweep(ledger, plan, engine, executor, tracker, make_progress(notes))
        return ledger.state


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder on the disk of the current one, removed afterwards; `/tmp` may be memory."""
    parent = Path.cwd() / "data"
    parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=parent) as folder:
        yield Path(folder)
