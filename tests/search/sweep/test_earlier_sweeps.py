import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import ConfigError, LedgerError
from search.experiment.changes import as_begun, differences
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.workspace import Workspace
from search.ledger.ranking import rank
from search.sweep.earlier_sweeps import with_learned_points
from search.sweep.known_sweeps import read_sweep
from search.sweep.progress import SilentProgress
from tests.command_line import write_experiment

Read = Callable[..., Experiment]
EARLIER = Path(__file__).parents[2] / "data" / "ledgers_0_1"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Of version 0.1, with the sweeps tiny and tpe."""
    shutil.copytree(EARLIER, tmp_path / "project")
    return Workspace(tmp_path / "project")


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The small experiment, which learns from tiny, with overrides."""
    path = write_experiment(
        tmp_path, {"name": "pupil", "engine": {"name": "optuna", "sampler": "random", "learn_from": ["tiny"]}}
    )
    return lambda *overrides: load_experiment(path, overrides)


def test_the_best_points_of_an_earlier_sweep_are_tried_first(read: Read, workspace: Workspace) -> None:
    earlier = read_sweep("tiny", workspace).state.trials.values()
    best = rank(earlier, "minimize")
    assert best
    pupil = with_learned_points(read(), workspace, SilentProgress())
    points = pupil.space.enqueued_points(pupil.complete)
    assert len(points) == len(best)
    for point, trial in zip(points, best, strict=True):
        assert pupil.space.search_space().contains(point)
        assert point["learning_rate"] == trial.hyperparameters["learning_rate"]


def test_points_that_the_file_says_come_after_them(read: Read, workspace: Workspace) -> None:
    pupil = with_learned_points(read("space.enqueue=[{dropout: 0.25}]"), workspace, SilentProgress())
    assert pupil.space.enqueue[-1] == {"dropout": 0.25}
    assert len(pupil.space.enqueue) > 1


def test_points_that_the_space_does_not_hold_are_left_out(read: Read, workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="no completed trial of it has a point in this space"):
        with_learned_points(
            read("space.dimensions.dropout={type: categorical, choices: [0.125]}"), workspace, SilentProgress()
        )


def test_what_was_learned_stays_when_the_sweep_goes_on(read: Read, workspace: Workspace) -> None:
    begun = with_learned_points(read(), workspace, SilentProgress()).snapshot()
    assert differences(begun, as_begun(read(), begun)) == []
    assert differences(begun, as_begun(read("engine.learn_from=[]"), begun)) != []
    assert differences(begun, as_begun(read("engine.learn_from=[tiny, tpe]"), begun)) != []


def test_a_teacher_that_is_not_there_or_is_the_sweep_itself_is_refused(read: Read, workspace: Workspace) -> None:
    with pytest.raises(LedgerError, match=r"No sweep is called 'gone'.*there are tiny, tpe"):
        with_learned_points(read("engine.learn_from=[gone]"), workspace, SilentProgress())
    with pytest.raises(ConfigError, match="names itself"):
        with_learned_points(read("engine.learn_from=[pupil]"), workspace, SilentProgress())
