import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.corpora.catalogue import open_corpus
from core.corpora.image_walk import IMAGE_SUFFIXES
from core.corpora.index import CorpusIndex
from core.corpora.settings import CvlSettings, CvlUnit
from core.errors import CorpusError, SplitError
from core.splits.by_page import split_pages
from core.splits.settings import SplitSettings
from tests.core.corpora.cvl_corpus import decomposed, file_names, write_cvl
from tests.core.corpora.image_tree import TREES, make_tree, reasons


def index(root: Path, **settings: Any) -> CorpusIndex:
    found = open_corpus(CvlSettings(root=root, **settings), root).index()
    assert_nothing_is_lost(found)
    return found


def assert_nothing_is_lost(found: CorpusIndex) -> None:
    """Every image file is used, not chosen or unusable, once; a folder stands for what lies in
    it.
    """
    files = [file for file in found.root.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != "."]
    named = Counter(
        [image.path for image in found.images] + [entry.path for entry in (*found.unusable, *found.not_chosen)]
    )
    assert {file: named[file] + sum(named[folder] for folder in file.parents) for file in files} == dict.fromkeys(
        files, 1
    )


def said(found: CorpusIndex) -> dict[str, tuple[str, str, str | None, str | None]]:
    """(image id, writer, text, part) of every image, by its path below the root."""
    return {
        i.path.relative_to(found.root).as_posix(): (i.image_id, i.writer_id, i.text_id, i.official_split)
        for i in found.images
    }


@pytest.mark.parametrize("unit", ["line", "word"])
def test_the_index_is_what_was_generated(tmp_path: Path, unit: CvlUnit) -> None:
    found = index(write_cvl(tmp_path, unit), unit=unit)

    assert said(found) == file_names(unit)
    assert {image.page_id for image in found.images} == {
        *("0001-1", "0001-6", "0002-1", "0002-8", "0052-1", "0052-2"),
        *("0431-1", "0431-5", "0431-6", "0431-7"),
    }
    assert {image.unit for image in found.images} == {"line"}
    assert (found.name, found.root, found.unusable, found.not_chosen) == ("cvl", tmp_path, (), ())
    assert found.has_pages


def test_of_each_page_the_cropped_image_is_used_and_the_other_is_not(tmp_path: Path) -> None:
    found = index(write_cvl(tmp_path, "page"), unit="page")
    assert said(found) == {name: row for name, row in file_names("page").items() if "cropped" in name}
    assert {image.unit for image in found.images} == {"page"}
    assert len(found.not_chosen) == len(found.images) == 10
    assert {entry.reason for entry in found.not_chosen} == {"shows the page with its print; the cropped image is used"}
    assert found.unusable == ()


def test_a_page_without_cropped_image_is_a_form(tmp_path: Path) -> None:
    root = write_cvl(tmp_path, "page")
    (root / "testset/pages/0052-2-cropped.tif").unlink()
    found = index(root, unit="page")
    assert {image.image_id: image.unit for image in found.images if image.unit != "page"} == {"0052-2": "form"}
    assert "0052-2" not in {entry.path.stem for entry in found.not_chosen}


def test_what_words_say_is_read_from_their_names(tmp_path: Path) -> None:
    root = write_cvl(tmp_path, "word")
    (root / "testset/words/0431/0431-5-0-0-über.tif").rename(
        root / f"testset/words/0431/{decomposed('0431-5-0-0-über')}.tif"
    )
    found = index(root, unit="word")
    assert {image.image_id: image.text for image in found.images} == {
        **{"0001-1-0-0": "Imagine", "0001-1-0-1": "a", "0001-1-1-0": "vast", "0001-1-1-1": "sheet"},
        **{"0001-6-0-0": "Mailüfterl", "0001-6-0-1": "Präsens-", "0002-1-0-0": "Imagine", "0002-1-0-1": None},
        **{"0002-8-0-0": "etc.", "0052-1-0-0": "Imagine", "0052-1-0-1": "a", "0052-2-0-0": "half-way"},
        **{"0052-2-0-1": "U.S.A.", "0431-1-0-0": "Imagine", "0431-5-0-0": "über", "0431-6-0-0": "Öl"},
        **{"0431-6-1-0": "ß", "0431-7-0-0": "-"},
    }


def test_a_name_that_was_spoilt_in_unpacking_leaves_an_image_without_text(tmp_path: Path) -> None:
    root = write_cvl(tmp_path, "word")
    spoilt = root / "trainset" / "words" / "0002" / os.fsdecode(b"0002-8-0-1-sch\xf6n.tif")
    spoilt.touch()
    found = index(root, unit="word")
    assert {image.image_id: image.text for image in found.images}["0002-8-0-1"] is None
    assert found.unusable == ()


