"""A whole audit of a small generated corpus, interrupted and taken up again."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from search.ledger import read_ledger
from tests.command_line import COMMAND, TIMEOUT_S, Answer, environment, whosehand, write_experiment

BUDGET = ("--epochs", "2", "--patches", "100")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    write_experiment(folder)
    return folder


@pytest.fixture(scope="module")
def interrupted(folder: Path) -> Answer:
    """Ctrl-C while the third arm trains."""
    process = subprocess.Popen(
        [str(COMMAND), "data", "audit", "tiny.yaml", *BUDGET],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    ends_s = time.monotonic() + TIMEOUT_S
    while not list(folder.glob("mlruns/audits/tiny/*/page/trials/0/*")) and time.monotonic() < ends_s:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT_S)
    return Answer((), process.returncode, out, err)


@pytest.fixture(scope="module")
def audited(folder: Path, interrupted: Answer) -> Answer:
    answer = whosehand(folder, "data", "audit", "tiny.yaml", *BUDGET)
    assert answer.code == 0, answer
    return answer


def test_ctrl_c_keeps_the_finished_arms_and_shows_them(interrupted: Answer) -> None:
    assert interrupted.code == 130, interrupted
    assert "patch (leaky)" in interrupted.out
    assert "the same command goes on" in interrupted.err


def test_the_same_command_trains_only_what_is_left(audited: Answer, folder: Path) -> None:
    assert "Arm 1 of 4" not in audited.err
    assert "Arm 2 of 4" not in audited.err
    assert "Arm 4 of 4: split by text and page" in audited.err
    (arms,) = folder.glob("mlruns/audits/tiny/*")
    states = {path.name: read_ledger(path) for path in arms.iterdir() if path.is_dir()}
    assert states.keys() == {"patch", "line", "page", "text"}
    assert len(states["patch"].launches) == 2  # opened again, and nothing trained
    assert all(len(state.trials) == 1 and state.n_patches == 200 for state in states.values())


def test_the_table_is_written_beside_the_records(audited: Answer, folder: Path) -> None:
    (written,) = folder.glob("mlruns/audits/tiny/*/audit.json")
    content = json.loads(written.read_text(encoding="utf-8"))
    assert [arm["name"] for arm in content["arms"]] == ["patch", "line", "page", "text"]
    for arm in content["arms"]:
        assert arm["n_training_patches"] == 200
        assert 0 <= arm["scores"]["page_top1"]["low"] <= arm["scores"]["page_top1"]["high"] <= 1
    assert written.with_name("audit.md").exists()
    assert str(written) in audited.out


def test_no_test_page_was_opened_and_nothing_is_in_mlflow(audited: Answer, folder: Path) -> None:
    assert not (folder / "mlruns" / "test_openings.jsonl").exists()
    assert not (folder / "mlruns" / "mlflow.db").exists()


def test_another_objective_is_refused(folder: Path) -> None:
    message = whosehand(
        folder, "data", "audit", "tiny.yaml", "--set", "objective.run=search.cheap_objective:train_cheaply"
    ).error
    assert "An audit trains patch CNNs" in message
