from pathlib import Path

import pytest
from PIL import Image

from core.errors import ImageError
from search.identification.identify import Identification, identify
from tests.search.toy_model import WRITER_IDS, save_toy_model, write_line


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_model(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with lines, files of several pages, and files that are no images."""
    folder = tmp_path_factory.mktemp("pages")
    first, second = (Image.open(write_line(folder / f"{size}.png", size)).convert("L") for size in (28, 20))
    blank, small = Image.new("L", first.size, 255), first.resize((first.width // 5, first.height // 5))
    files: dict[str, list[Image.Image]] = {
        "many.tif": [first, second],
        "blank.tif": [blank, first],
        "small.tif": [small, first],
        "empty.tif": [blank, blank],
        "many.pdf": [first, second],
    }
    for name, frames in files.items():
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    blank.save(folder / "blank.png")
    (folder / "letter.txt").write_text("not an image")
    (folder / "torn.pdf").write_bytes(b"%PDF-1.7 torn")
    (folder / "empty.png").touch()
    return folder


LINES, FILES = ("28.png", "20.png"), ("many.tif", "blank.tif", "small.tif", "empty.tif", "many.pdf")
BAD = ("letter.txt", "blank.png", "empty.png", "missing.png", "torn.pdf")


@pytest.fixture(scope="module")
def answer(model_folder: Path, pages: Path) -> Identification:
    """To lines, one of them twice, several pages a file, and what cannot be read in between."""
    names = [BAD[0], *LINES, LINES[0], *BAD[1:], *FILES]
    return identify([pages / name for name in names], model_folder)


def test_identify_ranks_all_writers_for_each_image_and_for_all_together(answer: Identification) -> None:
    assert [Path(prediction.image).name for prediction in answer.images][:2] == list(LINES)
    for ranking in (*(prediction.ranking for prediction in answer.images), answer.together):
        assert {writer.writer_id for writer in ranking} == set(WRITER_IDS)
        assert sum(writer.probability for writer in ranking) == pytest.approx(1.0)
        assert sorted(ranking, key=lambda writer: -writer.probability) == list(ranking)
    assert all(prediction.n_lines == 1 and 1 <= prediction.n_patches <= 6 for prediction in answer.images[:2])


def test_identify_names_what_it_cannot_read_and_goes_on_with_the_others(answer: Identification) -> None:
    assert [item.path.name for item in answer.unreadable] == [*BAD, "empty.tif"]
    assert all(str(item.path) in item.reason for item in answer.unreadable)
    assert "torn.pdf is damaged" in answer.unreadable[-2].reason


def test_each_page_of_a_file_is_answered_by_itself_and_named(answer: Identification) -> None:
    assert [Path(prediction.image).name for prediction in answer.images][2:] == [
        *("many.tif#1", "many.tif#2", "blank.tif#2", "small.tif#2", "many.pdf#1", "many.pdf#2")
    ]
    assert answer.images[0].ranking == answer.images[2].ranking


@pytest.mark.long
def test_identify_without_any_readable_image_is_an_error_that_names_each(model_folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("not an image")
    with pytest.raises(ImageError, match=r"letter\.txt"):
        identify([text], model_folder)
    with pytest.raises(ImageError, match="no image was given"):
        identify([], model_folder)
