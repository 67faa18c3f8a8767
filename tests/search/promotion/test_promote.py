from pathlib import Path

import pytest

from core.errors import LedgerError, RegistryError
from search.experiment.workspace import Workspace
from search.ledger.ledger import open_ledger, read_ledger
from search.promotion.plan import PromotionChoice
from search.promotion.promote import promote
from search.sweep.progress import SilentProgress
from tests.command_line import Project, records_of

pytest_plugins = ["tests.finished_project"]


def test_an_unknown_sweep_cannot_be_promoted(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="No sweep is called 'tiny'"):
        promote("tiny", Workspace(tmp_path), PromotionChoice(), SilentProgress())


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestAFinishedSweep:
    def test_only_completed_trials_can_be_chosen(self, finished_project: Project) -> None:
        workspace = Workspace(finished_project.folder)
        with records_of(finished_project.folder), pytest.raises(RegistryError, match=r"\(0, 1, 2\), but got 7"):
            promote("tiny", workspace, PromotionChoice(trial=7), SilentProgress())

    def test_a_sweep_without_a_trial_cannot_be_promoted(self, finished_project: Project, tmp_path: Path) -> None:
        created = read_ledger(finished_project.sweep).created
        assert created is not None
        workspace = Workspace(tmp_path)
        open_ledger(workspace.sweep("tiny"), name="tiny", config=created.config, version="0", git_commit="").close()
        with pytest.raises(RegistryError, match="needs a completed trial, but none of the 0 trials"):
            promote("tiny", workspace, PromotionChoice(), SilentProgress())
