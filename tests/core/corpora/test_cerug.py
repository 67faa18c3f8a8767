from pathlib import Path

from core.corpora.catalogue import open_corpus
from core.corpora.settings import CerugSettings
from tests.core.corpora.image_tree import CERUG, make_tree, reasons, rows


def test_the_index_is_what_was_generated(tmp_path: Path) -> None:
    root = make_tree(tmp_path, CERUG)
    index = open_corpus(CerugSettings(root=root), tmp_path).index()

    assert rows(index) == {(name, writer, name[:-4], None, "page") for name, writer in CERUG.items()}
    assert [image.image_id for image in index.images] == [Path(name).stem for name in CERUG]
    assert (index.name, index.root, index.generated, index.unusable, index.not_chosen) == ("cerug", root, False, (), ())
    assert index.has_pages


def test_files_that_were_cut_before_are_lines(tmp_path: Path) -> None:
    index = open_corpus(CerugSettings(root=make_tree(tmp_path, CERUG), unit="line"), tmp_path).index()
    assert {image.unit for image in index.images} == {"line"}


def test_what_follows_the_first_underscore_is_no_part_of_the_writer(tmp_path: Path) -> None:
    index = open_corpus(
        CerugSettings(root=make_tree(tmp_path, ["0101_01_a.tif", "0102_page 2.tif", "0103.tif"])), tmp_path
    ).index()
    assert index.writer_ids == ("0101", "0102")
    assert list(reasons(index)) == ["0103.tif"]
