from pathlib import Path

import pytest

from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.ledger.ledger import read_ledger
from search.ledger.trial import TrialState
from search.promotion.refit import refit_folder
from tests.command_line import Project

pytest_plugins = ["tests.finished_project"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_refit_trains_the_best_trials_point_over_its_own_horizon(finished_project: Project) -> None:
    sweep = read_ledger(finished_project.sweep)
    best = sweep.best("minimize")
    assert best is not None
    assert sweep.created is not None
    experiment = Experiment.model_validate(sweep.created.config)
    folder = refit_folder(Workspace(finished_project.folder), experiment, best.number, 2)
    assert folder == finished_project.sweep / "refits" / f"trial-{best.number:03d}-2-epochs"
    refit = read_ledger(folder)
    assert list(refit.trials) == [0]
    assert refit.trials[0].state is TrialState.COMPLETED
    assert refit.trials[0].proposed.hyperparameters == best.proposed.hyperparameters
    assert [event.report.epoch for event in refit.trials[0].reports] == [1, 2]
    assert refit.created is not None
    assert refit.created.config == {"sweep_id": sweep.created.sweep_id, "trial": best.number, "epochs": 2}


def test_a_finished_refit_is_not_trained_again(finished_project: Project) -> None:
    (folder,) = (finished_project.sweep / "refits").iterdir()
    assert read_ledger(folder).trials[0].n_attempts == 1


def test_the_refit_of_other_lengths_or_trials_has_a_folder_of_its_own(finished_project: Project) -> None:
    created = read_ledger(finished_project.sweep).created
    assert created is not None
    experiment = Experiment.model_validate(created.config)
    workspace = Workspace(Path("here"))
    folders = {refit_folder(workspace, experiment, trial, epochs) for trial in (0, 1) for epochs in (2, 20)}
    assert len(folders) == 4
