from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest

from core.corpora.catalogue import open_corpus
from core.corpora.image_walk import IMAGE_SUFFIXES
from core.corpora.index import CorpusIndex
from core.corpora.settings import IamSettings, IamUnit
from core.errors import CorpusError
from tests.core.corpora.iam_corpus import Form, Place, append_row, write_images, write_tables
from tests.core.corpora.image_tree import TREES, make_tree, reasons, rows

UNITS: tuple[IamUnit, ...] = get_args(IamUnit)
# Two writers of one prompt; sentences that break in a line and go on in the next; an `err` line;
# words with a blank, with `#`, with a comma alone; every part of the forms' folders.
FORMS = (
    Form("a01-000u", "000", ((("A", "MOVE", "to", "stop"),), (("Mr.", "M Ps"), ("Dr.", "#"))), frozenset({1})),
    Form("a01-000x", "026", ((("A", "MOVE"),), (("to", "stop"),))),
    Form("a01-117", "000", ((("one", ","),),)),
    Form("g06-011a", "007", ((("two",), ("three",)), (("#",),))),
    Form("r06-022", "007", ((("four",),),)),
)
SENTENCES = [  # id, writer, page, prompt, text
    ("a01-000u-s00-00", "000", "a01-000u", "a01-000", "A MOVE to stop"),
    ("a01-000u-s00-01", "000", "a01-000u", "a01-000", "Mr. M Ps"),
    ("a01-000u-s01-00", "000", "a01-000u", "a01-000", "Dr. #"),
    ("a01-000x-s00-00", "026", "a01-000x", "a01-000", "A MOVE"),
    ("a01-000x-s00-01", "026", "a01-000x", "a01-000", "to stop"),
    ("a01-117-s00-00", "000", "a01-117", "a01-117", "one ,"),
    ("g06-011a-s00-00", "007", "g06-011a", "g06-011", "two"),
    ("g06-011a-s01-00", "007", "g06-011a", "g06-011", "three"),
    ("g06-011a-s01-01", "007", "g06-011a", "g06-011", "#"),
    ("r06-022-s00-00", "007", "r06-022", "r06-022", "four"),
]


def corpus(root: Path, *units: IamUnit, place: Place = "nested", tables: str = "ascii") -> Path:
    write_tables(root / tables, FORMS)
    for unit in units:
        write_images(root, FORMS, unit, place)
    return root


def index(root: Path, **settings: Any) -> CorpusIndex:
    found = open_corpus(IamSettings(root=root, **settings), root).index()
    assert_nothing_is_lost(found)
    return found


def assert_nothing_is_lost(found: CorpusIndex) -> None:
    """Every image file is used, not chosen or unusable, once; a folder stands for what lies in
    it.
    """
    files = [file for file in found.root.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != "."]
    named = Counter(
        [image.path for image in found.images]
        + [entry.path for entry in (*found.unusable, *found.not_chosen) if entry.path.suffix != ".txt"]
    )
    assert {file: named[file] + sum(named[folder] for folder in file.parents) for file in files} == dict.fromkeys(
        files, 1
    )


def ids(found: CorpusIndex) -> list[str]:
    return [image.image_id for image in found.images]


@pytest.mark.parametrize("tables", ["ascii", ""])
def test_sentences_are_joined_with_their_writers_pages_prompts_and_texts(tmp_path: Path, tables: str) -> None:
    found = index(corpus(tmp_path, "sentence", tables=tables))

    assert [(i.image_id, i.writer_id, i.page_id, i.text_id, i.text) for i in found.images] == SENTENCES
    assert {image.unit for image in found.images} == {"line"}
    assert found.images[0].path == tmp_path / "sentences" / "a01" / "a01-000u" / "a01-000u-s00-00.png"
    assert (found.name, found.root, found.unusable, found.not_chosen) == ("iam", tmp_path, (), ())
    assert found.has_pages
    assert not found.generated


def test_lines_and_words_have_ids_of_their_own_and_texts_with_blanks(tmp_path: Path) -> None:
    corpus(tmp_path, "line", "word")
    lines = index(tmp_path, unit="line")
    assert {image.image_id: image.text for image in lines.images} == {
        "a01-000u-00": "A MOVE to stop",
        "a01-000u-01": "Mr. M Ps Dr. #",
        "a01-000x-00": "A MOVE",
        "a01-000x-01": "to stop",
        "a01-117-00": "one ,",
        "g06-011a-00": "two three",
        "g06-011a-01": "#",
        "r06-022-00": "four",
    }
    words = index(tmp_path, unit="word")
    assert {image.image_id: image.text for image in words.images if image.page_id == "a01-000u"} == {
        "a01-000u-00-00": "A",
        "a01-000u-00-01": "MOVE",
        "a01-000u-00-02": "to",
        "a01-000u-00-03": "stop",
        "a01-000u-01-00": "Mr.",
        "a01-000u-01-01": "M Ps",
        "a01-000u-01-02": "Dr.",
        "a01-000u-01-03": "#",
    }
    assert {image.unit for image in (*lines.images, *words.images)} == {"line"}


