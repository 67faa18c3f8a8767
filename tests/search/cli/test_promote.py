from collections.abc import Callable
from pathlib import Path

import pytest

from search.experiment.settings import TrackingSettings
from search.tracking.aliases import set_champion
from search.tracking.registry import register_version
from search.tracking.store import open_store
from tests.command_line import Answer, Project, whosehand, write_experiment
from tests.search.promotion.logged_model import logged_model

pytest_plugins = ["tests.finished_project"]
Command = Callable[..., Answer]


def test_an_unknown_sweep_is_refused_and_the_known_ones_are_named(command: Command, tmp_path: Path) -> None:
    message = command("promote", "nothing").error
    assert message.startswith("No sweep is called 'nothing' in ")
    assert "`whosehand sweep EXPERIMENT` makes one" in message
    for name in ("first", "second"):
        (tmp_path / "mlruns" / "sweeps" / name).mkdir(parents=True)
        (tmp_path / "mlruns" / "sweeps" / name / "ledger.jsonl").touch()
    assert command("promote", "nothing").error.endswith("there are first, second.")
    assert "has not begun yet" in command("promote", "first").error


def test_the_openings_are_not_counted_for_a_mistake(command: Command, tmp_path: Path) -> None:
    write_experiment(tmp_path)
    assert command("promote", "tiny").code == 1
    assert not (tmp_path / "mlruns" / "test_openings.jsonl").exists()


def test_history_and_rollback_find_the_models_of_another_store(command: Command, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'other.db'}"
    store = open_store(TrackingSettings(uri=uri), tmp_path)
    for version, before in ((1, None), (2, 1)):
        register_version(store, "toy", logged_model(store, tmp_path), {})
        set_champion(store, "toy", version, before)
    again = "champion of toy: version 1 again (before: version 2, now `previous`)"
    assert command("rollback", "--uri", uri).out.strip() == again
    assert "(rollback)" in command("promote", "--history", "--uri", uri).out
    assert command("rollback").code == 1  # nothing is registered in the folder's own store
    assert "--uri goes with --history only" in command("promote", "tiny", "--uri", uri).error


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_trial_that_is_not_there_is_refused(finished_project: Project) -> None:
    answer = whosehand(finished_project.folder, "promote", "tiny", "--trial", "9")
    assert answer.error == "A completed trial can be promoted (0, 1, 2), but got 9."
