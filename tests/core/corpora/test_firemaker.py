from pathlib import Path

from core.corpora.catalogue import open_corpus
from core.corpora.settings import FiremakerSettings
from tests.core.corpora.image_tree import FIREMAKER, make_tree, reasons, rows


def test_the_index_is_what_was_generated(tmp_path: Path) -> None:
    root = make_tree(tmp_path, FIREMAKER)
    index = open_corpus(FiremakerSettings(root=root), tmp_path).index()

    assert rows(index) == {
        (name, writer, name[:-4], name[6] if name[6] != "4" else name[:-4], "page")
        for name, writer in FIREMAKER.items()
    }
    assert [image.image_id for image in index.images] == [Path(name).stem for name in FIREMAKER]
    assert (index.name, index.root, index.generated, index.unusable, index.not_chosen) == (
        "firemaker",
        root,
        False,
        (),
        (),
    )
    assert index.has_pages


def test_files_that_were_cut_before_are_lines(tmp_path: Path) -> None:
    index = open_corpus(FiremakerSettings(root=make_tree(tmp_path, FIREMAKER), unit="line"), tmp_path).index()
    assert {image.unit for image in index.images} == {"line"}


def test_pages_in_folders_of_their_own_are_told_apart(tmp_path: Path) -> None:
    names = [f"p{page}/{writer}.tif" for page in "1234" for writer in ("00101", "00102")]
    index = open_corpus(FiremakerSettings(root=make_tree(tmp_path, names)), tmp_path).index()
    assert len({image.image_id for image in index.images}) == 8
    assert rows(index) == {
        (f"p{page}/{writer}.tif", writer, f"{writer}-{page}", page if page != "4" else f"{writer}-4", "page")
        for page in "1234"
        for writer in ("00101", "00102")
    }


def test_the_parts_of_one_page_stay_together(tmp_path: Path) -> None:
    names = ["00101-1-01.png", "00101-1-02.png", "00102-4-01.png"]
    index = open_corpus(FiremakerSettings(root=make_tree(tmp_path, names), unit="line"), tmp_path).index()
    assert [image.page_id for image in index.images] == ["00101-1", "00101-1", "00102-4"]


def test_other_names_are_unusable(tmp_path: Path) -> None:
    index = open_corpus(
        FiremakerSettings(root=make_tree(tmp_path, [*FIREMAKER, "a01-000u.png", "1.png"])), tmp_path
    ).index()
    assert sorted(reasons(index)) == ["1.png", "a01-000u.png"]
