from pathlib import Path

import pytest
from PIL import Image

from core.errors import ImageError
from search.identification.identify import identify
from tests.search.toy_model import WRITER_IDS, save_toy_model, write_line


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_model(tmp_path_factory.mktemp("saved") / "model")


def test_identify_ranks_all_writers_for_each_image_and_for_all_together(model_folder: Path, tmp_path: Path) -> None:
    paths = [write_line(tmp_path / "b.png", 28), write_line(tmp_path / "a.png")]
    answer = identify([*paths, paths[0]], model_folder)
    assert [Path(prediction.image) for prediction in answer.images] == paths
    for ranking in (*(prediction.ranking for prediction in answer.images), answer.together):
        assert {writer.writer_id for writer in ranking} == set(WRITER_IDS)
        assert sum(writer.probability for writer in ranking) == pytest.approx(1.0)
        assert sorted(ranking, key=lambda writer: -writer.probability) == list(ranking)
    assert all(prediction.n_lines == 1 and 1 <= prediction.n_patches <= 6 for prediction in answer.images)


def test_identify_names_what_it_cannot_read_and_goes_on_with_the_others(model_folder: Path, tmp_path: Path) -> None:
    good = write_line(tmp_path / "good.png")
    text, blank, empty = tmp_path / "letter.txt", tmp_path / "blank.png", tmp_path / "empty.png"
    torn = tmp_path / "torn.pdf"
    text.write_text("not an image")
    torn.write_bytes(b"%PDF-1.7 torn")
    Image.new("L", (300, 120), 255).save(blank)
    empty.touch()
    bad = [text, blank, empty, tmp_path / "missing.png", torn]
    answer = identify([bad[0], good, *bad[1:]], model_folder)
    assert [Path(prediction.image) for prediction in answer.images] == [good]
    assert [item.path for item in answer.unreadable] == bad
    assert all(str(item.path) in item.reason for item in answer.unreadable)
    assert "torn.pdf is damaged" in answer.unreadable[-1].reason


def test_identify_without_any_readable_image_is_an_error_that_names_each(model_folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("not an image")
    with pytest.raises(ImageError, match=r"letter\.txt"):
        identify([text], model_folder)
    with pytest.raises(ImageError, match="no image was given"):
        identify([], model_folder)


def test_each_page_of_a_file_is_answered_by_itself_and_named(model_folder: Path, tmp_path: Path) -> None:
    first, second = (Image.open(write_line(tmp_path / f"{size}.png", size)).convert("L") for size in (28, 20))
    blank, small = Image.new("L", first.size, 255), first.resize((first.width // 5, first.height // 5))
    files: dict[str, list[Image.Image]] = {
        "many.tif": [first, second],
        "blank.tif": [blank, first],
        "small.tif": [small, first],
        "empty.tif": [blank, blank],
        "many.pdf": [first, second],
    }
    for name, frames in files.items():
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    answer = identify([*(tmp_path / name for name in files), tmp_path / "28.png"], model_folder)
    assert [Path(prediction.image).name for prediction in answer.images] == [
        *("many.tif#1", "many.tif#2", "blank.tif#2", "small.tif#2", "many.pdf#1", "many.pdf#2", "28.png")
    ]
    assert [item.path.name for item in answer.unreadable] == ["empty.tif"]
    assert answer.images[0].ranking == answer.images[-1].ranking
