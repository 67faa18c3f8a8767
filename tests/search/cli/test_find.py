import csv
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
def archive(tmp_path: Path) -> Path:
    """Three lines, of 3, 9 and 10 strokes."""
    (tmp_path / "archive").mkdir()
    for n_strokes in (3, 9, 10):
        write_line(tmp_path / "archive" / f"{n_strokes}.png", n_strokes)
    return tmp_path / "archive"


def test_a_folder_is_indexed_once_and_its_pages_are_ranked(command: Command, archive: Path, model: Path) -> None:
    query = archive / "9.png"
    answer = command("find", query, "--in", archive, "--model", model, "--json", "--csv", "found.csv")
    content = json.loads(answer.out)
    assert {Path(each["path"]).name for each in content["found"]} == {"3.png", "10.png"}, "itself is no answer"
    similarities = [each["similarity"] for each in content["found"]]
    assert similarities == sorted(similarities, reverse=True)
    rows = list(csv.DictReader(Path("found.csv").read_text().splitlines()))
    assert [row["path"] for row in rows] == [each["path"] for each in content["found"]]
    (index,) = Path("data/indexes").iterdir()
    before = (index / "descriptors.f32").read_bytes()
    shown = command("find", query, "--in", archive, "--model", model, "--top", "1").out
    assert shown.splitlines()[-1] == f"model: {model}"
    assert content["found"][0]["path"] in shown
    assert (index / "descriptors.f32").read_bytes() == before


def test_an_index_is_extended_and_says_what_it_could_not_use(command: Command, archive: Path, model: Path) -> None:
    first = command("index", archive, "--out", "kept", "--model", model)
    assert (first.code, first.out) == (0, "kept: 3 pages added, 0 were there\n")
    write_line(archive / "12.png", 12)
    (archive / "broken.png").write_bytes(b"no image")
    second = command("index", archive, "--out", "kept", "--model", model)
    assert (second.code, second.out) == (2, "kept: 1 page added, 3 were there\n")
    assert [line.split()[0] for line in second.err.splitlines() if "broken.png" in line] == ["skipped"]
    found = command("find", write_line(archive.parent / "letter.png", 5), "--in", "kept", "--model", model, "--json")
    assert len(json.loads(found.out)["found"]) == 4


def test_what_cannot_be_found_is_one_message(command: Command, archive: Path, model: Path) -> None:
    assert "--in must name a folder" in command("find", archive / "3.png", "--in", "nothing", "--model", model).error
    (archive.parent / "empty").mkdir()
    assert "must hold some" in command("find", archive / "3.png", "--in", "empty", "--model", model).error
