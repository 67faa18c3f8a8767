from pathlib import Path

from core.corpora.catalogue import open_corpus
from core.corpora.settings import CsafeSettings
from tests.core.corpora.image_tree import CSAFE, make_tree, reasons, rows


def test_the_index_is_what_was_generated(tmp_path: Path) -> None:
    root = make_tree(tmp_path, CSAFE)
    index = open_corpus(CsafeSettings(root=root), tmp_path).index()

    assert rows(index) == {(name, writer, name[:-4], name[10:14], "page") for name, writer in CSAFE.items()}
    assert [image.image_id for image in index.images] == [Path(name).stem for name in CSAFE]
    assert (index.name, index.root, index.generated, index.unusable, index.not_chosen) == ("csafe", root, False, (), ())
    assert index.has_pages


def test_files_that_were_cut_before_are_lines(tmp_path: Path) -> None:
    index = open_corpus(CsafeSettings(root=make_tree(tmp_path, CSAFE), unit="line"), tmp_path).index()
    assert {image.unit for image in index.images} == {"line"}


def test_other_names_are_unusable_and_hidden_files_passed_over(tmp_path: Path) -> None:
    others = ["w9_s01_pWOZ_r01.png", "w0009_s01_pWOZ.png", "surveys.csv", "._w0009_s01_pWOZ_r01.png", "__MACOSX/x.png"]
    index = open_corpus(CsafeSettings(root=make_tree(tmp_path, [*CSAFE, *others])), tmp_path).index()
    assert len(index.images) == len(CSAFE)
    assert sorted(reasons(index)) == ["w0009_s01_pWOZ.png", "w9_s01_pWOZ_r01.png"]
    assert "named like w0009_s01_pWOZ_r01.png" in reasons(index)["w0009_s01_pWOZ.png"]


def test_a_converted_copy_is_excluded(tmp_path: Path) -> None:
    copies = [f"jpg/{name[:-4]}.jpg" for name in CSAFE]
    index = open_corpus(CsafeSettings(root=make_tree(tmp_path, [*CSAFE, *copies])), tmp_path).index()
    assert {image.path.suffix for image in index.images} == {".png"}
    assert {entry.path.relative_to(tmp_path).as_posix() for entry in index.not_chosen} == set(copies)
    assert index.unusable == ()
