"""The sweep's own append-only record: the truth, of which engine state and tracking are
projections.

One JSON object a line. A line counts once its newline is on the disk; a crash can tear the last
line only, and that line is cut off at the next open, because nobody acted on it.
"""

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Concatenate, ParamSpec, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from core.crash_points import crash_point
from core.durable_files import sync_folder
from core.errors import LedgerError
from search.ledger.events import AnyLedgerEvent, LedgerEvent, SweepCreated
from search.ledger.lock import LOCK_NAME, SweepLock
from search.ledger.references import with_absolute_paths, with_relative_paths
from search.ledger.state import SweepState
from search.ledger.trial import is_disk_full

LEDGER_NAME = "ledger.jsonl"
_BLOCK_BYTES = 65_536
Differences = Callable[[Mapping[str, Any]], Sequence[str]]
"""Says what of a sweep's identity is no longer as in the snapshot that it was created with."""
P = ParamSpec("P")
E = TypeVar("E", bound=LedgerEvent)
_EVENTS: TypeAdapter[LedgerEvent] = TypeAdapter(AnyLedgerEvent)


class Ledger:
    """A sweep's ledger, held by this process alone and open for appending.

    Attributes:
        folder: the sweep's, with everything that belongs to it.
        state: all events so far, folded.
        trimmed_bytes: of a torn last line that was cut off when the ledger was opened; 0 if it was
            whole.
        taken_over_from: process and host of a driver that died while it held the ledger; empty if
            the last one did not.
        clock: what events' times are read from, Unix seconds.
        wait_for_room: called when the disk is full; returns when the line should be tried again, or
            False to give up.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Lock and open the ledger in `folder`, or make an empty one.

        Args:
            folder: the sweep's.
            clock: another one than the wall's in a simulation.

        Raises:
            LedgerError: if another driver holds it, or it is damaged before its last line.
        """
        self.folder = folder = folder.absolute()
        self.clock = clock
        self.wait_for_room: Callable[[OSError], bool] = lambda _: False
        self._lock = SweepLock(folder / LOCK_NAME)
        self.taken_over_from = self._lock.taken_over_from
        try:
            path = folder / LEDGER_NAME
            self.trimmed_bytes = _trim_torn_line(path) if path.exists() else 0
            self.state = SweepState.fold(_read(path)) if path.exists() else SweepState()
            self._file = path.open("ab", buffering=0)
            sync_folder(folder)
            crash_point("ledger-empty")
        except BaseException:
            self._lock.release()
            raise

    @property
    def created(self) -> SweepCreated:
        """The first event.

        Raises:
            LedgerError: if the ledger is empty.
        """
        if self.state.created is None:
            raise LedgerError(f"A ledger must begin with the sweep's creation, but {self._file.name} is empty.")
        return self.state.created

    def append(self, event_of: Callable[Concatenate[int, P], E], *args: P.args, **values: P.kwargs) -> E:
        """Write one event and bring it to the disk before returning it.

        Times never go back, even if the clock does.

        Args:
            event_of: the kind of event; it is made with its time, Unix milliseconds, and the rest.
            args: of the event, without its time.
            values: further ones by name.

        Raises:
            LedgerError: if the event does not fit those before it, or cannot be written (a full
                disk).

        Example:
            `ledger.append(TrialTracked, number)`
        """
        if self._file.closed:
            raise LedgerError(f"{self._file.name} must be open to take an event down, but it is closed.")
        event = event_of(self.now_ms(), *args, **values)
        line = _encode(event, self.folder)
        self.state.apply(event)
        crash_point("line-half-written", lambda: os.write(self._file.fileno(), line[: len(line) // 2]))
        while not self._write(line):
            pass
        return event

    def _write(self, line: bytes) -> bool:
        """Write a line and bring it to the disk; False if it should be tried again."""
        end = os.fstat(self._file.fileno()).st_size
        try:
            rest = line
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            # What is written behind half a line would make the ledger unreadable.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), end)
                if is_disk_full(error) and self.wait_for_room(error):
                    return False
            self.close()
            raise LedgerError(f"An event cannot be written to {self._file.name}: {error}.") from error
        return True

    def empty(self) -> None:
        """Forget a sweep that was created and never launched."""
        self._file.truncate(0)
        self.state = SweepState()

    def now_ms(self) -> int:
        """Unix time in milliseconds, never before the last event's."""
        return max(int(1000 * self.clock()), self.state.last_ms)

    def close(self) -> None:
        """Close the file and give the lock back. May be called twice."""
        self._file.close()
        self._lock.release()

    def __enter__(self) -> Self:
        """Hold the ledger for a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it at the end of the block."""
        self.close()


def open_ledger(
    folder: Path,
    *,
    name: str,
    config: Mapping[str, Any],
    version: str,
    git_commit: str,
    differences: Differences | None = None,
    clock: Callable[[], float] = time.time,
) -> Ledger:
    """Open a sweep's ledger to go on with it, or begin it.

    Args:
        folder: the sweep's.
        name: as the user calls it.
        config: the whole experiment as plain JSON values.
        version: of whosehand.
        git_commit: empty outside a repository.
        differences: compares the snapshot that the sweep was created with with the present
            experiment; by default any change of `config` counts.
        clock: as that of `Ledger`.

    Raises:
        LedgerError: if another driver holds it, it is damaged, or it was begun with another
            experiment. One that was created and, because of a crash, never launched is begun anew.
    """
    ledger = Ledger(folder, clock)
    try:
        if ledger.state.created is None or (not ledger.state.launches and _changed(ledger, differences, config)):
            ledger.empty()
            sweep_id = f"{name}-{secrets.token_hex(4)}"
            digest = hash_config(config)
            ledger.append(SweepCreated, sweep_id, name, config, digest, version, git_commit)
            crash_point("sweep-created")
        else:
            _check_same_experiment(ledger.created, _changed(ledger, differences, config), folder)
    except BaseException:
        ledger.close()
        raise
    return ledger


def read_ledger(folder: Path) -> SweepState:
    """Fold a sweep's ledger without locking or mending it, for those who only look.

    A torn last line is left out.

    Raises:
        LedgerError: if there is none, or it is damaged before its last line.
    """
    path = folder / LEDGER_NAME
    if not path.exists():
        raise LedgerError(f"A sweep's folder must hold a {LEDGER_NAME}, but {folder} has none.")
    return SweepState.fold(_read(path))


def hash_config(config: Mapping[str, Any]) -> str:
    """SHA-256 of an experiment as plain values, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _changed(ledger: Ledger, differences: Differences | None, config: Mapping[str, Any]) -> Sequence[str]:
    old = ledger.created.config
    if differences is not None:
        return differences(old)
    return [] if hash_config(old) == hash_config(config) else ["the experiment's values"]


def _check_same_experiment(created: SweepCreated, found: Sequence[str], folder: Path) -> None:
    if found:
        raise LedgerError(
            f"A sweep goes on with the experiment that it was begun with, but since {created.name!r} was begun in "
            f"{folder} this changed: {'; '.join(found)}. Undo the change, or "
            "launch the changed experiment as a sweep of its own with `--fork NEW_NAME`."
        )


def _trim_torn_line(path: Path) -> int:
    """Cut off what follows the last good line, if only one line does; return its length in
    bytes.
    """
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = _line_end(file, size)
        # A disk that went away may also leave a last line that is whole but full of zeros.
        if end == size and end:
            start = _line_end(file, end - 1)
            file.seek(start)
            if not _is_event(file.read(end - start)):
                end = start
        if end < size:
            file.truncate(end)
            os.fsync(file.fileno())
    return size - end


def _line_end(file: BinaryIO, before: int) -> int:
    """Behind the last newline of the file's first `before` bytes; 0 if there is none."""
    while before > 0:
        start = max(0, before - _BLOCK_BYTES)
        file.seek(start)
        place = file.read(before - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        before = start
    return 0


def _is_event(line: bytes) -> bool:
    try:
        _EVENTS.validate_python(_with_present_names(json.loads(line)))
    except (ValueError, ValidationError):
        return False
    return True


def _with_present_names(values: Any) -> Any:
    """Translate the field names of version 0.1."""
    if isinstance(values, dict) and values.get("kind") == "reported" and "verdict" in values:
        values["decision"] = values.pop("verdict")
    return values


def _read(path: Path) -> Iterator[LedgerEvent]:
    """The events one by one; of the file no more than a line is in memory."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                values = json.loads(line)
                if b'"sha256"' in line:
                    values = with_absolute_paths(values, path.parent)
                yield _EVENTS.validate_python(_with_present_names(values))
            except (ValueError, ValidationError) as error:
                raise LedgerError(
                    f"Every line of a ledger must be an event, but line {number} of {path} is damaged: "
                    f"{line[:-1][:80]!r}. Restore the file from a backup, or begin the sweep anew under another name. "
                    f"({error})"
                ) from error


def _encode(event: LedgerEvent, folder: Path) -> bytes:
    values = _EVENTS.dump_python(event, mode="json", fallback=_plain, warnings="none")
    return (json.dumps(with_relative_paths(values, folder)) + "\n").encode()


def _plain(value: Any) -> Any:
    """What pydantic cannot write by itself: read-only mappings and NumPy's numbers."""
    if isinstance(value, Mapping):
        return dict(value)
    import numpy as np  # only here: who reads a ledger needs it not, and it takes a tenth of a second

    if isinstance(value, np.generic):
        return value.item()
    raise LedgerError(f"A ledger holds plain values only, but got {value!r}.")
