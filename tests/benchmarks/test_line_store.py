from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.line_store import watch
from benchmarks.line_store_pages import PAGE_PX, draw_once, full_page, write_pages, write_words
from core.pages.image_files import read_grey


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def words(images: Path) -> Path:
    return draw_once(images, 40, write_words)


def test_images_are_drawn_once(words: Path, images: Path) -> None:
    drawn_ns = (words / "0000" / "00.png").stat().st_mtime_ns
    assert draw_once(images, 40, write_words) == words
    assert (words / "0000" / "00.png").stat().st_mtime_ns == drawn_ns
    assert len(list(words.rglob("*.png"))) == 40


def test_a_drawing_that_was_interrupted_is_begun_anew(tmp_path: Path) -> None:
    is_first = True

    def write_few(folder: Path, n_images: int) -> None:
        nonlocal is_first
        folder.mkdir()
        for number in range(n_images):
            (folder / f"{number}.png").touch()
            if is_first:
                is_first = False
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_once(tmp_path, 3, write_few)
    assert [path.suffix for path in tmp_path.iterdir()] == [".partial"]
    assert len(list(draw_once(tmp_path, 3, write_few).iterdir())) == 3


def test_pages_have_the_size_of_a_scan_and_no_two_are_the_same(tmp_path: Path) -> None:
    write_pages(tmp_path, 3, n_distinct=1)
    pages = [read_grey(path) for path in sorted(tmp_path.rglob("*.png"))]
    assert [page.shape for page in pages] == 3 * [PAGE_PX]
    assert not np.array_equal(pages[0], pages[1])
    assert not np.array_equal(pages[1], pages[2])
    assert (full_page(0) < 100).mean() > 0.01


def test_a_store_is_built_and_opened_in_processes_that_are_watched(words: Path, tmp_path: Path) -> None:
    built, peak_mb = watch(words, tmp_path / "lines", unit="line")
    assert (built.n_images, built.n_read) == (40, 40)
    assert 36 <= built.n_lines <= 40  # a cut at random may be no text
    assert len(built.rss_mb) == 4
    assert min(built.rss_mb) > 20
    assert peak_mb >= 0.9 * max(built.rss_mb)
    opened, _ = watch(words, tmp_path / "lines", share_of_writers=0.5, unit="line")
    assert (opened.n_images, opened.n_read) == (20, 0)
    with Image.open(words / "0000" / "00.png") as word:
        assert word.size == (256, 64)
