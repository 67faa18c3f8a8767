import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from core.corpora.catalogue import open_corpus
from core.corpora.named_files import PRESETS
from core.corpora.resemblance import layout_error, resembling_layout
from core.corpora.settings import CorpusSettings
from core.errors import CorpusError
from tests.core.corpora.image_tree import TREES, make_tree

ADAPTER: TypeAdapter[Any] = TypeAdapter(CorpusSettings)
# These read the writer up to the first `_` or `-`, and so read the right one from these names too.
READ_RIGHT = {
    ("cerug", "csafe"),
    ("cerug", "icdar2013"),
    ("cerug", "hisir19"),
    ("cerug", "dhsd"),
    ("firemaker", "cvl"),
}
STATED = ("csafe", "icdar2013", "icdar2017", "hisir19", "firemaker", "cerug", "dhsd", "folder")
PAIRS = [
    (stated, real)
    for stated, real in itertools.product(STATED, TREES)
    if stated != real and (stated, real) not in READ_RIGHT
]


def index(layout: str, root: Path, **others: str) -> None:
    open_corpus(ADAPTER.validate_python({"layout": layout, "root": root, **others}), root).index()


def test_every_corpus_that_is_known_by_its_file_names_has_a_tree_here() -> None:
    assert set(PRESETS) <= set(TREES)


def test_every_layout_has_a_row_in_the_docs() -> None:
    text = (Path(__file__).parents[3] / "docs" / "corpora.md").read_text(encoding="utf-8")
    layouts = {option["properties"]["layout"]["const"] for option in ADAPTER.json_schema()["$defs"].values()}
    assert {layout for layout in layouts if f"| [`{layout}`](#{layout}) |" not in text} == set()


@pytest.mark.parametrize("layout", TREES)
def test_every_layout_is_recognised(tmp_path: Path, layout: str) -> None:
    like = resembling_layout(make_tree(tmp_path, TREES[layout]))
    assert like is not None
    assert (like.layout, like.root) == (layout, tmp_path)


@pytest.mark.parametrize(("stated", "real"), PAIRS)
def test_a_wrong_layout_says_what_was_looked_for_what_lies_there_and_what_to_write(
    tmp_path: Path, stated: str, real: str
) -> None:
    root = make_tree(tmp_path / "corpus", TREES[real])
    with pytest.raises(CorpusError) as raised:
        index(stated, root)
    message = str(raised.value)
    assert f"set `corpus.layout: {real}`" in message
    if stated != "folder":
        assert f"`corpus.layout: {stated}` wants" in message
        assert re.search(r"there are \d", message)


@pytest.mark.parametrize(("stated", "real"), sorted(READ_RIGHT))
def test_the_exceptions_are_read(tmp_path: Path, stated: str, real: str) -> None:
    index(stated, make_tree(tmp_path, TREES[real]))


def test_an_archive_unpacked_into_its_own_folder_is_found(tmp_path: Path) -> None:
    make_tree(tmp_path / "cvl-database-1-1", TREES["cvl"])
    with pytest.raises(CorpusError, match=r"looks like CVL: set .*layout: cvl.*root: .*cvl-database-1-1"):
        index("csafe", tmp_path)


def test_the_right_layout_at_the_wrong_place_is_sent_to_the_right_one(tmp_path: Path) -> None:
    make_tree(tmp_path / "DHSD-main", TREES["dhsd"])
    with pytest.raises(CorpusError, match=r"looks like DHSD: .*root: .*DHSD-main"):
        index("dhsd", tmp_path)


@pytest.mark.parametrize("part", ["trainset", "trainset/pages", "testset/lines"])
def test_a_root_that_is_a_part_of_the_corpus_is_sent_to_the_whole(tmp_path: Path, part: str) -> None:
    make_tree(tmp_path / "cvl", TREES["cvl"])
    with pytest.raises(CorpusError, match=rf"looks like CVL: set .*root: {tmp_path}/cvl`\."):
        index("cvl", tmp_path / "cvl" / part)


def test_images_of_another_unit_alone_are_named(tmp_path: Path) -> None:
    root = make_tree(tmp_path, [name for name in TREES["cvl"] if "/pages/" in name])
    with pytest.raises(CorpusError, match=r"There are images of pages: set `corpus\.unit: page`"):
        index("cvl", root)
    with pytest.raises(CorpusError) as raised:
        index("cvl", make_tree(tmp_path / "empty", ["trainset/lines/readme.txt"]))
    assert "corpus.unit" not in str(raised.value)


def test_scans_that_are_laid_out_in_no_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"images of 0 \(nobody\); there are 2 \.png, such as a\.png, b\.png\. Lay"):
        index("folder", make_tree(tmp_path, ["a.png", "b.png"]))


def test_a_folder_for_a_manifest_says_what_the_folder_looks_like(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"is a folder\. .*looks like one folder a writer"):
        open_corpus(
            ADAPTER.validate_python({"layout": "manifest", "file": make_tree(tmp_path, TREES["folder"])}), tmp_path
        ).index()


def test_a_layout_is_not_sent_to_itself(tmp_path: Path) -> None:
    error = layout_error("icdar2013", make_tree(tmp_path, TREES["icdar2013"]), "anything")
    assert "looks like" not in str(error)
    assert "corpus.layout: pattern" in str(error)


def test_a_manifest_beside_the_images_is_found(tmp_path: Path) -> None:
    make_tree(tmp_path, ["a.png", "b.png"])
    (tmp_path / "list.csv").write_text("Path;Writer\na.png;ann\n", encoding="utf-8-sig")
    with pytest.raises(CorpusError, match=r"looks like a manifest: set .*layout: manifest.*file: .*list\.csv"):
        index("csafe", tmp_path)


def test_what_is_found_is_counted_by_kind_with_examples(tmp_path: Path) -> None:
    make_tree(tmp_path, ["one.tif", "two.tif", "three.png", "notes.txt", "README", ".hidden.png"])
    with pytest.raises(
        CorpusError, match=r"2 \.tif, 1 no suffix, 1 \.txt, 1 \.png|2 \.tif, .*, such as one\.tif, three\.png, two\.tif"
    ):
        index("icdar2013", tmp_path)


@pytest.mark.parametrize(("make", "said"), [("nothing", "not there"), ("file", "a file"), ("folder", "no files")])
def test_a_root_with_nothing_in_it_is_said_to_be_so(tmp_path: Path, make: str, said: str) -> None:
    root = tmp_path / "root"
    if make == "file":
        root.touch()
    elif make == "folder":
        root.mkdir()
    with pytest.raises(CorpusError, match=said):
        index("csafe", root)


def test_one_writer_alone_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"two writers or more.*1 \(001\)"):
        index("icdar2013", make_tree(tmp_path, ["001_1.tif", "001_2.tif"]))


def test_fewer_than_half_of_the_names_do_not_make_a_layout(tmp_path: Path) -> None:
    names = ["001_1.tif", "002_1.tif", "x.tif", "y.tif"]
    index("icdar2013", make_tree(tmp_path, names))
    with pytest.raises(CorpusError, match="wants images that are named like 001_1"):
        index("icdar2013", make_tree(tmp_path, [*names, "z.tif"]))


def test_a_folder_for_each_writer_says_more_than_numbered_scans_in_it(tmp_path: Path) -> None:
    for writer in ("anna", "bert"):
        for number in range(3):
            image = tmp_path / writer / f"{number}-letter.png"
            image.parent.mkdir(exist_ok=True)
            image.touch()
    found = resembling_layout(tmp_path)
    assert found is not None
    assert found.layout == "folder"
