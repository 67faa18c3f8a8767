from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from core.corpora.writer_choice import check_known, read_ids
from core.errors import CorpusError
from core.settings import IdList


def read(ids: IdList) -> tuple[str, ...]:
    return read_ids(ids, "writers.include", CorpusError)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ids.txt"


def test_a_file_has_one_id_a_line(file: Path) -> None:
    file.write_bytes("\ufeff# chosen by hand\r\n000\r\n\r\n  ü 2 \r\n".encode())
    assert read(file) == ("000", "ü 2")


def test_a_missing_file_is_named_with_its_key(file: Path) -> None:
    with pytest.raises(CorpusError, match=r"writers\.include: the list .*ids\.txt is not there"):
        read(file)


def test_a_file_that_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe000")
    with pytest.raises(CorpusError, match=r"must be UTF-8 text with one id a line, but .*ids\.txt"):
        read(file)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="cannot be read"):
        read(tmp_path)


def test_an_id_twice_is_refused_with_both_lines(file: Path) -> None:
    file.write_text("a\nb\n\na\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"'a' is there in lines 1 and 4"):
        read(file)
    with pytest.raises(CorpusError, match=r"'a' is there twice"):
        read(("a", "a"))


@pytest.mark.parametrize("ids", [(), None])
def test_an_empty_list_is_refused(ids: tuple[str, ...] | None, file: Path) -> None:
    file.write_text("# nothing yet\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="at least one id, but is empty"):
        read(file if ids is None else ids)


def test_an_unknown_id_comes_with_the_nearest_ones() -> None:
    with pytest.raises(CorpusError, match=r"1 of 2 are not among its 3: 'a01-00u' \(the nearest: 'a01-000u'"):
        check_known(["b", "a01-00u"], ["a01-000u", "a01-000x", "b"], "x", "pages", CorpusError)


def test_of_many_unknown_ids_the_first_are_named() -> None:
    with pytest.raises(CorpusError, match=r"8 of 8 .*; and 3 more\."):
        check_known([f"z{k}" for k in range(8)], ["a"], "x", "pages", CorpusError)


def test_a_number_is_no_id() -> None:
    with pytest.raises(ValidationError, match="in quotes, because YAML takes 007 for the number 7"):
        TypeAdapter(IdList).validate_json("[7]", strict=True)
