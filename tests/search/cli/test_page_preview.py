import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from core.corpora.index import CorpusIndex
from tests.command_line import Answer, write_experiment

pytest_plugins = ["tests.finished_project"]
Command = Callable[..., Answer]


def test_a_page_is_drawn_with_its_lines_and_patches(hands_index: CorpusIndex, command: Command, tmp_path: Path) -> None:
    page = hands_index.images[0].path
    answer = command("data", "preview", "--page", page, "--out", "pictures/page.png")
    assert answer.code == 0, answer.err
    assert "4 lines, 32 patches" in answer.out
    drawn, grey = Image.open(tmp_path / "pictures" / "page.png"), Image.open(page)
    assert drawn.width == grey.width
    assert grey.height < drawn.height < grey.height + 120  # the legend
    coloured = np.ptp(np.asarray(drawn)[: grey.height], axis=2) > 60
    assert 0.005 < coloured.mean() < 0.3


def test_of_each_line_it_says_what_was_measured(hands_index: CorpusIndex, command: Command) -> None:
    answer = command("data", "preview", "--page", hands_index.images[0].path)
    header, *rows = [line.split() for line in answer.out.splitlines() if re.match(r" *(line|[1-9]) ", line)]
    assert header[:1] == ["line"]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    text_px, x_height_px, slant_deg, skew_deg, scale = np.array([row[1:] for row in rows], dtype=float).T
    assert np.all((x_height_px > 20) & (x_height_px < 60))
    assert np.all((text_px > 20) & (text_px < 80))
    assert np.ptp(slant_deg) < 15
    assert np.all(np.abs(skew_deg) < 2)
    assert np.all((scale > 0.5) & (scale < 3))


def test_a_page_of_a_file_with_several_is_named_by_its_number(
    hands_index: CorpusIndex, command: Command, tmp_path: Path
) -> None:
    first, second = (Image.open(hands_index.images[place].path) for place in (0, 4))
    first.save(tmp_path / "letter.tif", save_all=True, append_images=[second])
    second.save(tmp_path / "second.png")
    assert command("data", "preview", "--page", "letter.tif#2", "--out", "a.png").code == 0
    assert command("data", "preview", "--page", "second.png", "--out", "b.png").code == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert "letter.tif#3 must have page 3, but has 2" in command("data", "preview", "--page", "letter.tif#3").error


def test_a_file_of_the_corpus_is_read_as_the_corpus_reads_it(
    hands_index: CorpusIndex, command: Command, tmp_path: Path
) -> None:
    page = Image.open(hands_index.images[0].path)
    for writer in ("ann", "bob"):
        (tmp_path / "scans" / writer / "p1").mkdir(parents=True)
        page.save(tmp_path / "scans" / writer / "p1" / "line.png")  # in a page's folder files are lines
        page.save(tmp_path / "scans" / writer / "page.png")
    experiment = write_experiment(tmp_path, {"name": "mixed", "corpus": {"layout": "folder", "root": "scans"}})
    assert (
        "read as a text line: 1 line," in command("data", "preview", experiment, "--page", "scans/ann/p1/line.png").out
    )
    assert (
        "taken for a paragraph as its ink tells: 4 lines,"
        in command("data", "preview", experiment, "--page", "scans/ann/page.png").out
    )


def test_the_experiments_patch_settings_count(hands_index: CorpusIndex, command: Command, tmp_path: Path) -> None:
    experiment = write_experiment(
        tmp_path, {"name": "few", "corpus": {"layout": "hands"}, "patches": {"per_image_at_test": 5}}
    )
    page = hands_index.images[0].path
    assert "4 lines, 5 patches" in command("data", "preview", experiment, "--page", page).out
    assert "needs an experiment" in command("data", "preview", "--page", page, "--set", "ink.height_px=64").error


def test_a_page_that_cannot_be_read_is_named(command: Command, tmp_path: Path) -> None:
    assert "there is no nowhere.png" in command("data", "preview", "--page", "nowhere.png").error
    Image.new("L", (300, 300), 255).save(tmp_path / "blank.png")
    assert "blank.png: There must be ink" in command("data", "preview", "--page", "blank.png").error


