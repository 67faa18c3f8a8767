import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.command_line import Answer, whosehand

pytest_plugins = ["tests.finished_project"]
Command = Callable[..., Answer]

COMMANDS = ("data", "sweep", "compare", "promote", "identify", "ui", "doctor", "reconcile", "gc")


def test_help_names_every_command_and_comes_at_once(tmp_path: Path) -> None:
    started_s = time.monotonic()
    answer = whosehand(tmp_path, "--help")
    assert answer.code == 0
    assert all(name in answer.out for name in COMMANDS)
    assert "Whose hand wrote this?" in answer.out
    assert answer.err == ""
    assert time.monotonic() - started_s < 30  # MLflow alone would take seconds on an idle machine
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, command: Command) -> None:
    answer = command(name, "--help")
    assert answer.code == 0
    assert "Usage:" in answer.out


def test_version_is_the_installed_one(command: Command) -> None:
    answer = command("--version")
    assert (answer.code, answer.out) == (0, f"whosehand {version('whosehand')}\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("frobnicate",), "No such command 'frobnicate'"),
        (("sweep",), "Missing argument 'EXPERIMENT'"),
        (("sweep", "x.yaml", "--frob"), "No such option: --frob"),
        (("promote", "x", "--trial", "best"), "--trial"),
        (("data", "preview", "x.yaml", "--patches", "0"), "--patches"),
    ],
)
def test_a_wrong_command_line_is_explained(arguments: tuple[str, ...], complaint: str, command: Command) -> None:
    answer = command(*arguments)
    assert answer.code == 2
    assert complaint in answer.err
    assert "Traceback" not in answer.err


def test_a_folder_that_cannot_be_written_is_one_message(command: Command, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    (tmp_path / "e.yaml").write_text(
        "name: e\ncorpus: {layout: hands, n_writers: 2, n_pages: 3, n_lines: 1}\nbudget: {trials: 1}\n"
    )
    message = command("data", "split", "e.yaml", "--out", "taken/split.json").error
    assert "taken" in message
