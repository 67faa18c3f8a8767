"""The generated corpus: what is on its pages, that they never change, and that only whole ones are
used.
"""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from core.corpora.hands import HandsCorpus
from core.corpora.index import CorpusIndex, TextImage
from core.corpora.settings import HandsSettings
from core.errors import ConfigError, CorpusError

SMALL = HandsSettings(n_writers=3, n_pages=2, n_lines=3)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def index(data_dir: Path) -> CorpusIndex:
    return HandsCorpus(SMALL, data_dir).index()


def read(image: TextImage) -> np.ndarray:
    page = cv2.imread(str(image.path), cv2.IMREAD_UNCHANGED)
    assert page is not None
    return page


def cut(image: TextImage) -> np.ndarray:
    assert image.region is not None
    region = image.region
    return read(image)[region.top : region.top + region.height, region.left : region.left + region.width]


def test_every_line_of_every_page_of_every_writer_is_in_the_index_once(index: CorpusIndex) -> None:
    assert index.generated
    assert index.has_pages
    assert len(index.writer_ids) == 3
    assert len({image.page_id for image in index.images}) == 3 * 2
    assert len({image.image_id for image in index.images}) == len(index.images) == 3 * 2 * 3
    assert {image.unit for image in index.images} == {"line"}


def test_each_page_is_a_grey_png_of_one_writer(index: CorpusIndex) -> None:
    writers_of_page = {
        image.path: {i.writer_id for i in index.images if i.path == image.path} for image in index.images
    }
    assert {len(writers) for writers in writers_of_page.values()} == {1}
    for path in writers_of_page:
        assert path.suffix == ".png"
        page = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert page is not None
        assert page.dtype == np.uint8
        assert page.ndim == 2


def test_no_two_lines_say_the_same_and_the_text_id_tells(index: CorpusIndex) -> None:
    texts = [image.text for image in index.images]
    assert all(texts)
    assert len(set(texts)) == len(texts) == len({image.text_id for image in index.images})


def test_a_region_holds_a_line_of_ink_and_the_regions_follow_down_the_page(index: CorpusIndex) -> None:
    for image in index.images:
        line = cut(image)
        assert image.region is not None
        assert line.shape == (image.region.height, image.region.width)
        assert 60 <= line.shape[0] <= 220
        assert line.shape[1] > 600
        assert 0.01 < (line < 128).mean() < 0.4
    for page_id in {image.page_id for image in index.images}:
        tops = [image.region.top for image in index.images if image.page_id == page_id and image.region]
        assert tops == sorted(tops)


def test_all_ink_of_a_page_lies_in_its_regions(index: CorpusIndex) -> None:
    path = index.images[0].path
    page = read(index.images[0]).copy()
    for image in index.images:
        if image.path == path and image.region is not None:
            region = image.region
            page[region.top : region.top + region.height, region.left : region.left + region.width] = 255
    assert page.min() > 160


def test_a_second_reading_renders_nothing_and_gives_the_same(index: CorpusIndex, data_dir: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in index.root.iterdir()}
    assert HandsCorpus(SMALL, data_dir).index() == index
    assert {path: path.stat().st_mtime_ns for path in index.root.iterdir()} == before


def test_the_same_settings_give_the_same_bytes_elsewhere(index: CorpusIndex, tmp_path: Path) -> None:
    again = HandsCorpus(SMALL, tmp_path).index()
    assert [image.text for image in again.images] == [image.text for image in index.images]
    for path in index.root.iterdir():
        assert (again.root / path.name).read_bytes() == path.read_bytes()


def test_a_page_does_not_depend_on_how_many_writers_and_pages_there_are(index: CorpusIndex, tmp_path: Path) -> None:
    more = HandsCorpus(HandsSettings(n_writers=4, n_pages=3, n_lines=3), tmp_path).index()
    for path in index.root.glob("*.png"):
        assert (more.root / path.name).read_bytes() == path.read_bytes()


