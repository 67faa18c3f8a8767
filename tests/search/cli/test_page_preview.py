from collections.abc import Callable
from pathlib import Path

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
    assert drawn.size == grey.size
    coloured = np.ptp(np.asarray(drawn), axis=2) > 60
    assert 0.005 < coloured.mean() < 0.3


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
    assert "4 pages, 1 of them cannot be read" in answer.out
    assert "torn.png" in answer.err
    page = (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")
    assert [page.count(name) for name in ("a.tif#1", "a.tif#2", "b.png", "<ann>")] == [1, 1, 1, 0]
    assert len(list((tmp_path / "pages").glob("*.png"))) == 3


def test_all_pages_need_a_folder(command: Command, tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path, {"name": "all", "corpus": {"layout": "hands"}})
    assert "--out" in command("data", "preview", experiment, "--all").err
