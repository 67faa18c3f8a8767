from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.corpora.catalogue import open_corpus
from core.corpora.index import CorpusIndex
from core.corpora.settings import PatternSettings
from core.errors import CorpusError
from tests.core.corpora.image_tree import make_tree, reasons, rows


def index_of(root: Path, pattern: str, **others: Any) -> CorpusIndex:
    return open_corpus(PatternSettings(root=root, pattern=pattern, **others), root).index()


def test_the_groups_say_writer_page_line_text_and_split(tmp_path: Path) -> None:
    names = [
        f"{split}/{writer}/{text}_{page}_{line}.png"
        for split, writer in (("train", "001"), ("TEST", "01"))
        for text in ("letter", "ode")
        for page in "12"
        for line in "12"
    ]
    pattern = r"(?P<split>\w+)/(?P<writer>\d+)/(?P<text>[a-z]+)_(?P<page>\d)_(?P<line>\d)"
    index = index_of(make_tree(tmp_path, names), pattern)

    expected = set()
    for name in names:
        _, writer, rest = name.split("/")
        text, page, _ = rest.split("_")
        expected.add((name, writer, f"{writer}/{page}", text, "line"))
    assert rows(index) == expected
    assert {image.official_split for image in index.images if image.writer_id == "001"} == {"train"}
    assert {image.official_split for image in index.images if image.writer_id == "01"} == {"test"}
    assert index.unusable == ()


def test_a_writer_alone_makes_each_file_a_page(tmp_path: Path) -> None:
    index = index_of(make_tree(tmp_path, ["ann-1.jpg", "ann-2.jpg", "bob-1.jpg"]), r"(?P<writer>[a-z]+)-\d")
    assert rows(index) == {(f"{name}.jpg", name[:3], name, None, "auto") for name in ("ann-1", "ann-2", "bob-1")}


def test_lines_without_a_page_have_none(tmp_path: Path) -> None:
    names = ["ann-1.jpg", "bob-1.jpg"]
    by_group = index_of(make_tree(tmp_path, names), r"(?P<writer>[a-z]+)-(?P<line>\d)")
    by_unit = index_of(tmp_path, r"(?P<writer>[a-z]+)-\d", unit="line")
    assert by_group.images == by_unit.images
    assert not by_group.has_pages


def test_a_group_that_is_not_there_each_time_may_be_missing(tmp_path: Path) -> None:
    index = index_of(make_tree(tmp_path, ["ann.jpg", "bob_2.jpg"]), r"(?P<writer>[a-z]+)(?:_(?P<page>\d))?")
    assert [image.page_id for image in index.images] == ["ann", "bob/2"]


def test_the_pattern_is_for_the_whole_path(tmp_path: Path) -> None:
    root = make_tree(tmp_path, ["1_1.png", "2_1.png", "2_2.png", "2_1_old.png", "sub/3_1.png", "3_1.v2.png"])
    index = index_of(root, r"(?P<writer>\d+)_(?P<page>\d+)")
    assert {path for path, *_ in rows(index)} == {"1_1.png", "2_1.png", "2_2.png"}
    assert set(reasons(index)) == {"2_1_old.png", "sub/3_1.png", "3_1.v2.png"}


def test_a_part_that_is_neither_train_nor_test_is_unusable(tmp_path: Path) -> None:
    root = make_tree(tmp_path, ["train/1.png", "test/2.png", "val/3.png"])
    assert list(reasons(index_of(root, r"(?P<split>\w+)/(?P<writer>\d)"))) == ["val/3.png"]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"(?P<writer>\d+", r"regular expression such as .*is none: missing \).*single quotes"),
        (r"(\d+)_(\d+)", r"must have a group `\(\?P<writer>\.\.\.\)`"),
        (r"(?P<writer>\d+)_(?P<author>\d+)", r"writer, page, line, text, split.*\['author'\]"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused_at_once(tmp_path: Path, pattern: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PatternSettings(root=tmp_path, pattern=pattern)


def test_a_pattern_that_fits_nothing_is_shown_beside_what_is_there(tmp_path: Path) -> None:
    make_tree(tmp_path, ["ann.png", "bob.png"])
    with pytest.raises(CorpusError, match=r"the pattern '\(\?P<writer>.*such as ann\.png, bob\.png"):
        index_of(tmp_path, r"(?P<writer>\d+)")
