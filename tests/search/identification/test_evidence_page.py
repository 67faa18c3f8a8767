"""The page of evidence, and answers for folders, from a saved model in its own process."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from search.objectives.saved_model import network_file
from tests.command_line import Answer
from tests.search.toy_model import WRITER_IDS, save_toy_identifier, write_line

pytest_plugins = ["tests.finished_project"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_identifier(tmp_path_factory.mktemp("toy"))


def test_the_page_holds_all_that_it_shows(folder: Path, tmp_path: Path, command: Callable[..., Answer]) -> None:
    page = write_line(tmp_path / "line.png")
    answer = command("identify", page, "--model", folder, "--evidence", tmp_path / "out" / "why.html")
    assert answer.code == 0, answer
    html = (tmp_path / "out" / "why.html").read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", html), "nothing is fetched from elsewhere"
    named = re.search(r"Writer <b>(\w+)</b>", html)
    assert named is not None
    assert f"writer {named[1]}" in answer.out
    n_patches = int(re.search(r"(\d+) patches on 1 line were asked", html)[1])  # type: ignore[index]
    on_page = html.split('class="page')[1].split("</svg>")[0]
    assert on_page.count("<polygon") == n_patches
    for writer_id in WRITER_IDS:
        assert f"training patch of writer {writer_id}" in html


@pytest.mark.long
def test_a_network_without_gallery_says_so(folder: Path, tmp_path: Path, command: Callable[..., Answer]) -> None:
    page = write_line(tmp_path / "line.png")
    network = folder.with_name("network")
    assert network_file(network).exists()
    assert command("identify", page, "--model", network, "--evidence", tmp_path / "why.html").code == 0
    html = (tmp_path / "why.html").read_text()
    assert "no training patches with it" in html
    assert "(not calibrated)" in html


def test_evidence_is_about_one_image(folder: Path, tmp_path: Path, command: Callable[..., Answer]) -> None:
    pages = [write_line(tmp_path / name) for name in ("a.png", "b.png")]
    answer = command("identify", *pages, "--model", folder, "--evidence", tmp_path / "why.html")
    assert "about one image, but got 2" in answer.error


@pytest.mark.long
def test_a_folder_becomes_a_table(folder: Path, tmp_path: Path, command: Callable[..., Answer]) -> None:
    scans = tmp_path / "scans"
    (scans / "deep").mkdir(parents=True)
    write_line(scans / "2.png")
    write_line(scans / "deep" / "10.png")
    (scans / "9.png").write_bytes(b"no image")
    (scans / "notes.txt").write_text("passed over")
    answer = command("identify", scans, "--model", folder, "--csv", tmp_path / "out" / "answers.csv")
    assert answer.code == 2
    assert "2 images answered, 1 could not be used" in answer.out
    with (tmp_path / "out" / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]).name for row in rows] == ["2.png", "9.png", "10.png"]
    assert rows[0]["writer_id"] in WRITER_IDS
    assert float(rows[0]["probability"]) >= float(rows[0]["probability_2"])
    assert "9.png" in rows[1]["error"]
    assert rows[1]["writer_id"] == ""


def test_a_folder_without_images_is_an_error(folder: Path, tmp_path: Path, command: Callable[..., Answer]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "but" in (error := command("identify", empty, "--model", folder).error)
    assert "empty has none" in error


@pytest.mark.long
def test_a_short_image_shows_the_parts_of_its_patches_and_says_why(
    folder: Path, tmp_path: Path, command: Callable[..., Answer]
) -> None:
    word = write_line(tmp_path / "word.png", 3)
    assert command("identify", word, "--model", folder, "--evidence", tmp_path / "why.html").code == 0
    html = (tmp_path / "why.html").read_text()
    assert "The image is short: it has room for" in html
    on_page = html.split('class="page')[1].split("</svg>")[0]
    n_patches = int(re.search(r"(\d+) patches on 1 line were asked", html)[1])  # type: ignore[index]
    assert on_page.count("<polygon") > n_patches
    assert "patch 1:" not in on_page
