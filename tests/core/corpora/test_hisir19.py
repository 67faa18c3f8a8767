from pathlib import Path

from core.corpora.catalogue import open_corpus
from core.corpora.settings import Hisir19Settings
from tests.core.corpora.image_tree import HISIR19, make_tree, reasons, rows


def test_the_index_is_what_was_generated(tmp_path: Path) -> None:
    root = make_tree(tmp_path, HISIR19)
    index = open_corpus(Hisir19Settings(root=root), tmp_path).index()

    assert rows(index) == {(name, writer, name[:-4], None, "page") for name, writer in HISIR19.items()}
    assert [image.image_id for image in index.images] == [Path(name).stem for name in HISIR19]
    assert (index.name, index.root, index.generated, index.unusable, index.not_chosen) == (
        "hisir19",
        root,
        False,
        (),
        (),
    )
    assert index.has_pages


def test_files_that_were_cut_before_are_lines(tmp_path: Path) -> None:
    index = open_corpus(Hisir19Settings(root=make_tree(tmp_path, HISIR19), unit="line"), tmp_path).index()
    assert {image.unit for image in index.images} == {"line"}


def test_other_names_are_unusable(tmp_path: Path) -> None:
    index = open_corpus(Hisir19Settings(root=make_tree(tmp_path, [*HISIR19, "cover.jpg", "gt.csv"])), tmp_path).index()
    assert list(reasons(index)) == ["cover.jpg"]