def test_forms_are_pages_between_print_and_their_tables_for_parts_are_not_needed(tmp_path: Path) -> None:
    root = corpus(tmp_path, "form")
    for table in ("lines", "sentences", "words"):
        (root / "ascii" / f"{table}.txt").unlink()
    assert rows(index(root, unit="form")) == {
        ("formsA-D/a01-000u.png", "000", "a01-000u", "a01-000", "form"),
        ("formsA-D/a01-000x.png", "026", "a01-000x", "a01-000", "form"),
        ("formsA-D/a01-117.png", "000", "a01-117", "a01-117", "form"),
        ("formsE-H/g06-011a.png", "007", "g06-011a", "g06-011", "form"),
        ("formsI-Z/r06-022.png", "007", "r06-022", "r06-022", "form"),
    }


@pytest.mark.parametrize("place", ["flat", "root"])
@pytest.mark.parametrize("unit", UNITS)
def test_flat_images_give_the_same_index_as_nested_ones(tmp_path: Path, unit: IamUnit, place: Place) -> None:
    def said(found: CorpusIndex) -> list[tuple[object, ...]]:
        return [(i.image_id, i.writer_id, i.page_id, i.text_id, i.text, i.unit) for i in found.images]

    nested = index(corpus(tmp_path / "nested", unit), unit=unit)
    flat = index(corpus(tmp_path / "flat", unit, place=place), unit=unit)
    assert said(nested) == said(flat) != []
    assert flat.unusable == flat.not_chosen == ()