def test_preview_needs_an_experiment_or_a_page(command: Command) -> None:
    answer = command("data", "preview")
    assert answer.code == 2
    assert "--page" in answer.err


@pytest.mark.parametrize(("unit", "said"), [("page", "4 lines"), ("line", "1 line,")])
def test_a_page_is_read_as_the_experiments_corpus_says(
    hands_index: CorpusIndex, command: Command, tmp_path: Path, unit: str, said: str
) -> None:
    corpus = {"layout": "folder", "root": str(tmp_path), "unit": unit}
    experiment = write_experiment(tmp_path, {"name": "units", "corpus": corpus})
    page = hands_index.images[0].path
    assert said in command("data", "preview", experiment, "--page", page).out
    assert "4 lines" in command("data", "preview", experiment, "--page", page, "--unit", "page").out


def test_every_page_is_drawn_with_an_index_to_leaf_through(
    hands_index: CorpusIndex, command: Command, tmp_path: Path
) -> None:
    first, second, third = (Image.open(hands_index.images[place].path) for place in (0, 4, 8))
    ann, bob = tmp_path / "scans" / "<ann>", tmp_path / "scans" / "bob"
    for folder in (ann, bob):
        folder.mkdir(parents=True)
    first.save(ann / "a.tif", save_all=True, append_images=[second])
    third.save(bob / "b.png")
    (bob / "torn.png").write_bytes(b"torn")
    experiment = write_experiment(tmp_path, {"name": "all", "corpus": {"layout": "folder", "root": "scans"}})
    answer = command("data", "preview", experiment, "--all", "--out", "pages")
    assert answer.code == 0, answer.err
    assert "4 pages, 1 of them cannot be read, 0 seem to be read badly" in answer.out
    assert "torn.png" in answer.err
    page = (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")
    assert [page.count(name) for name in ("a.tif#1", "a.tif#2", "b.png", "<ann>")] == [1, 1, 1, 0]
    assert len(list((tmp_path / "pages").glob("*[0-9].jpg"))) == 3
    assert sorted(re.findall(r'(?:href|src)="([^"]+)"', page)) == sorted(
        path.name for path in (tmp_path / "pages").iterdir() if path.name != "index.html"
    )  # so that it works offline, wherever the folder is


def test_the_worst_pages_come_first_in_the_index(hands_index: CorpusIndex, command: Command, tmp_path: Path) -> None:
    text = np.array(Image.open(hands_index.images[0].path))
    drawn = np.vstack([text, np.full((900, text.shape[1]), text[0, 0], np.uint8)])
    cv2.circle(drawn, (600, text.shape[0] + 450), 350, 0, thickness=5)  # no line of text
    for writer in ("ann", "bob"):
        (tmp_path / "scans" / writer).mkdir(parents=True, exist_ok=True)
        for name, pixels in (("a", text), ("b", drawn)):
            pixels[0, 0] -= 1  # no two of them are the same file
            Image.fromarray(pixels).save(tmp_path / "scans" / writer / f"{name}.png")
    (tmp_path / "scans" / "bob" / "z.png").write_bytes(b"torn")
    corpus = {"layout": "folder", "root": "scans", "unit": "page"}
    experiment = write_experiment(tmp_path, {"name": "all", "corpus": corpus})
    answer = command("data", "preview", experiment, "--all", "--out", "pages")
    assert "5 pages, 1 of them cannot be read, 2 seem to be read badly" in answer.out
    page = (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"</b> (\w+/\w+)", page) == ["bob/z", "ann/b", "bob/b", "ann/a", "bob/a"]
    assert page.count('class="bad"') == 3
    assert "of 5 lines 1 line has text far lower or higher than the others" in page


def test_all_pages_need_a_folder(command: Command, tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path, {"name": "all", "corpus": {"layout": "hands"}})
    assert "--out" in command("data", "preview", experiment, "--all").err
