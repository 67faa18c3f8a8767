"""Fixtures around the command line; a test module has them by `pytest_plugins =
["tests.finished_project"]`.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from filelock import FileLock

from search.cli.main import main
from tests.command_line import Answer, Project, whosehand, write_experiment


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The whole way in an empty folder: data, sweep (again, and with a raised budget), promote
    (twice), identify.

    Made once, by whichever process of the test run comes first; tests only look at it.
    """
    root = tmp_path_factory.getbasetemp()
    root = root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root
    folder, kept = root / "finished", root / "finished.json"
    with FileLock(root / "finished.lock"):
        if not kept.exists():
            answers = _run_all(folder)
            kept.write_text(json.dumps({name: asdict(answer) for name, answer in answers.items()}))
    answers = {name: Answer(**answer) for name, answer in json.loads(kept.read_text()).items()}
    return Project(folder, answers)


def _run_all(folder: Path) -> dict[str, Answer]:
    folder.mkdir()
    experiment = write_experiment(folder).name
    answers = {command: whosehand(folder, "data", command, experiment) for command in ("stats", "preview", "split")}
    answers["pages"] = whosehand(folder, "data", "pages", experiment, "--limit", "2")
    answers["sweep"] = whosehand(folder, "sweep", experiment, "--set", "budget.trials=2")
    answers["again"] = whosehand(folder, "sweep", experiment, "--set", "budget.trials=2")
    answers["raised"] = whosehand(folder, "sweep", experiment)
    answers["promote"] = whosehand(folder, "promote", "tiny", "--accept")
    answers["promote again"] = whosehand(folder, "promote", "tiny", "--accept")
    pages = answers["pages"].out.splitlines()
    answers["identify"] = whosehand(folder, "identify", *pages)
    answers["identify as json"] = whosehand(folder, "identify", "--json", *pages)
    return answers


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """Runs commands in this process, in a folder that is empty at first: for what ends before
    workers start.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str | Path) -> Answer:
        texts = tuple(map(str, arguments))
        monkeypatch.setattr(sys, "argv", ["whosehand", *texts])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        said = capsys.readouterr()
        return Answer(texts, code, said.out, said.err)

    return run
