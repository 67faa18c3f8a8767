"""A whole audit of a small generated corpus, interrupted and taken up again."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from core.corpora.index import CorpusIndex
from search.ledger.ledger import read_ledger
from tests.command_line import COMMAND, TIMEOUT_S, Answer, environment, whosehand, write_experiment

BUDGET = ("--epochs", "2", "--patches", "100")
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder(hands_index: CorpusIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with scans, whose texts nobody knows: no arm by text, and less to train."""
    folder = tmp_path_factory.mktemp("audit")
    shutil.copytree(hands_index.root, folder / "pages")
    pattern = r"(?P<writer>\d+)-(?P<page>\d+)"
    write_experiment(folder, {"corpus": {"layout": "pattern", "root": "pages", "pattern": pattern, "unit": "page"}})
    return folder


@pytest.fixture(scope="module")
def interrupted(folder: Path) -> Answer:
    """Ctrl-C while the second arm trains."""
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
    while not list(folder.glob("mlruns/audits/tiny/*/line/trials/0/*")) and time.monotonic() < ends_s:
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
    assert "Arm 1 of 3" not in audited.err
    assert "Arm 3 of 3: split by page" in audited.err
    (arms,) = folder.glob("mlruns/audits/tiny/*")
    states = {path.name: read_ledger(path) for path in arms.iterdir() if path.is_dir()}
    assert states.keys() == {"patch", "line", "page"}
    assert len(states["patch"].launches) == 1
    assert all(len(state.trials) == 1 and state.n_patches == 192 for state in states.values())


def test_the_table_is_written_beside_the_records(audited: Answer, folder: Path) -> None:
    (written,) = folder.glob("mlruns/audits/tiny/*/audit.json")
    content = json.loads(written.read_text(encoding="utf-8"))
    assert [arm["name"] for arm in content["arms"]] == ["patch", "line", "page"]
    assert content["lacking"].keys() == {"text"}
    for arm in content["arms"]:
        assert arm["n_training_patches"] == 192  # two epochs of six whole batches
        assert 0 <= arm["scores"]["page_top1"]["low"] <= arm["scores"]["page_top1"]["high"] <= 1
    assert written.with_name("audit.md").exists()
    assert str(written) in audited.out


def test_no_test_page_was_opened_and_nothing_is_in_mlflow(audited: Answer, folder: Path) -> None:
    assert not (folder / "mlruns" / "test_openings.jsonl").exists()
    assert not (folder / "mlruns" / "mlflow.db").exists()


def test_another_objective_is_refused(folder: Path) -> None:
    message = whosehand(
        folder, "data", "audit", "tiny.yaml", "--set", "objective.run=search.objectives.cheap:train_cheaply"
    ).error
    assert "An audit trains patch CNNs" in message
