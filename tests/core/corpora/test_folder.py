from pathlib import Path

import pytest

from core.corpora.folder import FolderCorpus
from core.corpora.index import CorpusIndex, Unit
from core.corpora.settings import FolderSettings
from core.errors import ConfigError, CorpusError


def index_of(root: Path, unit: Unit = "auto") -> CorpusIndex:
    return FolderCorpus(FolderSettings(root=root, unit=unit)).index()


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def test_a_folder_is_a_writer_and_a_file_a_page(folder_root: Path) -> None:
    index = index_of(folder_root)

    assert index.writer_ids == ("000", "001", "002")
    assert len(index.images) == 12
    assert index.has_pages
    first = index.images[0]
    assert (first.image_id, first.page_id, first.unit) == ("000/000-00.png", "000/000-00", "auto")


def test_files_in_a_sub_folder_are_lines_of_one_page(tmp_path: Path) -> None:
    index = index_of(touch(tmp_path, "ann/p1/l1.png", "ann/p1/l2.png", "ann/p2.jpg", "bob/p1.TIF"))

    assert [(image.page_id, image.unit) for image in index.images] == [
        ("ann/p1", "line"),
        ("ann/p1", "line"),
        ("ann/p2", "auto"),
        ("bob/p1", "auto"),
    ]


@pytest.mark.parametrize("unit", ["line", "page"])
def test_a_unit_that_is_set_holds_for_all_files(tmp_path: Path, unit: Unit) -> None:
    index = index_of(touch(tmp_path, "ann/p1/l1.png", "ann/p2.jpg", "bob/p1.bmp"), unit)
    assert {image.unit for image in index.images} == {unit}


def test_numbers_are_ordered_by_value(tmp_path: Path) -> None:
    index = index_of(touch(tmp_path, "w10/p.png", "w9/p10.png", "w9/p2.png", "w9/p1.png"))
    assert [image.image_id for image in index.images] == ["w9/p1.png", "w9/p2.png", "w9/p10.png", "w10/p.png"]


def test_the_same_page_in_two_formats_is_one_page_with_two_images(tmp_path: Path) -> None:
    index = index_of(touch(tmp_path, "ann/p1.png", "ann/p1.jpg", "bob/p1.png"))
    assert len({image.image_id for image in index.images}) == 3
    assert len({image.page_id for image in index.images}) == 2


def test_hidden_files_and_other_files_are_passed_over(tmp_path: Path) -> None:
    root = touch(tmp_path, "ann/p1.png", "ann/.p2.png", "ann/notes.txt", "bob/p1.png", ".git/x.png", "README.md")
    index = index_of(root)
    assert [image.image_id for image in index.images] == ["ann/p1.png", "bob/p1.png"]
    assert index.unusable == ()


def test_what_cannot_be_placed_is_unusable_with_a_reason(tmp_path: Path) -> None:
    root = touch(tmp_path, "ann/p1.png", "bob/p1.png", "stray.png", "carl/notes.txt", "bob/p2/deep/x.png")
    reasons = {entry.path.relative_to(root).as_posix(): entry.reason for entry in index_of(root).unusable}
    assert reasons == {
        "bob/p2/deep/x.png": "lies deeper than <writer>/<page>/<line>",
        "carl": "the writer's folder holds no images",
        "stray.png": "lies outside any writer's folder",
    }


def test_an_empty_writer_folder_does_not_make_a_writer(tmp_path: Path) -> None:
    root = touch(tmp_path, "ann/p1.png", "bob/p1.png")
    (root / "carl").mkdir()
    assert index_of(root).writer_ids == ("ann", "bob")


def test_one_writer_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"two writers or more.*1 \(ann\).*<writer>/<page>"):
        index_of(touch(tmp_path, "ann/p1.png"))


@pytest.mark.parametrize(("name", "said"), [("gone", "not there"), ("file.txt", "a file")])
def test_a_root_that_is_no_folder_is_refused(tmp_path: Path, name: str, said: str) -> None:
    touch(tmp_path, "file.txt")
    with pytest.raises(CorpusError, match=rf"{name} is {said}"):
        index_of(tmp_path / name)


def test_the_settings_want_a_root() -> None:
    with pytest.raises(ConfigError, match="root: is missing"):
        FolderSettings()


@pytest.mark.parametrize("parts", [("trainset", "testset"), ("formsA-D", "formsE-H"), ("p1", "p4")])
def test_the_parts_of_a_known_corpus_are_not_taken_for_writers(tmp_path: Path, parts: tuple[str, str]) -> None:
    with pytest.raises(CorpusError, match="one sub-folder a writer, named after the writer"):
        index_of(touch(tmp_path, *(f"{part}/x.png" for part in parts)))
    assert index_of(touch(tmp_path, "ann/x.png")).writer_ids == ("ann", *sorted(parts))
