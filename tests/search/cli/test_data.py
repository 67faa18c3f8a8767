import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.command_line import Answer, write_experiment

pytest_plugins = ["tests.finished_project"]
Command = Callable[..., Answer]


@pytest.fixture
def scans(folder_root: Path, tmp_path: Path) -> Path:
    """An experiment on three writers' scans in `scans/<writer>/<page>.png`; the folder may be
    spoilt.
    """
    assert folder_root == tmp_path / "scans"
    return write_experiment(tmp_path, {"name": "scans", "corpus": {"layout": "folder", "root": "scans"}})


def test_what_trains_nothing_needs_no_budget(folder_root: Path, command: Command, tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text("name: small\ncorpus: {layout: folder, root: scans}\n")
    assert command("data", "stats", path).code == 0
    assert "budget: is missing" in command("sweep", path).error


def test_images_that_cannot_be_used_are_listed_with_reasons(scans: Path, command: Command, tmp_path: Path) -> None:
    first = sorted((tmp_path / "scans").iterdir())[0]
    page = sorted(first.iterdir())[0]
    (first / "zero.png").touch()
    (first / "broken.png").write_bytes(page.read_bytes()[:900])
    (first / "text.png").write_text("no picture")
    Image.new("L", (1, 1), 255).save(first / "dot.png")
    (tmp_path / "scans" / "empty").mkdir()
    answer = command("data", "stats", scans, "--set", "quarantine.max_share=0.3")
    assert answer.code == 0, answer.err
    listed = [line for line in answer.err.splitlines() if line.startswith("unusable, ")]
    assert len(listed) == 5
    for name, reason in {
        "zero.png": "0 bytes",
        "broken.png": "damaged",
        "text.png": "must be an image",
        "dot.png": "at least 8 x 8 pixels",
        "empty": "holds no images",
    }.items():
        assert any(name in line and reason in line for line in listed), (name, listed)
    assert "train" in answer.out


@pytest.mark.parametrize("key", ["writers.include", "writers.exclude", "writers.include_pages"])
def test_a_list_may_stand_in_the_command_and_in_the_file(
    scans: Path, command: Command, tmp_path: Path, key: str
) -> None:
    ids = '["000", "001"]' if key == "writers.include" else '["002"]'
    if key == "writers.include_pages":
        ids = str([f"{folder}/{folder}-0{page}" for folder in ("000", "001") for page in range(3)])
    by_command = command("data", "stats", scans, "--set", f"{key}={ids}")
    assert by_command.code == 0, by_command.err
    assert re.search(r"train +2", by_command.out)
    group, name = key.split(".")
    scans.write_text(scans.read_text() + f"\n{group}: {{{name}: {ids}}}\n")
    assert command("data", "stats", scans).out == by_command.out


def test_every_file_below_the_root_is_accounted_for(scans: Path, command: Command, tmp_path: Path) -> None:
    for name in ("notes.txt", "000/Thumbs.db", "001/.DS_Store", "list.TXT"):
        (tmp_path / "scans" / name).touch()
    (tmp_path / "scans" / "000" / "torn.pdf").write_bytes(b"%PDF-1.7 torn")
    answer = command("data", "stats", scans)
    assert "found 13 = 12 used + 0 not chosen + 1 unusable" in answer.out
    assert "beside them 4 files that are no images: 2 .txt, 1 .db, 1 hidden" in answer.out


def test_a_corpus_that_is_not_there_is_named(scans: Path, command: Command) -> None:
    message = command("data", "stats", scans, "--set", "corpus.root=nowhere").error
    assert "nowhere is not there" in message


def test_one_writer_alone_is_refused(scans: Path, command: Command, tmp_path: Path) -> None:
    for writer in sorted((tmp_path / "scans").iterdir())[1:]:
        shutil.rmtree(writer)
    assert "two writers or more" in command("data", "stats", scans).error


def test_too_few_pages_say_how_many_are_needed(scans: Path, command: Command, tmp_path: Path) -> None:
    first = sorted((tmp_path / "scans").iterdir())[0]
    for page in sorted(first.iterdir())[2:]:
        page.unlink()
    assert "3" in command("data", "split", scans).error
    answer = command("data", "split", scans, "--set", "split.too_few_pages=leave_out")
    assert answer.code == 0, answer.err
    assert f"not chosen, 2: writer '{first.name}' has 2, needs 3" in answer.err


def test_a_damaged_line_store_is_built_again(scans: Path, command: Command, tmp_path: Path) -> None:
    before = command("data", "stats", scans)
    for pattern in ("*/lines.json", "pool-*/*.pack", "pool-*/*.journal", ".files-*.json"):
        files = list((tmp_path / "data" / "lines").glob(pattern))
        assert files, pattern
        for file in files:
            file.write_bytes(file.read_bytes()[:100])
        assert command("data", "stats", scans) == before


def test_what_was_found_is_used_or_not_chosen_or_unusable(scans: Path, command: Command, tmp_path: Path) -> None:
    writers = sorted((tmp_path / "scans").iterdir())
    (writers[0] / "zero.png").touch()
    for page in sorted(writers[1].iterdir())[2:]:
        page.unlink()
    answer = command("data", "stats", scans, "--set", "split.too_few_pages=leave_out", "--reports", "reports")
    assert answer.code == 0, answer.err
    assert "found 11 = 8 used + 2 not chosen + 1 unusable" in answer.out
    counts = json.loads((tmp_path / "reports" / "corpus_report.json").read_text())
    assert counts == {"corpus": "scans", "n_found": 11, "n_used": 8, "n_not_chosen": 2, "n_unusable": 1}
    (row,) = list(csv.DictReader((tmp_path / "reports" / "unusable.csv").open()))
    assert (row["path"], row["image_id"]) == ("scans/000/zero.png", "000/zero.png")
    assert "0 bytes" in row["reason"]


def test_a_writer_whose_page_is_broken_is_excluded_and_ends_nothing(
    scans: Path, command: Command, tmp_path: Path
) -> None:
    pages = sorted(sorted((tmp_path / "scans").iterdir())[0].iterdir())
    pages[3].unlink()
    pages[2].write_bytes(b"torn")
    answer = command("data", "stats", scans)
    assert answer.code == 0, answer.err
    assert (
        "not chosen, 2: writer '000' has 2, needs 3 (1 cannot be read) (000/000-00.png, 000/000-01.png)" in answer.err
    )


@pytest.mark.parametrize("verb", ["stats", "split"])
def test_more_than_the_allowed_share_of_broken_images_stops_and_says_so(
    scans: Path, command: Command, tmp_path: Path, verb: str
) -> None:
    for page in sorted((tmp_path / "scans").rglob("*.png"))[::3]:
        page.write_bytes(b"torn")
    answer = command("data", verb, scans)
    message = answer.error
    assert "At most 5.0% of a corpus's images may be unusable (quarantine.max_share), but 4 of 12 of 'scans'" in message
    assert "000-00.png" in answer.err
    assert "found 12 = 8 used + 0 not chosen + 4 unusable" in answer.out or verb == "split"
    allowed = command("data", verb, scans, "--set", "quarantine.max_share=0.4")
    assert allowed.code == 0, allowed.err


def test_an_empty_subset_says_so(scans: Path, command: Command) -> None:
    answer = command("data", "pages", scans, "--set", "split.test=0")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "The test subset of the split is empty.\n"


def test_pages_are_spread_over_the_writers(scans: Path, command: Command) -> None:
    answer = command("data", "pages", scans, "--subset", "train", "--limit", "3")
    pages = [Path(line) for line in answer.out.splitlines()]
    assert command("data", "pages", scans, "--part", "train", "--limit", "3").out == answer.out  # its name in 0.1
    assert len(pages) == 3
    assert len({page.parent for page in pages}) == 3


def test_a_collage_shows_as_many_writers_as_asked(scans: Path, command: Command, tmp_path: Path) -> None:
    heights = []
    for n_writers in (1, 3):
        answer = command("data", "preview", scans, "--writers", n_writers, "--patches", "4", "--out", "out/p.png")
        assert answer.code == 0, answer.err
        with Image.open(tmp_path / "out" / "p.png") as picture:
            heights.append(picture.height)
    assert heights[1] > 1.8 * heights[0]
