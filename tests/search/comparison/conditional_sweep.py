"""A cheap sweep of eight trials over the space of 0.1: some dimensions exist in some trials
only.
"""

from pathlib import Path

from search.engines import open_engine
from search.experiment.experiment import load_experiment
from search.experiment.settings import BudgetSettings
from search.experiment.workspace import Workspace
from search.objectives.cheap import METRIC
from search.sweep.launch import engine_settings
from tests.command_line import write_experiment
from tests.search.cheap_sweep import CHEAP, CheapSweep

N_TRIALS = 8


def run_conditional_sweep(folder: Path, seed: int) -> None:
    """Run it in `folder`, under the name `cheap`."""
    changes = {
        "name": "cheap",
        "seed": seed,
        "space": {"preset": "pooled"},
        "objective": {"metric": METRIC, "direction": "minimize", "run": CHEAP},
    }
    experiment = load_experiment(write_experiment(folder, changes))
    sweep = CheapSweep(
        Workspace(folder).sweep("cheap"),
        config=experiment.snapshot(),
        budget=BudgetSettings(trials=N_TRIALS),
        horizon_epochs=1,
    )
    sweep.launch(open_engine(experiment.engine, engine_settings(experiment, "cheap")))