def test_amounts_are_the_tables_for_forms_with_images(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    write_images(root, [form for form in FORMS if form.writer_id != "026" and form.form_id != "a01-117"], "sentence")
    found = index(root)
    assert found.amounts == {
        "forms": {"000": 1, "007": 2},
        "sentences": {"000": 2, "007": 3},
        "lines": {"000": 2, "007": 3},
    }


def test_only_what_was_segmented_well_is_used_if_so_wished(tmp_path: Path) -> None:
    root = corpus(tmp_path, "sentence", "form")
    found = index(root, segmentation="ok")
    assert ids(found) == [row[0] for row in SENTENCES if row[0] not in ("a01-000u-s00-01", "a01-000u-s01-00")]
    not_chosen = {entry.path.name: entry.reason for entry in found.not_chosen}
    assert set(not_chosen) == {"a01-000u-s00-01.png", "a01-000u-s01-00.png", "formsA-D", "formsE-H", "formsI-Z"}
    assert "marked err" in not_chosen["a01-000u-s01-00.png"]
    assert len(index(root, unit="form", segmentation="ok").images) == len(FORMS)


def test_images_of_other_units_are_excluded_by_folder_or_by_file(tmp_path: Path) -> None:
    root = corpus(tmp_path, *UNITS)
    write_images(root, FORMS[:1], "word", place="root")
    found = index(root, unit="line")
    not_chosen = {entry.path.name: entry.reason for entry in found.not_chosen}
    assert len(found.images) == 8
    assert found.unusable == ()
    assert not_chosen.pop("words") == "holds images of words; `corpus.unit` is line"
    assert not_chosen.pop("a01-000u-00-00.png") == "shows a word; `corpus.unit` is line"
    assert {name for name in not_chosen if not name.endswith(".png")} == {
        "sentences",
        "formsA-D",
        "formsE-H",
        "formsI-Z",
    }


def test_of_converted_copies_one_is_used_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    root = corpus(tmp_path, "sentence")
    folder = root / "sentences" / "a01" / "a01-000u"
    make_tree(folder, ["a01-000u-s00-00.jpg", "a01-000u-s00-01.TIF", "._a01-000u-s00-00.png", "Thumbs.db"])
    (folder / "a01-000u-s00-01.png").unlink()
    found = index(root)
    assert ids(found) == [row[0] for row in SENTENCES]
    assert [image.path.suffix for image in found.images[:2]] == [".png", ".TIF"]
    assert [entry.path.name for entry in found.not_chosen] == ["a01-000u-s00-00.jpg"]
    assert found.unusable == ()


def test_images_that_no_table_knows_and_rows_of_unknown_forms_are_unusable(tmp_path: Path) -> None:
    root = corpus(tmp_path, "sentence")
    stray = ["sentences/z99/z99-000-s00-00.png", "sentences/scan.png", "sentences/a01/a01-000v/a01-000v-s00-00.png"]
    make_tree(root, stray)
    append_row(root / "ascii" / "sentences.txt", "a01-000v-s00-00 0 ok 154 19 408 746 1661 89 A")
    append_row(root / "ascii" / "sentences.txt", "a01-000v-s00-01 0 ok 154 19 408 746 1661 89 B")
    found = index(root)
    said = reasons(found)
    assert ids(found) == [row[0] for row in SENTENCES]
    assert "no row in" in said.pop(stray[0])
    assert "not named like a01-000u-s00-00.png" in said.pop(stray[1])
    assert "form a01-000v, which" in said.pop(stray[2])
    assert said.pop("ascii/sentences.txt").startswith("1 of 2 sentences of form a01-000v have no image")
    assert said == {}


def test_rows_without_images_are_unusable_form_by_form(tmp_path: Path) -> None:
    root = corpus(tmp_path)
    paths = write_images(root, FORMS[:2], "sentence")
    paths[0].unlink()
    found = index(root)
    assert ids(found) == [row[0] for row in SENTENCES[1:5]]
    assert [entry.reason for entry in found.unusable] == [
        "1 of 3 sentences of form a01-000u have no image: a01-000u-s00-00",
    ]
    assert {entry.path for entry in found.unusable} == {root / "ascii" / "sentences.txt"}


def test_of_a_partial_download_the_writers_say_how_many_of_their_forms_are_here(tmp_path: Path) -> None:
    root = corpus(tmp_path, "form")
    (root / "formsE-H" / "g06-011a.png").unlink()
    found = index(root, unit="form")
    assert found.unusable == ()
    assert [(entry.writer_id, entry.reason) for entry in found.not_chosen if entry.path.suffix == ".txt"] == [
        ("007", "writer '007': 1 of 2 forms are here")
    ]


def test_faulty_rows_of_both_tables_are_unusable(tmp_path: Path) -> None:
    root = corpus(tmp_path, "sentence")
    append_row(root / "ascii" / "forms.txt", "b01-000 torn")
    append_row(root / "ascii" / "sentences.txt", "a01-000u-s00-00 0 ok 154 19 408 746 1661 89 again")
    found = index(root)
    assert ids(found) == [row[0] for row in SENTENCES]
    assert "b01-000 torn" in reasons(found)["ascii/forms.txt"]
    assert "a01-000u-s00-00 again" in reasons(found)["ascii/sentences.txt"]


def test_the_two_broken_words_of_the_download_are_listed_for_the_line_store_to_report(tmp_path: Path) -> None:
    forms = (
        Form("a01-117", "000", (((),),) * 5 + ((("a", "b", "c"),),)),
        Form("r06-022", "007", (((),),) * 3 + ((("a", "b", "c", "d", "e", "f"),),)),
    )
    write_tables(tmp_path / "ascii", [*forms, *FORMS[:2]])
    write_images(tmp_path, forms, "word", draw=lambda image_id: b"" if "117-05-02" in image_id else b"\x89PNG torn")
    write_images(tmp_path, FORMS[:2], "word")
    assert {"a01-117-05-02", "r06-022-03-05"} <= set(ids(index(tmp_path, unit="word")))


def test_a_table_without_images_says_what_was_looked_for_and_which_unit_is_there(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"images of sentences, such as sentences/a01/.*4 \.txt"):
        index(corpus(tmp_path / "tables"))
    with pytest.raises(CorpusError, match=r"images of sentences.*images of lines: set `corpus.unit: line`"):
        index(corpus(tmp_path / "lines", "line"))


def test_images_without_tables_are_sent_to_the_tables(tmp_path: Path) -> None:
    root = corpus(tmp_path / "iam", "sentence")
    with pytest.raises(CorpusError, match=r"wants the table forms\.txt.* set .*`corpus.root: .*iam`"):
        index(root / "sentences")
    (root / "ascii" / "sentences.txt").unlink()
    with pytest.raises(CorpusError, match=r"sentences.txt is in neither.*unpack it in .*ascii"):
        index(root)
    (root / "ascii" / "forms.txt").unlink()
    with pytest.raises(CorpusError, match=r"forms.txt is in neither.*Download ascii.tgz"):
        index(root)


def test_a_root_one_too_high_is_sent_one_deeper(tmp_path: Path) -> None:
    corpus(tmp_path / "IAM-3.0", "sentence")
    with pytest.raises(CorpusError, match=r"wants the table forms.txt.*looks like IAM: .*root: .*IAM-3.0"):
        index(tmp_path)


@pytest.mark.parametrize("real", [layout for layout in TREES if layout != "iam"])
def test_another_corpus_is_named(tmp_path: Path, real: str) -> None:
    with pytest.raises(CorpusError, match=rf"`corpus.layout: iam` wants .*there are \d.*set `corpus.layout: {real}`"):
        index(make_tree(tmp_path, TREES[real]))


def test_a_folder_that_is_not_there_and_one_writer_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"wants the table forms.txt.*not there"):
        index(tmp_path / "gone")
    write_tables(tmp_path / "one" / "ascii", FORMS)
    write_images(tmp_path / "one", FORMS[:1], "sentence")
    with pytest.raises(CorpusError, match=r"two writers or more.*1 \(000\)"):
        index(tmp_path / "one")
