from pathlib import Path

from core.corpora.catalogue import open_corpus
from core.corpora.settings import Icdar2013Settings
from tests.core.corpora.image_tree import ICDAR2013, make_tree, reasons, rows


def test_the_index_is_what_was_generated(tmp_path: Path) -> None:
    root = make_tree(tmp_path, ICDAR2013)
    index = open_corpus(Icdar2013Settings(root=root), tmp_path).index()

    assert rows(index) == {(name, writer, name[:-4], name[4], "page") for name, writer in ICDAR2013.items()}
    assert [image.image_id for image in index.images] == [Path(name).stem for name in ICDAR2013]
    assert (index.name, index.root, index.generated, index.unusable, index.not_chosen) == (
        "icdar2013",
        root,
        False,
        (),
        (),
    )
    assert index.has_pages


def test_files_that_were_cut_before_are_lines(tmp_path: Path) -> None:
    index = open_corpus(Icdar2013Settings(root=make_tree(tmp_path, ICDAR2013), unit="line"), tmp_path).index()
    assert {image.unit for image in index.images} == {"line"}


def test_leading_zeros_stay(tmp_path: Path) -> None:
    index = open_corpus(Icdar2013Settings(root=make_tree(tmp_path, ICDAR2013)), tmp_path).index()
    assert index.writer_ids == ("001", "002", "350")


def test_parts_in_folders_of_their_own_are_read_together(tmp_path: Path) -> None:
    names = [f"{'experimental' if name < '100' else 'benchmarking'}/{name}" for name in ICDAR2013]
    index = open_corpus(
        Icdar2013Settings(root=make_tree(tmp_path, [*names, "benchmarking/notes_1.tif"])), tmp_path
    ).index()
    assert {path for path, *_ in rows(index)} == set(names)
    assert list(reasons(index)) == ["benchmarking/notes_1.tif"]
