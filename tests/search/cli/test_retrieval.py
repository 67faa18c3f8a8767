import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import Answer
from tests.search.toy_model import save_toy_model, write_line

pytest_plugins = ["tests.finished_project"]
Command = Callable[..., Answer]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_model(tmp_path_factory.mktemp("toy") / "model")


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Three writers of four lines each."""
    for number in range(12):
        folder = tmp_path / "scans" / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        write_line(folder / f"{number}.png", n_strokes=4 + number)
    return tmp_path / "scans"


def test_scores_are_printed_with_their_intervals(command: Command, lines: Path, model: Path) -> None:
    answer = command("retrieval", lines, "--model", model, "--patches", "4")
    assert answer.code == 0, answer
    first, *rest = answer.out.splitlines()
    assert first == "scans: 12 queries among 12 pages by 3 writers"
    names = ("mean average precision", "top-1", "top-5", "top-10", "equal error rate", "AUROC")
    rows = [line for line in rest if " % to " in line]
    assert [row.strip().split("  ")[0] for row in rows] == list(names)
    assert rest[-2:] == ["compared by: the mean of at most 4 patches a page, adapted to these pages", f"model: {model}"]
    other = command("retrieval", lines, "--model", model, "--patches", "4", "--no-adapt", "--rerank", "2").out
    assert "compared by: the mean of at most 4 patches a page, reranked by 2 neighbours" in other


def test_json_has_what_the_table_has(command: Command, lines: Path, model: Path) -> None:
    arguments = ("--join", "2", "--rerank", "2", "--patches", "4", "--json")
    content = json.loads(command("retrieval", lines, "--model", model, *arguments).out)
    assert (content["n_pages"], content["item"], content["reranked_by"]) == (6, "joined page", 2)
    low, high = content["scores"]["map"]["interval"]
    assert 0 <= low <= content["scores"]["map"]["value"] <= high <= 1


def test_what_cannot_be_done_is_one_message(command: Command, lines: Path, model: Path) -> None:
    assert "Join fewer" in command("retrieval", lines, "--model", model, "--join", "9").error
    assert "not there" in command("retrieval", "nothing", "--model", model).error
    (lines / "MLmodel").touch()
    assert "holds a whosehand.json" in command("retrieval", lines, "--model", lines).error


def test_the_help_says_what_is_left_out(command: Command) -> None:
    shown = " ".join(command("retrieval", "--help").out.split())
    assert "writers that it was trained on are left out" in shown
    assert "Pages whose writer has no other page are no queries" in shown
