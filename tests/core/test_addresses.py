"""A path becomes an address and comes back, whatever signs it has."""

import random
import sqlite3
import string
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from core.addresses import file_path, file_url, read_only, sqlite_path, sqlite_url

SIGNS = [
    *(sign for sign in string.printable if sign.isprintable() and sign != "/"),
    *(sign for sign in (chr(code) for code in range(0xA0, 0x2FFF)) if sign.isprintable()),
    *("%20", "%2F", "%%", "?#", "://", "file:", "@", "~", "\U0001f58b"),
]


def paths() -> list[Path]:
    """Each sign by itself in a folder's and a file's name, and long mixtures."""
    rng = random.Random(0)
    single = [Path("/data") / f"a{sign.replace('/', '')}b" / f"{sign.replace('/', '')}.db" for sign in SIGNS]
    mixed = ["".join(rng.choices(SIGNS, k=100)).replace("/", "")[:200] for _ in range(500)]
    return [*single, *(Path("/data") / name / "mlruns" / "mlflow.db" for name in mixed)]


def test_every_path_comes_back_from_its_address() -> None:
    for path in paths():
        assert sqlite_path(sqlite_url(path)) == path
        assert file_path(file_url(path)) == path


def test_sqlalchemy_reads_the_same_path() -> None:
    for path in paths():
        assert make_url(sqlite_url(path)).database == str(path)


@pytest.mark.parametrize("name", ["what?", "scan%20s", "No #5", 'it\'s "here" [old]', "a&b=c;d", "x" * 200, "Zoë 林"])
def test_the_database_lies_where_the_path_says_and_nothing_beside_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    path = tmp_path / name / "a.db"
    with create_engine(sqlite_url(path)).begin() as connection:
        connection.execute(text("create table found (x)"))
    for connection_ in (sqlite3.connect(path), read_only(path)):
        assert connection_.execute("select count(*) from found").fetchall() == [(0,)]
        connection_.close()
    assert [place.name for place in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://host/db", "https://host"]
)
def test_an_address_of_no_file_has_no_path(url: str) -> None:
    assert sqlite_path(url) is None


def test_a_plain_path_stays_as_it_is_so_that_stored_addresses_do() -> None:
    path = Path("/home/ann/my scans/mlruns/mlflow.db")
    assert sqlite_url(path) == f"sqlite:///{path}"
    assert file_url(path) == str(path)


def test_the_address_of_a_file_has_no_apostrophe() -> None:
    assert all("'" not in file_url(path) for path in paths())  # MLflow would take it for the end of a text


def test_an_address_on_another_machine_has_no_path() -> None:
    assert file_path("s3://bucket/models") is None
    assert file_path("mlflow-artifacts:/1/models") is None


def test_a_database_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        read_only(tmp_path / "no #1.db")
    assert list(tmp_path.iterdir()) == []
