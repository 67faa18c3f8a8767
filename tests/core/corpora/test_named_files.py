"""Corpora whose file names say everything: the public ones, and a user's own pattern."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from core.corpora.catalogue import open_corpus
from core.corpora.index import CorpusIndex, natural_key
from core.corpora.settings import CorpusSettings, PatternSettings
from core.errors import ConfigError, CorpusError
from tests.core.corpora.image_tree import (
    CERUG,
    CSAFE,
    FIREMAKER,
    HISIR19,
    ICDAR2013,
    ICDAR2017,
    make_tree,
    reasons,
    rows,
)

LAYOUT: TypeAdapter[CorpusSettings] = TypeAdapter(CorpusSettings)
PRESETS: dict[str, Mapping[str, str]] = {
    "cerug": CERUG,
    "csafe": CSAFE,
    "firemaker": FIREMAKER,
    "hisir19": HISIR19,
    "icdar2013": ICDAR2013,
    "icdar2017": ICDAR2017,
}


def text_of(layout: str, name: str) -> str | None:
    match layout:
        case "csafe":
            return name[10:14]
        case "firemaker":
            return name[6] if name[6] != "4" else name[:-4]
        case "icdar2013":
            return name[4]
    return None


def preset(layout: str, root: Path, **others: Any) -> CorpusIndex:
    return open_corpus(LAYOUT.validate_python({"layout": layout, "root": root, **others}), root).index()


@pytest.mark.parametrize("layout", PRESETS)
class TestEveryPreset:
    def test_the_index_is_what_was_generated(self, layout: str, tmp_path: Path) -> None:
        names = PRESETS[layout]
        index = preset(layout, make_tree(tmp_path, names))
        assert rows(index) == {
            (name, writer, name[:-4], text_of(layout, name), "page") for name, writer in names.items()
        }
        assert [image.image_id for image in index.images] == [name[:-4] for name in sorted(names, key=natural_key)]
        assert (index.name, index.root, index.generated) == (layout, tmp_path, False)
        assert (index.unusable, index.not_chosen, index.has_pages) == ((), (), True)

    def test_files_that_were_cut_before_are_lines(self, layout: str, tmp_path: Path) -> None:
        index = preset(layout, make_tree(tmp_path, PRESETS[layout]), unit="line")
        assert {image.unit for image in index.images} == {"line"}

    def test_other_names_are_unusable_and_hidden_files_passed_over(self, layout: str, tmp_path: Path) -> None:
        others = ["cover.jpg", "gt.csv", "._cover.jpg", "__MACOSX/x.png"]
        index = preset(layout, make_tree(tmp_path, [*PRESETS[layout], *others]))
        assert len(index.images) == len(PRESETS[layout])
        assert list(reasons(index)) == ["cover.jpg"]
        assert f"as `corpus.layout: {layout}` wants" in reasons(index)["cover.jpg"]

    def test_a_converted_copy_is_not_chosen(self, layout: str, tmp_path: Path) -> None:
        copies = [f"webp/{name[:-4]}.webp" for name in PRESETS[layout]]
        index = preset(layout, make_tree(tmp_path, [*PRESETS[layout], *copies]))
        assert {image.path.relative_to(tmp_path).as_posix() for image in index.images} == set(PRESETS[layout])
        assert {entry.path.relative_to(tmp_path).as_posix() for entry in index.not_chosen} == set(copies)
        assert index.unusable == ()


def test_cerug_what_follows_the_first_underscore_is_no_part_of_the_writer(tmp_path: Path) -> None:
    index = preset("cerug", make_tree(tmp_path, ["0101_01_a.tif", "0102_page 2.tif", "0103.tif"]))
    assert index.writer_ids == ("0101", "0102")
    assert list(reasons(index)) == ["0103.tif"]


def test_csafe_names_with_a_part_too_short_or_missing_are_unusable(tmp_path: Path) -> None:
    others = ["w9_s01_pWOZ_r01.png", "w0009_s01_pWOZ.png", "surveys.csv", "._w0009_s01_pWOZ_r01.png", "__MACOSX/x.png"]
    index = preset("csafe", make_tree(tmp_path, [*CSAFE, *others]))
    assert len(index.images) == len(CSAFE)
    assert sorted(reasons(index)) == ["w0009_s01_pWOZ.png", "w9_s01_pWOZ_r01.png"]
    assert "named like w0009_s01_pWOZ_r01.png" in reasons(index)["w0009_s01_pWOZ.png"]


def test_firemaker_pages_in_folders_of_their_own_are_told_apart(tmp_path: Path) -> None:
    names = [f"p{page}/{writer}.tif" for page in "1234" for writer in ("00101", "00102")]
    index = preset("firemaker", make_tree(tmp_path, names))
    assert len({image.image_id for image in index.images}) == 8
    assert rows(index) == {
        (f"p{page}/{writer}.tif", writer, f"{writer}-{page}", page if page != "4" else f"{writer}-4", "page")
        for page in "1234"
        for writer in ("00101", "00102")
    }


def test_firemaker_the_parts_of_one_page_stay_together(tmp_path: Path) -> None:
    names = ["00101-1-01.png", "00101-1-02.png", "00102-4-01.png"]
    index = preset("firemaker", make_tree(tmp_path, names), unit="line")
    assert [image.page_id for image in index.images] == ["00101-1", "00101-1", "00102-4"]


def test_icdar2013_leading_zeros_stay(tmp_path: Path) -> None:
    index = preset("icdar2013", make_tree(tmp_path, ICDAR2013))
    assert index.writer_ids == ("001", "002", "350")


def test_icdar2013_parts_in_folders_of_their_own_are_read_together(tmp_path: Path) -> None:
    names = [f"{'experimental' if name < '100' else 'benchmarking'}/{name}" for name in ICDAR2013]
    index = preset("icdar2013", make_tree(tmp_path, [*names, "benchmarking/notes_1.tif"]))
    assert {path for path, *_ in rows(index)} == set(names)
    assert list(reasons(index)) == ["benchmarking/notes_1.tif"]


def test_icdar2017_the_colour_image_is_used_where_a_bilevel_one_lies_beside(tmp_path: Path) -> None:
    bilevel = [f"binarized/{name[:-4]}.png" for name in ICDAR2017]
    colour = [f"color/{name}" for name in ICDAR2017]
    index = preset("icdar2017", make_tree(tmp_path, [*bilevel, *colour]))
    assert {path for path, *_ in rows(index)} == set(colour)
    assert {entry.path.relative_to(tmp_path).as_posix() for entry in index.not_chosen} == set(bilevel)
    assert all("color" in entry.reason for entry in index.not_chosen)


def test_icdar2017_writers_without_zeros_are_read_too(tmp_path: Path) -> None:
    index = preset("icdar2017", make_tree(tmp_path, ["1-IMG_MAX_6.png", "20-IMG_MAX_7.png"]))
    assert index.writer_ids == ("1", "20")


def test_firemaker_other_names_are_unusable(tmp_path: Path) -> None:
    index = preset("firemaker", make_tree(tmp_path, [*FIREMAKER, "a01-000u.png", "1.png"]))
    assert sorted(reasons(index)) == ["1.png", "a01-000u.png"]


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
    with pytest.raises(ConfigError, match=said):
        PatternSettings(root=tmp_path, pattern=pattern)


def test_a_pattern_that_fits_nothing_is_shown_beside_what_is_there(tmp_path: Path) -> None:
    make_tree(tmp_path, ["ann.png", "bob.png"])
    with pytest.raises(CorpusError, match=r"the pattern '\(\?P<writer>.*such as ann\.png, bob\.png"):
        index_of(tmp_path, r"(?P<writer>\d+)")