def test_another_seed_gives_other_writers_and_texts(index: CorpusIndex, tmp_path: Path) -> None:
    other = HandsCorpus(HandsSettings(n_writers=2, n_pages=1, n_lines=3, seed=1), tmp_path).index()
    assert not {image.text for image in other.images} & {image.text for image in index.images}


@pytest.mark.parametrize("damage", ["manifest.json", "000-00.png"])
def test_a_folder_with_a_missing_file_is_rendered_again(damage: str, tmp_path: Path) -> None:
    settings = HandsSettings(n_writers=2, n_pages=1, n_lines=1)
    whole = HandsCorpus(settings, tmp_path).index()
    (whole.root / damage).unlink()
    assert HandsCorpus(settings, tmp_path).index() == whole
    assert (whole.root / damage).is_file()


@pytest.mark.parametrize("damage", ["manifest.json", "001-00.png"])
def test_a_folder_with_a_file_cut_short_is_rendered_again(damage: str, tmp_path: Path) -> None:
    settings = HandsSettings(n_writers=2, n_pages=1, n_lines=1)
    whole = HandsCorpus(settings, tmp_path).index()
    file = whole.root / damage
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    assert HandsCorpus(settings, tmp_path).index() == whole
    assert file.read_bytes() == content


def test_what_a_killed_process_left_behind_is_never_used(tmp_path: Path) -> None:
    settings = HandsSettings(n_writers=2, n_pages=1, n_lines=1)
    corpus = HandsCorpus(settings, tmp_path)
    left_behind = corpus.folder.with_suffix(".partial")
    left_behind.mkdir(parents=True)
    (left_behind / "000-00.png").write_bytes(b"half a pa")
    index = corpus.index()
    assert not left_behind.exists()
    assert read(index.images[0]).size > 0


def test_two_at_once_render_once_and_agree(tmp_path: Path) -> None:
    settings = HandsSettings(n_writers=2, n_pages=2, n_lines=2)
    indexes: list[CorpusIndex] = []
    threads = [
        threading.Thread(target=lambda: indexes.append(HandsCorpus(settings, tmp_path).index())) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert indexes[0] == indexes[1]
    assert {path.suffix for path in (tmp_path / "hands").iterdir()} <= {"", ".lock"}


def test_a_data_folder_that_cannot_be_written_is_named_in_the_error(tmp_path: Path) -> None:
    blocked = tmp_path / "data"
    blocked.write_text("a file where a folder should be")
    with pytest.raises(CorpusError, match="data"):
        HandsCorpus(SMALL, blocked).index()


@pytest.mark.parametrize("key", ["n_writers", "n_pages", "n_lines"])
def test_no_writers_pages_or_lines_are_refused(key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        HandsSettings.model_validate({key: 0})


def test_one_writer_is_refused_because_there_is_nobody_to_tell_apart() -> None:
    with pytest.raises(ConfigError, match="n_writers"):
        HandsSettings(n_writers=1)


def test_pages_without_troubles_are_those_of_0_1() -> None:
    settings = HandsSettings(n_writers=3, n_pages=2, n_lines=4)
    assert HandsCorpus(settings, Path("data")).folder.name == "a5be0bc2783d0bf6"
    assert HandsCorpus(settings.model_copy(update={"paper": "ruled"}), Path("data")).folder.name != "a5be0bc2783d0bf6"
    assert HandsCorpus(settings.model_copy(update={"unit": "page"}), Path("data")).folder.name == "a5be0bc2783d0bf6"


def test_pages_can_have_troubles_and_be_images_themselves(tmp_path: Path) -> None:
    settings = HandsSettings(n_writers=2, n_pages=1, n_lines=2, paper="ruled", skew="fan", columns=2)
    lines = HandsCorpus(settings, tmp_path).index().images
    assert len(lines) == 2 * 1 * 2 * 2
    assert cut(lines[0]).min() < 100
    pages = HandsCorpus(settings.model_copy(update={"unit": "page"}), tmp_path).index().images
    assert [page.path for page in pages] == list(dict.fromkeys(line.path for line in lines))
    assert {page.unit for page in pages} == {"page"}
    assert pages[0].text == " ".join(str(line.text) for line in lines[:4])
