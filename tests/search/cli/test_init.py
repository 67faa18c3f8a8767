"""`whosehand init`, and the shell's completion."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from search.experiment.experiment import load_experiment
from tests.command_line import COMMAND, Answer, environment, whosehand

pytest_plugins = ["tests.finished_project"]
Command = Callable[..., Answer]
EXPERIMENTS = sorted((Path(__file__).parents[3] / "experiments").glob("*.yaml"))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three writers with four pages and one with a single page."""
    for writer, n_pages in (("anna", 4), ("bert", 4), ("carl", 4), ("dora", 1)):
        for page in range(n_pages):
            path = tmp_path / "My Scans" / writer / f"{page}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (60, 40), 255).save(path)
    return tmp_path / "My Scans"


def test_scans_get_an_experiment_that_loads(command: Command, scans: Path) -> None:
    answer = command("init", scans, "--no-measure")
    assert answer.code == 0, answer.err
    path = Path("experiments") / "my-scans.yaml"
    experiment = load_experiment(path)
    assert experiment.handwriting.layout == "folder"
    assert experiment.writers.min_pages == 3
    assert "4 writers, 13 pages (1 to 4 a writer, median 4)" in answer.out
    assert "1 writer has too few pages" in answer.out
    assert f"whosehand sweep {path}" in answer.out


def test_the_file_teaches_and_names_the_next_commands(command: Command, scans: Path) -> None:
    command("init", scans, "--no-measure", "--out", "mine.yaml")
    text = Path("mine.yaml").read_text()
    assert "whosehand data stats mine.yaml" in text
    assert "# 1 writer has fewer than 3 pages: too few to train, validate and test on." in text
    assert [line for line in text.splitlines() if len(line) > 100 and not line.startswith("corpus:")] == []


def test_a_file_that_is_there_is_not_replaced_unasked(command: Command, scans: Path) -> None:
    Path("mine.yaml").write_text("my work")
    message = command("init", scans, "--no-measure", "--out", "mine.yaml").error
    assert "mine.yaml is there already" in message
    assert Path("mine.yaml").read_text() == "my work"
    assert command("init", scans, "--no-measure", "--out", "mine.yaml", "--force").code == 0


@pytest.mark.parametrize("kind", ["nothing", "an empty folder", "one writer"])
def test_what_no_experiment_can_be_made_of_is_one_message(kind: str, command: Command, scans: Path) -> None:
    if kind == "one writer":
        for writer in ("bert", "carl"):
            shutil.rmtree(scans / writer)
        assert "Two writers with 3 pages or more are needed" in command("init", scans, "--no-measure").error
        return
    folder = Path("empty")
    if kind == "an empty folder":
        folder.mkdir()
    assert "empty" in command("init", folder, "--no-measure").error


def test_without_a_folder_the_examples_are_copied_and_none_is_replaced(command: Command) -> None:
    Path("experiments").mkdir()
    Path("experiments/dhsd.yaml").write_text("my work")
    answer = command("init")
    assert answer.code == 0
    assert sorted(path.name for path in Path("experiments").glob("*.yaml")) == [path.name for path in EXPERIMENTS]
    assert Path("experiments/dhsd.yaml").read_text() == "my work"


@pytest.mark.slow
@pytest.mark.long
def test_the_budget_goes_by_the_measured_speed(scans: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"  # in a process of its own: TensorFlow takes its number of threads once
    folder.mkdir()
    answer = whosehand(folder, "init", scans)
    assert answer.code == 0, answer
    experiment = load_experiment(folder / "experiments" / "my-scans.yaml")
    assert 5 <= (experiment.budget.minutes or 0) <= 120


def _completed(words: str, folder: Path) -> list[str]:
    asked = {"_WHOSEHAND_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    run = subprocess.run(
        [COMMAND], cwd=folder, env=environment() | asked, capture_output=True, text=True, timeout=120, check=True
    )
    return run.stdout.split()


def test_the_shell_completes_sweeps_and_experiments(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / "mlruns" / "sweeps" / name).mkdir(parents=True)
        (tmp_path / "mlruns" / "sweeps" / name / "ledger.jsonl").touch()
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").touch()
    for command in ("promote", "status", "show", "stop", "budget", "enqueue", "compare", "ui"):
        assert _completed(f"whosehand {command} s", tmp_path) == ["second"]
    assert _completed("whosehand sweep experiments/m", tmp_path) == ["experiments/mine.yaml"]