def test_a_second_text_under_one_number_is_unusable(tmp_path: Path) -> None:
    root = make_tree(write_cvl(tmp_path, "word"), ["trainset/words/0002/0002-8-0-0-other.tif"])
    found = index(root, unit="word")
    assert "has the number of" in reasons(found)["trainset/words/0002/0002-8-0-0-other.tif"]
    assert len(found.images) == len(file_names("word"))


def test_folders_of_other_units_are_excluded_whole(tmp_path: Path) -> None:
    found = index(write_cvl(tmp_path, "page", "line", "word"))
    assert said(found) == file_names("line")
    assert [(entry.path.relative_to(tmp_path).as_posix(), entry.reason) for entry in found.not_chosen] == [
        (f"{part}/{folder}", f"holds images of {folder}; `corpus.unit` is line")
        for part in ("testset", "trainset")
        for folder in ("pages", "words")
    ]


def test_of_converted_copies_the_original_is_used(tmp_path: Path) -> None:
    root = write_cvl(tmp_path, "page", "line")
    copies = ["trainset/lines/0001/0001-1-0.png", "trainset/lines/0001/0001-1-1.jpg"]
    make_tree(root, [*copies, "trainset/lines/0001/._0001-1-1.tif", "trainset/pages/0001-1-cropped.png"])
    (root / "trainset/lines/0001/0001-1-1.tif").unlink()
    lines = index(root)
    assert {"trainset/lines/0001/0001-1-0.tif", copies[1]} <= set(said(lines))
    assert copies[0] in {entry.path.relative_to(root).as_posix() for entry in lines.not_chosen}
    assert "trainset/pages/0001-1-cropped.tif" in said(index(root, unit="page"))


def test_what_lies_elsewhere_or_is_named_otherwise_is_unusable(tmp_path: Path) -> None:
    strays = ["trainset/lines/0001/scan.tif", "0003-1-0.tif", "trainset/0001-1-5.tif", "more/lines/0001/0009-1-0.tif"]
    found = index(make_tree(write_cvl(tmp_path, "line"), strays))
    assert said(found) == file_names("line")
    assert {name: reason.split(" like ")[0] for name, reason in reasons(found).items()} == {
        strays[0]: "is not named",
        **dict.fromkeys(strays[1:], "lies elsewhere than trainset/lines/0001/0001-1-0.tif"),
    }


def test_one_part_alone_is_enough(tmp_path: Path) -> None:
    names = [name for name in file_names("line") if name.startswith("testset")]
    assert set(said(index(make_tree(tmp_path, names)))) == set(names)


def test_its_own_division_is_by_writer_so_that_known_writers_want_it_ignored(tmp_path: Path) -> None:
    root = make_tree(
        tmp_path,
        [
            f"{part}/lines/{writer}/{writer}-{text}-0.tif"
            for part, writer in (("trainset", "0001"), ("trainset", "0002"), ("testset", "0052"))
            for text in (1, 2, 3)
        ],
    )
    found = index(root)
    with pytest.raises(SplitError, match="in the official train part"):
        split_pages(found, SplitSettings())
    manifest = split_pages(found, SplitSettings(official="ignore"))
    assert manifest.writer_ids == ("0001", "0002", "0052")


def test_a_unit_that_is_not_there_and_one_writer_alone_are_refused(tmp_path: Path) -> None:
    root = write_cvl(tmp_path / "lines", "line")
    with pytest.raises(CorpusError, match=r"`corpus.layout: cvl` wants images of words, such as trainset/words/0001"):
        index(root, unit="word")
    one = make_tree(tmp_path / "one", ["trainset/lines/0001/0001-1-0.tif"])
    with pytest.raises(CorpusError, match=r"two writers or more.*1 \(0001\)"):
        index(one)
    with pytest.raises(CorpusError, match=r"wants images of lines.*not there"):
        index(tmp_path / "gone")


def test_a_root_one_too_high_is_sent_one_deeper(tmp_path: Path) -> None:
    write_cvl(tmp_path / "cvl-database-1-1", "line")
    with pytest.raises(CorpusError, match=r"looks like CVL: .*root: .*cvl-database-1-1"):
        index(tmp_path)


@pytest.mark.parametrize("real", [layout for layout in TREES if layout != "cvl"])
def test_another_corpus_is_named(tmp_path: Path, real: str) -> None:
    with pytest.raises(CorpusError, match=rf"`corpus.layout: cvl` wants .*there are \d.*set `corpus.layout: {real}`"):
        index(make_tree(tmp_path, TREES[real]))
