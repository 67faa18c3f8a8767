from pathlib import Path

import pytest

from core.errors import RegistryError
from search.ledger.access_log import TestAccess, count_test_accesses, record_test_access


def test_openings_are_counted_for_each_hash_of_the_test_pages(tmp_path: Path) -> None:
    file = tmp_path / "mlruns" / "test_openings.jsonl"
    assert count_test_accesses(file, "aa") == 0
    assert record_test_access(file, TestAccess("aa", 1, "promote toy")) == 1
    assert record_test_access(file, TestAccess("bb", 2, "promote another")) == 1
    assert record_test_access(file, TestAccess("aa", 3, "promote toy again")) == 2
    assert (count_test_accesses(file, "aa"), count_test_accesses(file, "bb")) == (2, 1)


def test_a_damaged_count_is_an_error_and_no_zero(tmp_path: Path) -> None:
    file = tmp_path / "test_openings.jsonl"
    record_test_access(file, TestAccess("aa", 1, "promote toy"))
    with file.open("a") as lines:
        lines.write('{"test_ha\n')
    with pytest.raises(RegistryError, match="one of them cannot be read"):
        record_test_access(file, TestAccess("aa", 2, "promote toy"))


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("in the way")
    with pytest.raises(RegistryError, match="cannot be written"):
        record_test_access(tmp_path / "mlruns" / "test_openings.jsonl", TestAccess("aa", 1, "promote toy"))
