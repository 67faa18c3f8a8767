"""A small finished sweep of its own with finalists and reports; a test module has it by
`pytest_plugins`.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
from filelock import FileLock

from tests.command_line import Answer, Project, whosehand, write_experiment

CHANGES: dict[str, object] = {
    "training": {"epochs": 2, "precision": "float32"},
    "budget": {"trials": 4},
}


@pytest.fixture(scope="session")
def reported_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A sweep and, in two calls, its finalists, each time with a report; tests only look at it."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root
    folder, kept = root / "reported", root / "reported.json"
    with FileLock(root / "reported.lock"):
        if not kept.exists():
            answers = _run_all(folder)
            kept.write_text(json.dumps({name: asdict(answer) for name, answer in answers.items()}))
    answers = {name: Answer(**answer) for name, answer in json.loads(kept.read_text()).items()}
    return Project(folder, answers)


def _run_all(folder: Path) -> dict[str, Answer]:
    folder.mkdir()
    experiment = write_experiment(folder, CHANGES).name
    answers = {"sweep": whosehand(folder, "sweep", experiment)}
    answers["one repeat"] = whosehand(folder, "compare", "tiny", "--finalists", "2", "--repeats", "1", "--no-track")
    answers["finalists"] = whosehand(folder, "compare", "tiny", "--finalists", "2", "--repeats", "2")
    return answers
