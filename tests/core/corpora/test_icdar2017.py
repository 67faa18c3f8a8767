from pathlib import Path

from core.corpora.catalogue import open_corpus
from core.corpora.index import natural_key
from core.corpora.settings import Icdar2017Settings
from tests.core.corpora.image_tree import ICDAR2017, make_tree, rows


def test_the_index_is_what_was_generated(tmp_path: Path) -> None:
    root = make_tree(tmp_path, ICDAR2017)
    index = open_corpus(Icdar2017Settings(root=root), tmp_path).index()

    assert rows(index) == {(name, writer, name[:-4], None, "page") for name, writer in ICDAR2017.items()}
    assert [image.image_id for image in index.images] == [
        Path(name).stem for name in sorted(ICDAR2017, key=natural_key)
    ]
    assert (index.name, index.root, index.generated, index.unusable, index.not_chosen) == (
        "icdar2017",
        root,
        False,
        (),
        (),
    )
    assert index.has_pages


def test_files_that_were_cut_before_are_lines(tmp_path: Path) -> None:
    index = open_corpus(Icdar2017Settings(root=make_tree(tmp_path, ICDAR2017), unit="line"), tmp_path).index()
    assert {image.unit for image in index.images} == {"line"}


def test_the_colour_image_is_used_where_a_bilevel_one_lies_beside(tmp_path: Path) -> None:
    bilevel = [f"binarized/{name[:-4]}.png" for name in ICDAR2017]
    colour = [f"color/{name}" for name in ICDAR2017]
    index = open_corpus(Icdar2017Settings(root=make_tree(tmp_path, [*bilevel, *colour])), tmp_path).index()
    assert {path for path, *_ in rows(index)} == set(colour)
    assert {entry.path.relative_to(tmp_path).as_posix() for entry in index.not_chosen} == set(bilevel)
    assert all("color" in entry.reason for entry in index.not_chosen)


def test_writers_without_zeros_are_read_too(tmp_path: Path) -> None:
    index = open_corpus(
        Icdar2017Settings(root=make_tree(tmp_path, ["1-IMG_MAX_6.png", "20-IMG_MAX_7.png"])), tmp_path
    ).index()
    assert index.writer_ids == ("1", "20")
