import unicodedata
from pathlib import Path

import pytest

from core.corpora.catalogue import open_corpus
from core.corpora.index import CorpusIndex, Unit
from core.corpora.settings import ManifestSettings
from core.errors import CorpusError
from tests.core.corpora.image_tree import make_tree

IMAGES = ["scans/ann 1.png", "scans/ann2.png", "scans/bob1.tif", "scans/bob2.tif"]


def index_of(folder: Path, content: str | bytes, unit: Unit = "auto") -> CorpusIndex:
    table = make_tree(folder, IMAGES) / "people.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_corpus(ManifestSettings(file=table, unit=unit), folder).index()


def test_the_index_is_what_the_table_says(tmp_path: Path) -> None:
    index = index_of(
        tmp_path,
        "path,writer,page,text,split\n"
        "scans/ann 1.png,001,p1,The quick fox,train\n"
        "scans/ann2.png,001,p1,,test\n"
        'scans/bob1.tif,1,p1,"A, b",TRAIN\n'
        "scans/bob2.tif,1,,,\n",
    )
    assert [
        (image.image_id, image.writer_id, image.page_id, image.text, image.text_id, image.official_split, image.unit)
        for image in index.images
    ] == [
        ("scans/ann 1.png", "001", "001/p1", "The quick fox", "The quick fox", "train", "auto"),
        ("scans/ann2.png", "001", "001/p1", None, None, "test", "auto"),
        ("scans/bob1.tif", "1", "1/p1", "A, b", "A, b", "train", "auto"),
        ("scans/bob2.tif", "1", "scans/bob2.tif", None, None, None, "auto"),
    ]
    assert [image.path for image in index.images] == [tmp_path / name for name in IMAGES]
    assert (index.name, index.root, index.unusable) == ("people", tmp_path, ())


@pytest.mark.parametrize(
    "content",
    [
        "path,writer\nscans/ann 1.png,ann\nscans/bob1.tif,bob\n",
        "\ufeffpath,writer\nscans/ann 1.png,ann\nscans/bob1.tif,bob\n",
        "path;writer\r\nscans/ann 1.png;ann\r\nscans/bob1.tif;bob\r\n",
        "Writer\tPath\nann\tscans/ann 1.png\nbob\tscans/bob1.tif",
        "path, writer\n\nscans/ann 1.png, ann\nscans/bob1.tif, bob,\n ,\n\n",
        'path,writer\n"scans\\ann 1.png","ann"\n./scans/bob1.tif,bob\n',
        "sep=;\r\npath;writer\r\nscans/ann 1.png;ann\r\nscans/bob1.tif;bob\r\n",
        '\ufeff"sep=\t"\r\npath\twriter\r\nscans/ann 1.png\tann\r\nscans/bob1.tif\tbob\r\n',
    ],
    ids=[
        *("plain", "BOM", "semicolons and CRLF", "tabs, other order", "blanks and empty lines", "quotes, backslashes"),
        *("Excel's first line", "Excel's first line, tabs"),
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, content: str) -> None:
    index = index_of(tmp_path, content)
    assert [(image.image_id, image.writer_id) for image in index.images] == [
        ("scans/ann 1.png", "ann"),
        ("scans/bob1.tif", "bob"),
    ]


def test_lines_are_counted_from_excels_own_first_one(tmp_path: Path) -> None:
    index = index_of(tmp_path, "sep=;\npath;writer\nscans/ann 1.png;ann\nscans/bob1.tif;bob\ngone.png;bob\n")
    assert [entry.reason.split(" of ")[0] for entry in index.unusable] == ["line 5"]


def test_a_name_in_another_unicode_form_than_the_files_is_found(tmp_path: Path) -> None:
    make_tree(tmp_path, [unicodedata.normalize("NFD", "Zoë.png")])
    index = index_of(tmp_path, f"path,writer\n{unicodedata.normalize('NFC', 'Zoë.png')},zoe\nscans/bob1.tif,bob\n")
    assert [image.writer_id for image in index.images] == ["zoe", "bob"]
    assert all(image.path.is_file() for image in index.images)


def test_rows_that_cannot_be_used_are_unusable_with_their_line(tmp_path: Path) -> None:
    index = index_of(
        tmp_path,
        "path,writer\nscans/ann 1.png,ann\nscans/ann 1.png,bob\nscans/ann2.png,\ngone.png,ann\n,ann\n"
        "scans/bob1.tif,bob\nscans/bob2.tif,bob\nscans/ann2.png,ann\n",
    )
    assert [image.writer_id for image in index.images] == ["ann", "bob", "bob", "ann"]
    assert [(entry.path.name, entry.reason.split(": ")[1]) for entry in index.unusable] == [
        ("ann 1.png", "names a file that an earlier line has"),
        ("ann2.png", "names no writer"),
        ("gone.png", "names a file that is not there"),
        ("people.csv", "names no path"),
    ]
    assert [entry.reason.split(" of ")[0] for entry in index.unusable] == ["line 3", "line 4", "line 5", "line 6"]


def test_lines_without_a_page_have_none(tmp_path: Path) -> None:
    index = index_of(tmp_path, "path,writer\nscans/ann 1.png,ann\nscans/bob1.tif,bob\n", unit="line")
    assert {(image.page_id, image.unit) for image in index.images} == {(None, "line")}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("file,writer\na.png,ann\n", r"lacks \['path'\].*path,writer,page,text,split"),
        ("path,writer,author\na.png,ann,x\n", r"unknown \['author'\]"),
        ("path,writer,writer\na.png,ann,x\n", r"twice \['writer'\]"),
        ("", r"lacks \['path', 'writer'\]"),
        (b"path,writer\n\xff\xfe.png,ann\n", "UTF-8"),
        ("path,writer\nscans/bob, 1.png,ann\n", r"Line 2 .*must have 2 cells, but has 3.*double quotes"),
        (
            "path,writer,split\nscans/ann2.png,ann,train\nscans/bob1.tif,bob,val\n",
            "train or test, but is 'val' in line 3",
        ),
        ("path,writer\nann2.png,ann\nbob1.tif,bob\n", r"only 0 of 2 are: line 2 .*not there.*Paths start at"),
        ("path,writer\nscans/ann2.png,ann\n", r"two writers or more.*1 \(ann\)"),
        ("path,writer\n", "two writers or more.*nobody"),
    ],
)
def test_a_table_of_another_make_is_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(CorpusError, match=said):
        index_of(tmp_path, content)


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"corpus\.file.*gone\.csv is not there"):
        open_corpus(ManifestSettings(file=tmp_path / "gone.csv"), tmp_path).index()
    with pytest.raises(CorpusError, match=r"is a folder"):
        open_corpus(ManifestSettings(file=tmp_path), tmp_path).index()
