from pathlib import Path

import pytest

from core.corpora.iam_tables import IamForm, IamPart, PartUnit, read_forms, read_parts
from core.errors import CorpusError

FORMS = """\
#--- forms.txt ---------------------------------------------------------------#
#
# a01-000u 000 2 prt 7 5 52 36
#
a01-000u 000 2 prt 7 5 52 36
a01-000x 026 2 prt 8 8 52 52
a01-026 008 4 all 9 9 87 87
"""


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "table.txt"
    path.write_text(text, encoding=encoding)
    return path


def part(folder: Path, unit: PartUnit, row: str) -> IamPart:
    (found,) = read_parts(table(folder, f"# a comment\n{row}\n"), unit).rows.values()
    return found


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_forms_keep_their_full_ids_and_the_zeros_of_their_writers(tmp_path: Path, encoding: str, end: str) -> None:
    forms = read_forms(table(tmp_path, FORMS.replace("\n", end), encoding))
    assert list(forms.rows.values()) == [
        IamForm("a01-000u", "000", 2, 7),
        IamForm("a01-000x", "026", 2, 8),
        IamForm("a01-026", "008", 4, 9),
    ]
    assert [form.text_id for form in forms.rows.values()] == ["a01-000", "a01-000", "a01-026"]
    assert forms.faults == ()


def test_a_table_that_begins_with_a_mark_and_a_row_loses_no_row(tmp_path: Path) -> None:
    assert list(read_forms(table(tmp_path, "a01-000u 000 2 prt 7 5 52 36\n", "utf-8-sig")).rows) == ["a01-000u"]


ROWS: dict[str, tuple[PartUnit, str, IamPart]] = {
    "line": (
        "line",
        "a01-000u-00 ok 154 19 408 746 1661 89 A|MOVE|to|stop",
        IamPart("a01-000u-00", "a01-000u", True, "A MOVE to stop"),
    ),
    "line that went wrong": (
        "line",
        "a01-000u-01 err 156 19 395 932 1850 105 nominating|any|more",
        IamPart("a01-000u-01", "a01-000u", False, "nominating any more"),
    ),
    "as the header writes it": (
        "line",
        "a01-000u-01 er 156 19 395 932 1850 105 any",
        IamPart("a01-000u-01", "a01-000u", False, "any"),
    ),
    "line with a blank in a word and one crossed out": (
        "line",
        "b06-000-03 ok 170 22 1 2 3 4 the|M Ps|#|'|s",
        IamPart("b06-000-03", "b06-000", True, "the M Ps # ' s"),
    ),
    "sentence": (
        "sentence",
        "a01-000u-s01-02 1 ok 154 19 408 746 1661 89 by|Mr.|Gaitskell",
        IamPart("a01-000u-s01-02", "a01-000u", True, "by Mr. Gaitskell"),
    ),
    "sentence of numbers": (
        "sentence",
        "e01-000-s00-00 0 err 154 19 408 746 1661 89 1961 1962|63",
        IamPart("e01-000-s00-00", "e01-000", False, "1961 1962 63"),
    ),
    "sentence without text": (
        "sentence",
        "a01-000-s00-00 0 ok 154 19 408 746 1661 89",
        IamPart("a01-000-s00-00", "a01-000", True, None),
    ),
    "word": (
        "word",
        "a01-000u-00-01 ok 154 507 766 213 48 NN MOVE",
        IamPart("a01-000u-00-01", "a01-000u", True, "MOVE"),
    ),
    "word with components": (
        "word",
        "a01-000u-00-01 ok 154 1 507 766 213 48 NN MOVE",
        IamPart("a01-000u-00-01", "a01-000u", True, "MOVE"),
    ),
    "word that was not found": (
        "word",
        "c04-110-02-05 err 187 -1 -1 -1 -1 , ,",
        IamPart("c04-110-02-05", "c04-110", False, ","),
    ),
    "word with a blank": (
        "word",
        "a01-007-02-03 ok 154 1 2 3 4 NPTS M Ps",
        IamPart("a01-007-02-03", "a01-007", True, "M Ps"),
    ),
    "word crossed out": ("word", "a01-007-02-04 ok 154 1 2 3 4 # #", IamPart("a01-007-02-04", "a01-007", True, "#")),
    "number": ("word", "e01-007-02-04 ok 154 1 2 3 4 CD 12", IamPart("e01-007-02-04", "e01-007", True, "12")),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_row_is_read(tmp_path: Path, case: str) -> None:
    unit, row, expected = ROWS[case]
    assert part(tmp_path, unit, row) == expected


def test_a_faulty_row_is_unusable_with_its_number_and_a_repeated_one_counts_once(tmp_path: Path) -> None:
    text = FORMS + "torn row\n\na01-000u 999 2 prt 7 5 52 36\n"
    forms = read_forms(table(tmp_path, text))
    assert len(forms.rows) == 3
    assert forms.rows["a01-000u"].writer_id == "000"
    assert [fault.reason for fault in forms.faults] == [
        "line 8 must be like 'a01-000u 000 2 prt 7 5 52 36', but is 'torn row'",
        "line 10 names a01-000u again; its first row counts",
    ]


def test_a_broken_letter_spoils_no_row(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"a01-000u-00 ok 154 19 408 746 1661 89 caf\xe9|au|lait\n")
    assert read_parts(path, "line").rows["a01-000u-00"].text == "caf\ufffd au lait"


def test_a_table_of_another_make_is_refused_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"must be like 'a01-000u-s00-00 0 ok .*1 of 1 are not; line 1.*ascii\.tgz"):
        read_parts(table(tmp_path, "a01-000u-00 ok 154 19 408 746 1661 89 A|MOVE\n"), "sentence")
    with pytest.raises(CorpusError, match=r"3 of 3 are not"):
        read_parts(table(tmp_path, FORMS), "word")


def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"must be readable"):
        read_forms(tmp_path)
