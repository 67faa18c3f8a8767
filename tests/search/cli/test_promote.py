from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import Answer, Project, whosehand, write_experiment

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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_trial_that_is_not_there_is_refused(finished_project: Project) -> None:
    answer = whosehand(finished_project.folder, "promote", "tiny", "--trial", "9")
    assert answer.error == "A completed trial can be promoted (0, 1, 2), but got 9."
