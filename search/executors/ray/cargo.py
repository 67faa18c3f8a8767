"""What trials read, on nodes that do not have it: line stores, the split, the user's own code.

Each is named by its content. A node uses a path of the driver's as it is where the same lies there
(a shared disk); else it is sent once, checked, and used by later sweeps too. Line stores that no
sweep has used for a month are removed when an agent starts.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.errors import LineStoreError
from core.lines.store import LIST, LineStore
from search.executors.base import ExecutorError
from search.ledger.ledger import LEDGER_NAME

MAX_BYTES = 20_000_000_000
"""More is not sent: it would take minutes a node and fill disks that are there for trials."""
_KEPT_DAYS = 30
_DAY_S = 86_400
_CHECKED = ".checked"
_LINES, _CARGO = "lines", "cargo"


@dataclass(frozen=True)
class Wanted:
    """A file that is to be sent, from `offset` on."""

    name: str
    offset: int


@dataclass(frozen=True)
class Cargo:
    """A file, a folder of sources or a line store that trials read.

    Attributes:
        path: the driver's: a file, a line store, or a sweep's copy of the user's code.
        key: hash of its content; of a line store that of its list, which has the sums of the rest.
        sizes: bytes of each file, by its path relative to `base`, in the order in which they are
            sent.
        base: folder that the files are relative to.
        is_store: whether it is a line store.
    """

    path: Path
    key: str
    sizes: tuple[tuple[str, int], ...]
    base: Path
    is_store: bool = False

    @property
    def n_bytes(self) -> int:
        """Of all files."""
        return sum(size for _, size in self.sizes)


def cargo_of(paths: Iterable[Path]) -> tuple[Cargo, ...]:
    """What lies at some paths of the driver's, as far as there is something to send.

    Of folders that are no line stores, only a sweep's own copy of the user's code is sent: one
    beside the user's experiment may hold anything, passwords too.

    Raises:
        ExecutorError: if it is more than is sent.
    """
    found: list[Cargo] = []
    for path in dict.fromkeys(paths):
        if (path / LIST).is_file():
            found.append(_store_cargo(path))
        elif path.is_dir() and (path.parent / LEDGER_NAME).is_file():
            found.append(_files_cargo(path, path, sorted(path.rglob("*.py"))))
        elif path.is_file():
            found.append(_files_cargo(path, path.parent, [path]))
    for cargo in found:
        if cargo.n_bytes > MAX_BYTES:
            raise ExecutorError(
                f"At most {MAX_BYTES / 1e9:.0f} GB are sent to a node, but {cargo.path} has {cargo.n_bytes / 1e9:.1f}. "
                "Put the project on a disk that all nodes see under the same path; it is used as it is then."
            )
    return tuple(found)


def _store_cargo(store: Path) -> Cargo:
    content = (store / LIST).read_bytes()
    head, _, body = content.partition(b"\n")
    pool = json.loads(head)["pool"]
    packs = [(f"{pool}/{name}", int(n_bytes)) for name, n_bytes in json.loads(body)["packs"]]
    sizes = (*packs, (f"{store.name}/{LIST}", len(content)))  # the list last: without it there is no store
    return Cargo(store, hashlib.sha256(content).hexdigest(), sizes, store.parent, is_store=True)


def _files_cargo(path: Path, base: Path, files: list[Path]) -> Cargo:
    digest = hashlib.sha256()
    sizes: list[tuple[str, int]] = []
    for file in files:
        content, name = file.read_bytes(), file.relative_to(base).as_posix()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
        sizes.append((name, len(content)))
    return Cargo(path, digest.hexdigest(), tuple(sizes), base)


class Hold:
    """A node's place for cargo.

    Attributes:
        places: where the driver's paths are here, for all that is settled.
    """

    def __init__(self, scratch: Path, session: Path) -> None:
        """Open it, and remove line stores that nobody has used for long.

        Args:
            scratch: the node's folder; line stores stay there.
            session: the folder of one agent; other files go with it.
        """
        self.places: dict[Path, Path] = {}
        self._lines, self._session = scratch / _LINES, session
        self._lines.mkdir(parents=True, exist_ok=True)
        remove_old_stores(self._lines, _KEPT_DAYS * _DAY_S)

    def want(self, cargo: Cargo) -> tuple[Wanted, ...]:
        """Say what must be sent; nothing where the cargo is here, under its own path or from an
        earlier sweep.
        """
        if _is_there(cargo):
            self.places[cargo.path] = cargo.path
            return ()
        if cargo.is_store and self._is_checked(cargo):
            self._use(cargo)
            return ()
        wanted = []
        for name, size in cargo.sizes:
            place, part = self._place(cargo, name), self._part(cargo, name)
            if name.endswith(LIST) or not place.is_file() or place.stat().st_size < size:
                wanted.append(Wanted(name, part.stat().st_size if part.is_file() else 0))
        return tuple(wanted)

    def put(self, cargo: Cargo, name: str, offset: int, content: bytes) -> int:
        """Take a piece of a file, if it begins where the last one ended.

        Returns:
            How many bytes of the file are here.

        Raises:
            OSError: if it cannot be written.
        """
        part, size = self._part(cargo, name), dict(cargo.sizes)[name]
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as file:
            if file.tell() == offset:
                file.write(content)
            n_bytes = file.tell()
        if n_bytes >= size:
            part.replace(self._place(cargo, name))
        return n_bytes

    def settle(self, cargo: Cargo) -> None:
        """Check what was sent, and use it from now on.

        Raises:
            ExecutorError: if it is not what it should be; it is removed.
        """
        if cargo.path in self.places:
            return
        try:
            self._check(cargo)
        except (LineStoreError, OSError, ValueError) as error:
            for name, _ in cargo.sizes:
                self._place(cargo, name).unlink(missing_ok=True)
            raise ExecutorError(f"What was sent of {cargo.path} must arrive whole, but did not: {error}") from error
        self._use(cargo)

    def _check(self, cargo: Cargo) -> None:
        if cargo.is_store:
            store = self._place(cargo, cargo.sizes[-1][0]).parent
            LineStore.open(store).verify()
            (store / _CHECKED).write_text(cargo.key)
            return
        base = self._base(cargo)
        found = _files_cargo(cargo.path, base, [base / name for name, _ in cargo.sizes])
        if found.key != cargo.key:
            raise ValueError(f"its hash is {found.key[:12]}, not {cargo.key[:12]}")

    def _is_checked(self, cargo: Cargo) -> bool:
        store = self._place(cargo, cargo.sizes[-1][0]).parent
        with contextlib.suppress(OSError, LineStoreError):
            if (store / _CHECKED).read_text() == cargo.key and _hash(store / LIST) == cargo.key:
                LineStore.open(store)
                return True
        return False

    def _use(self, cargo: Cargo) -> None:
        if cargo.is_store:
            place = self._place(cargo, cargo.sizes[-1][0]).parent
            os.utime(place / LIST)
        else:
            place = self._base(cargo) if cargo.path == cargo.base else self._place(cargo, cargo.path.name)
        self.places[cargo.path] = place

    def _base(self, cargo: Cargo) -> Path:
        return self._lines if cargo.is_store else self._session / _CARGO / cargo.key[:20]

    def _place(self, cargo: Cargo, name: str) -> Path:
        return self._base(cargo) / name

    def _part(self, cargo: Cargo, name: str) -> Path:
        """Of this agent's own, so that two agents of one machine do not write the same file."""
        place = self._place(cargo, name)
        return place.with_name(f".{place.name}.{os.getpid()}.part")


