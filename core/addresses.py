"""Addresses of files and SQLite databases: a path becomes one here, and only here is one turned
back.

A path may hold what means something in an address: `%20`, `?`, `#`. Written plainly, the database
of a project in `what?` lands beside the project. A path without such signs is written as it is, so
that addresses that are stored stay the same.
"""

import sqlite3
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

_SQLITE = "sqlite:///"
# With the driver named, MLflow makes no folder by the quoted name of the database's.
_SQLITE_QUOTED = "sqlite+pysqlite:///"
_SPECIAL = "%?#"
_SPECIAL_IN_FILES = "%?#'"  # MLflow writes the address of artifacts into SQL between apostrophes


def sqlite_url(path: Path) -> str:
    """The address of a SQLite database, for SQLAlchemy 2.1 and all that stands on it.

    >>> sqlite_url(Path("/data/my scans/a.db")), sqlite_url(Path("/data/what?/a.db"))
    ('sqlite:////data/my scans/a.db', 'sqlite+pysqlite:////data/what%3F/a.db')
    """
    text = str(path)
    return f"{_SQLITE_QUOTED}{_quoted(text)}" if any(sign in text for sign in _SPECIAL) else f"{_SQLITE}{text}"


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite address, relative as it is there; `None` for any other address, or one
    of no file.

    >>> sqlite_path("sqlite:///a.db"), sqlite_path("sqlite+pysqlite:////what%3F/a.db"), sqlite_path("https://host")
    (PosixPath('a.db'), PosixPath('/what?/a.db'), None)
    """
    for scheme in (_SQLITE, _SQLITE_QUOTED):
        if url.startswith(scheme):
            text = unquote(url.removeprefix(scheme).partition("?")[0])
            return Path(text) if text and text != ":memory:" else None
    return None


def read_only(path: Path) -> sqlite3.Connection:
    """Open a SQLite database that is not to be made, nor changed.

    Raises:
        sqlite3.OperationalError: if it is not there.
    """
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)


def file_url(path: Path) -> str:
    """The address of an absolute path where one is needed; the path itself where it is free of
    special signs.

    >>> file_url(Path("/data/my scans")), file_url(Path("/data/50%")), file_url(Path("/data/it's"))
    ('/data/my scans', 'file:///data/50%25', 'file:///data/it%27s')
    """
    text = str(path)
    return f"file://{quote(text)}" if any(sign in text for sign in _SPECIAL_IN_FILES) else text


def file_path(address: str) -> Path | None:
    """The path of a `file:` address or of a plain path; `None` if it is not on this machine.

    >>> file_path("/data/my%20models/m-1"), file_path("file:///data/my%20models/m-1"), file_path("s3://b/m-1")
    (PosixPath('/data/my%20models/m-1'), PosixPath('/data/my models/m-1'), None)
    """
    if address.startswith("file:"):
        return Path(unquote(urlsplit(address.replace("#", "%23").replace("?", "%3F")).path))
    return Path(address) if address.startswith("/") or ":/" not in address else None


def _quoted(text: str) -> str:
    for sign in _SPECIAL:  # `%` first
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text
