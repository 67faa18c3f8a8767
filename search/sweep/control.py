"""How the user reaches a running sweep: Ctrl-C, SIGTERM, a closed terminal, and commands from other
terminals.

Commands are lines of `control.jsonl` in the sweep's folder. Whoever steers appends, the driver
reads; what became of a command is an event in the ledger under the command's id. The file is its
owner's
alone: a driver leaves one alone that others could have written.
"""

import os
import secrets
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from core.errors import LedgerError
from core.space import Point

CONTROL_NAME = "control.jsonl"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST_LINE = 65_536


class StopRequest:
    """How urgently the user wants the sweep to stop.

    Attributes:
        urgency: 0 not at all, 1 when the running epochs are done, 2 at once.
    """

    def __init__(self) -> None:
        self.urgency = 0

    @property
    def is_made(self) -> bool:
        """Whether to stop when the running epochs are done."""
        return self.urgency >= 1

    @property
    def is_urgent(self) -> bool:
        """Whether to stop at once."""
        return self.urgency >= 2


@contextmanager
def stop_signals(on_signal: Callable[[], None]) -> Iterator[StopRequest]:
    """Turn Ctrl-C, SIGTERM and SIGHUP into a `StopRequest` for the block; the handlers of before
    come back after it.

    A sweep that was started with `nohup` goes on when its terminal is closed.

    An exception could come in the middle of a write. Outside the main thread, where Python allows
    no handlers, no signal makes the request.

    Args:
        on_signal: called at each signal, to wake who waits.
    """
    request = StopRequest()

    terminals = [file for file in (1, 2) if os.isatty(file)]

    def take(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:  # what is printed from now on would fail, in the middle of anything
            _turn_away(terminals)
        request.urgency += 1
        on_signal()

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    taken = [number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, take) for number in taken}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _turn_away(files: list[int]) -> None:
    """Let what is written to a terminal that is gone go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for file in files:
        os.dup2(nowhere, file)
    os.close(nowhere)


@dataclass(frozen=True)
class StopCommand:
    """Stop a trial, or with no `trial` the sweep: at once, or when the running epoch is done."""

    command_id: str
    at_ms: int
    trial: int | None
    is_urgent: bool
    command: Literal["stop"] = "stop"


@dataclass(frozen=True)
class BudgetCommand:
    """Change limits: `{"trials": "80", "minutes": "+30", "patches": "none"}`."""

    command_id: str
    at_ms: int
    changes: Mapping[str, str]
    command: Literal["budget"] = "budget"


@dataclass(frozen=True)
class EnqueueCommand:
    """Try a point next; it is as the engine would propose it."""

    command_id: str
    at_ms: int
    point: Point
    command: Literal["enqueue"] = "enqueue"


@dataclass(frozen=True)
class AnnotateCommand:
    """Set a trial's note and tags; no `note` leaves it as it is, an empty text takes away."""

    command_id: str
    at_ms: int
    trial: int
    note: str | None
    tags: Mapping[str, str]
    command: Literal["annotate"] = "annotate"


Command = StopCommand | BudgetCommand | EnqueueCommand | AnnotateCommand
_COMMANDS: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="command")])


def new_command() -> tuple[str, int]:
    """An id that no other command has, and the time."""
    return secrets.token_hex(6), time.time_ns() // 1_000_000


def send_command(folder: Path, command: Command) -> None:
    """Append a command to a sweep's control file, and bring it to the disk.

    Raises:
        LedgerError: if the file is not this user's alone.
        OSError: if it cannot be written.
    """
    path = folder / CONTROL_NAME
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if not _is_own(os.fstat(descriptor)):
            raise LedgerError(
                f"{path} steers the sweep and must be writable by its owner alone, but it is not. Delete it and "
                "give the command again."
            )
        # The first newline ends what a process may have left that died while it wrote.
        os.write(descriptor, b"\n" + _COMMANDS.dump_json(command) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ControlFile:
    """A sweep's control file, as its driver reads it: each whole line once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / CONTROL_NAME
        self._n_read = 0
        self._is_refused = False

    def read(self, say: Callable[[str], None]) -> list[Command]:
        """The commands that came since the last call; at the first call, all that there are.

        Args:
            say: takes what is wrong with the file.
        """
        try:
            found = self._path.lstat()
        except OSError:
            return []
        if found.st_size <= self._n_read or self._is_refused:
            return []
        if not (stat.S_ISREG(found.st_mode) and _is_own(found)):
            self._is_refused = True
            say(f"{self._path} could have been written by others than its owner; it is left alone.")
            return []
        with self._path.open("rb") as file:
            file.seek(self._n_read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._n_read += len(whole)
        return [command for line in whole.splitlines() if (command := _parse(line, say)) is not None]


def _is_own(found: os.stat_result) -> bool:
    return found.st_uid == os.getuid() and not found.st_mode & 0o022


def _parse(line: bytes, say: Callable[[str], None]) -> Command | None:
    if not line.strip():
        return None
    try:
        return _COMMANDS.validate_json(line[:_LONGEST_LINE])
    except ValidationError:
        say(f"A line of the control file is no command and is left out: {line[:80]!r}.")
        return None