def _is_there(cargo: Cargo) -> bool:
    """Whether the driver's path holds the same here, as on a shared disk."""
    with contextlib.suppress(OSError, ValueError, LineStoreError):
        if cargo.is_store:
            LineStore.open(cargo.path)
            return _hash(cargo.path / LIST) == cargo.key
        files = [cargo.base / name for name, _ in cargo.sizes]
        return _files_cargo(cargo.path, cargo.base, files).key == cargo.key
    return False


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def remove_old_stores(lines: Path, kept_s: float) -> None:
    """Remove the line stores that no sweep has used for so long, and the packs that no other store
    needs.
    """
    needed: set[str] = set()
    for list_file in lines.glob(f"*/{LIST}"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            if time.time() - list_file.stat().st_mtime > kept_s:
                shutil.rmtree(list_file.parent)
                continue
            head, _, body = list_file.read_bytes().partition(b"\n")
            needed |= {f"{json.loads(head)['pool']}/{name}" for name, _ in json.loads(body)["packs"]}
    for pack in lines.glob("pool-*/*"):
        with contextlib.suppress(OSError):
            # A list comes last: what is young may belong to a store that is being sent.
            if f"{pack.parent.name}/{pack.name}" not in needed and time.time() - pack.stat().st_mtime > _DAY_S:
                pack.unlink()
