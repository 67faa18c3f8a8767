import hashlib
from pathlib import Path

import pytest

from core.durable_files import write_atomically
from search.ledger.files import is_intact, reference_file


def test_a_file_s_reference_is_its_sha256_and_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hand")
    reference = reference_file(tmp_path / "a")
    assert reference.sha256 == hashlib.sha256(b"hand").hexdigest()
    assert reference.size_bytes == 4
    assert is_intact(reference)


def test_a_folder_s_reference_knows_names_and_bytes_but_not_the_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_atomically(tmp_path / name / "sub" / "file", b"same")
    first, second = reference_file(tmp_path / "one"), reference_file(tmp_path / "two")
    assert first.sha256 == second.sha256
    assert first.size_bytes == 4
    (tmp_path / "two/sub/file").rename(tmp_path / "two/file")
    assert reference_file(tmp_path / "two").sha256 != first.sha256


def test_changed_and_missing_files_are_not_intact(tmp_path: Path) -> None:
    write_atomically(tmp_path / "model/weights", b"1")
    reference = reference_file(tmp_path / "model")
    write_atomically(tmp_path / "model/weights", b"2")
    assert not is_intact(reference)
    (tmp_path / "model/weights").unlink()
    (tmp_path / "model").rmdir()
    assert not is_intact(reference)


def test_a_missing_file_has_no_reference(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        reference_file(tmp_path / "nothing")


def test_an_atomic_write_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new/file", b"old")
    write_atomically(tmp_path / "new/file", b"new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
    assert (tmp_path / "new/file").read_bytes() == b"new"
