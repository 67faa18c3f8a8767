from collections.abc import Callable
from pathlib import Path

import numpy as np
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
