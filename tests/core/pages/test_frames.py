"""Files with several pages: each is an image of the corpus, and one of an answer."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from core.corpora.index import CorpusIndex, TextImage
from core.lines.store import LineStore, build_line_store
from core.pages.frames import Page, blank_frames, index_frames, number_frames
from core.settings import InkSettings


def line(number: int) -> Image.Image:
    image = Image.new("L", (400, 80), 250)
    pen = ImageDraw.Draw(image)
    for k in range(10 + number):
        pen.arc((10 + 25 * k, 20, 30 + 25 * k, 55), 0, 300, fill=20, width=4)
    return image


BLANK = Image.new("L", (400, 80), 250)
SMALL = line(0).resize((80, 16))


@pytest.fixture
def corpus(tmp_path: Path) -> CorpusIndex:
    images = []
    for name, frames in {"a": [line(0), BLANK, line(1)], "b": [SMALL, line(2)], "c": [line(3)]}.items():
        path = tmp_path / f"{name}.tif"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        images.append(TextImage(f"{name}.tif", path, writer_id=name, page_id=name, unit="page"))
    return CorpusIndex("frames", tmp_path, tuple(images))


def test_every_page_is_an_image_and_a_file_of_one_stays_as_it_is(corpus: CorpusIndex) -> None:
    index = index_frames(corpus)
    assert [(image.image_id, image.page_id, image.frame) for image in index.images] == [
        ("a.tif#1", "a#1", 1),
        ("a.tif#2", "a#2", 2),
        ("a.tif#3", "a#3", 3),
        ("b.tif#2", "b#2", 2),
        ("c.tif", "c", None),
    ]
    assert [entry.reason.rpartition("/")[2] for entry in index.not_chosen] == [
        "b.tif#1 is a small copy of another page of the file"
    ]


def test_lines_of_a_file_of_many_stay_on_their_page(corpus: CorpusIndex) -> None:
    images = tuple(TextImage(i.image_id, i.path, i.writer_id, "p1", unit="line") for i in corpus.images)
    assert {image.page_id for image in index_frames(CorpusIndex("l", corpus.root, images)).images} == {"p1"}


def test_the_line_store_reads_each_page_by_itself(corpus: CorpusIndex, tmp_path: Path) -> None:
    index = index_frames(corpus)
    store = build_line_store(index, InkSettings(height_px=40), tmp_path / "lines")
    widths = {line.image_id: line.width_px for line in store.lines}
    assert set(widths) == {"a.tif#1", "a.tif#3", "b.tif#2", "c.tif"}
    assert widths["a.tif#1"] < widths["a.tif#3"] < widths["b.tif#2"] < widths["c.tif"]
    assert [entry.image_id for entry in blank_frames(index.images, store.unusable)] == ["a.tif#2"]
    again = LineStore.open(store.folder)
    assert [entry.image_id for entry in again.unusable] == ["a.tif#2"]


def test_a_page_is_found_by_its_name_and_a_file_of_that_name_comes_first(tmp_path: Path) -> None:
    third = Page(tmp_path / "letter.tif", 3)
    assert Page.named(third.name) == third
    assert Page.named(tmp_path / "letter.png") == Page(tmp_path / "letter.png")
    for name in ("#3", "letter#x"):
        assert Page.named(tmp_path / name) == Page(tmp_path / name)
    third.name.touch()
    assert Page.named(third.name) == Page(third.name)


def test_a_blank_file_of_one_page_is_no_empty_back(tmp_path: Path) -> None:
    BLANK.save(tmp_path / "a.tif")
    image = TextImage("a.tif", tmp_path / "a.tif", "a")
    store = build_line_store(CorpusIndex("x", tmp_path, (image,)), InkSettings(height_px=40), tmp_path / "lines")
    assert len(store.unusable) == 1
    assert blank_frames((image,), store.unusable) == ()


def test_a_file_that_cannot_be_opened_stays_one_image(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0 and no more")
    assert number_frames(tmp_path / "a.tif") == ()
