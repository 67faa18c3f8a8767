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
    text.write_text("not an image")
    Image.new("L", (300, 120), 255).save(blank)
    empty.touch()
    bad = [text, blank, empty, tmp_path / "missing.png"]
    answer = identify([bad[0], good, *bad[1:]], model_folder)
    assert [Path(prediction.image) for prediction in answer.images] == [good]
    assert [item.path for item in answer.unreadable] == bad
    assert all(str(item.path) in item.reason for item in answer.unreadable)


def test_identify_without_any_readable_image_is_an_error_that_names_each(model_folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("not an image")
    with pytest.raises(ImageError, match=r"letter\.txt"):
        identify([text], model_folder)
    with pytest.raises(ImageError, match="no image was given"):
        identify([], model_folder)
