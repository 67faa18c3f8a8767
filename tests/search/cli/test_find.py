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


def test_an_index_takes_what_is_new_or_changed_and_says_what_is_gone(
    command: Command, archive: Path, model: Path
) -> None:
    command("index", archive, "--out", "kept", "--model", model)
    write_line(archive / "3.png", 4)
    write_line(archive / "12.png", 12)
    (archive / "9.png").unlink()
    again = command("index", archive, "--out", "kept", "--model", model)
    assert (again.code, again.out) == (0, "kept: 1 page added, 1 described anew, 1 was there\n")
    assert "9.png is in the index, but its file is not there any more" in " ".join(again.err.split())
    content = json.loads(command("find", archive / "12.png", "--in", "kept", "--model", model, "--json").out)
    assert {Path(each["path"]).name: each["is_gone"] for each in content["found"]} == {
        "3.png": False,
        "9.png": True,
        "10.png": False,
    }


def test_without_a_name_a_folder_is_indexed_where_find_looks(command: Command, archive: Path, model: Path) -> None:
    made = command("index", archive, "--model", model)
    (index,) = Path("data/indexes").iterdir()
    assert made.out.split(":")[0].endswith(str(index))
    before = (index / "pages.jsonl").read_bytes()
    assert command("find", archive / "3.png", "--in", archive, "--model", model).code == 0
    assert (index / "pages.jsonl").read_bytes() == before
    refused = command("index", archive / "3.png", archive / "9.png", "--model", model)
    assert "Name the folder of an index by --out" in refused.error


def test_the_sheet_shows_the_pages_side_by_side(command: Command, archive: Path, model: Path) -> None:
    answer = command("find", archive / "9.png", "--in", archive, "--model", model, "--sheet", "out/sheet.html")
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "side by side: out/sheet.html")
    assert Path("out/sheet.html").read_text(encoding="utf-8").count("<article>") == 2
    refused = command("find", archive / "9.png", "--in", archive, "--model", model, "--sheet", archive)
    assert "must be writable" in refused.error
