"""Kinds of split on the command line: what is printed, what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.splits.manifest import SplitManifest
from tests.command_line import Answer, write_experiment

pytest_plugins = ["tests.finished_project"]
Command = Callable[..., Answer]


@pytest.fixture
def scans(folder_root: Path, tmp_path: Path) -> Path:
    assert folder_root == tmp_path / "scans"
    corpus = {"layout": "folder", "root": "scans"}
    return write_experiment(tmp_path, {"name": "scans", "corpus": corpus, "objective": {}})


def test_a_leaky_split_says_so_and_counts_its_lines(scans: Path, command: Command, tmp_path: Path) -> None:
    answer = command("data", "split", scans, "--set", "split.leaky=patch")
    assert answer.code == 0, answer.err
    assert "warning: Leaky split by patch" in answer.err
    assert "split by patch (leaky)" in answer.out
    assert json.loads((tmp_path / "split.json").read_text(encoding="utf-8"))["leaky"]["by"] == "patch"
    rows = {cells[0]: cells[1:] for line in answer.out.splitlines() if (cells := line.split())}
    assert int(rows["validation"][-1]) < int(rows["train"][-1])


def test_an_honest_split_has_no_warning(scans: Path, command: Command) -> None:
    answer = command("data", "split", scans)
    assert "warning" not in answer.err
    assert "split by page" in answer.out


def test_the_rule_of_the_choice_is_printed(scans: Path, command: Command) -> None:
    answer = command("data", "stats", scans, "--set", "writers.top_writers={n: 2}")
    assert "writers: The 2 of 3 writers with most pages (counted as they lie there)" in answer.err


def test_a_list_of_numbers_is_refused_with_its_place(scans: Path, command: Command) -> None:
    message = command("data", "stats", scans, "--set", "writers.exclude=[007]").error
    assert message == (
        "--set writers.exclude=[007]: writers.exclude: ids must be text, but got 7; write them in quotes, because YAML "
        "takes 007 for the number 7."
    )


def test_two_ways_to_divide_are_refused(scans: Path, command: Command) -> None:
    message = command("data", "split", scans, "--set", "split.leaky=line", "--set", "split.kind=text").error
    assert "only one of kind, folds, lists and leaky can say how to divide, but got kind: text and leaky" in message


def test_texts_that_nobody_knows_are_refused(scans: Path, command: Command) -> None:
    assert "needs to know the text of every image" in command("data", "split", scans, "--set", "split.kind=text").error


def test_a_division_by_writer_in_which_nothing_can_be_found_is_written_with_a_warning(
    scans: Path, command: Command, tmp_path: Path
) -> None:
    by_writer = ("--set", "split.kind=writer", "--set", "split.validation=0.3", "--set", "split.test=0")
    answer = command("data", "split", scans, *by_writer)
    assert answer.code == 0
    assert len(SplitManifest.load(tmp_path / "split.json").writer_ids) == 2
    rule = "To find pages by the same hand, validation needs two writers, and one of them with two pages; but 1 writer "
    assert f"no sweep can be judged on it. {rule}" in " ".join(answer.err.split())


def test_an_audit_trains_on_no_page_of_a_sealed_writer(scans: Path, command: Command) -> None:
    assert "`split.kind: writer` seals writers" in command("data", "audit", scans, "--set", "split.kind=writer").error


def test_a_rotation_is_one_key_away(scans: Path, command: Command, tmp_path: Path) -> None:
    hashes = set()
    for fold in (1, 2):
        rotation = ("--set", "split.folds.n=2", "--set", f"split.folds.fold={fold}")
        assert command("data", "split", scans, *rotation).code == 0
        hashes.add(SplitManifest.load(tmp_path / "split.json").hash)
    assert len(hashes) == 2
