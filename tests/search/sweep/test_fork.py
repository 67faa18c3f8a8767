from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import ConfigError, LedgerError
from search.experiment.changes import differences, free_changes, identity_of
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.workspace import Workspace
from search.ledger.events import Launched
from search.ledger.ledger import open_ledger
from search.sweep.known_sweeps import forked
from tests.command_line import write_experiment

Read = Callable[..., Experiment]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The small experiment, with overrides."""
    return lambda *overrides: load_experiment(write_experiment(tmp_path), overrides)


@pytest.fixture
def workspace(tmp_path: Path, read: Read) -> Workspace:
    """In which the small experiment's sweep was begun."""
    workspace, experiment = Workspace(tmp_path), read()
    folder = workspace.sweep(experiment.name)
    with open_ledger(folder, name="tiny", config=experiment.snapshot(), version="1", git_commit="") as ledger:
        ledger.append(lambda at_ms: Launched(at_ms, "host", 1, 1, 1, "float32"))
    return workspace


def test_a_fork_is_the_changed_experiment_under_another_name(read: Read, workspace: Workspace) -> None:
    changed = read("training.epochs=9")
    fork = forked(changed, "longer", workspace)
    assert fork.name == "longer"
    assert identity_of(fork.snapshot()) == identity_of(changed.snapshot())
    assert fork.description.startswith("Forked from tiny (tiny-")
    assert fork.description.endswith("training.epochs: 4 -> 9")
    assert fork.model_name == "whosehand-longer"


def test_the_same_command_goes_on_with_a_fork(read: Read, workspace: Workspace) -> None:
    first = forked(read("training.epochs=9"), "longer", workspace)
    again = forked(read("training.epochs=9"), "longer", workspace)
    assert differences(first.snapshot(), again) == []
    assert free_changes(first.snapshot(), again) == []


def test_a_fork_of_what_has_not_changed_is_refused(read: Read, workspace: Workspace) -> None:
    with pytest.raises(LedgerError, match="nothing that decides a score has changed"):
        forked(read("budget.trials=50"), "more", workspace)


def test_a_fork_of_a_sweep_that_is_not_there_is_refused(read: Read, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="tiny"):
        forked(read("training.epochs=9"), "longer", Workspace(tmp_path / "empty"))


@pytest.mark.parametrize("name", ["tiny", "No Name", "x" * 61])
def test_a_fork_needs_a_name_of_its_own(name: str, read: Read, workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="name"):
        forked(read("training.epochs=9"), name, workspace)


def test_what_may_change_is_reported_and_no_difference(read: Read) -> None:
    old = read().snapshot()
    new = read("budget.trials=7", "executor.silent_minutes=5")
    assert differences(old, new) == []
    assert free_changes(old, new) == ["budget.trials: 3 -> 7", "executor.silent_minutes: null -> 5.0"]
    del old["executor"]["silent_minutes"]  # as an older version wrote it
    assert free_changes(old, new) == ["budget.trials: 3 -> 7"]
