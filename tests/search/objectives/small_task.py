"""What the smallest trial of the generated corpus is told."""

from pathlib import Path

from search.experiment.experiment import load_experiment
from search.experiment.workspace import Workspace
from search.objectives.tasks import PatchTask
from search.sweep.launch import patch_task
from search.sweep.preparation import prepare_corpus
from tests.command_line import write_experiment


def small_task(folder: Path) -> PatchTask:
    """The task of a sweep in an empty folder: 96 patches an epoch."""
    experiment = load_experiment(write_experiment(folder), ["patches.patches_per_epoch=96"])
    return patch_task(experiment, prepare_corpus(experiment, Workspace(folder)), folder / "sweep")
