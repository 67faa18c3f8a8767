"""What the command line shows, as SVG for the docs: real commands in a terminal of so many columns.

`python -m benchmarks.screens FOLDER` makes a project in FOLDER: scans, an experiment for them, a
sweep that is watched and steered from beside it, killed and resumed, then compared. It takes some
minutes.
"""

import contextlib
import fcntl
import io
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from core.corpora.catalogue import open_corpus
from core.corpora.settings import HandsSettings
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.state import SweepState

PICTURES = Path(__file__).parents[1] / "docs" / "pictures" / "screens"
EXPERIMENT = """
name: letters
corpus: {layout: hands, n_writers: 6, n_pages: 5, n_lines: 4}
patches: {patches_per_epoch: 400, per_image_at_validation: 4, per_image_at_test: 8}
space:
  base: none
  fixed: {input_px: 56, n_blocks: 3, stem_stride: 2, batch_size: 32}
  dimensions:
    filters: {type: categorical, choices: [8, 16, 24]}
    learning_rate: {type: real, low: 1.0e-3, high: 1.0e-2, log: true}
    n_dense: {type: integer, low: 0, high: 1}
    dense_1: {type: integer, low: 64, high: 256, step: 64, when: {n_dense: [1]}}
  enqueue: []
training: {epochs: 5, precision: float32}
executor: {workers: 1}
budget: {trials: 4}
promotion: {epochs: 8}
"""
NAMES = ("anna", "bert", "carla", "dora")
_WEB_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # the docs load nothing from the network
_CONTROL = re.compile(r"\x1b\[(\d*)([AKGJ])|\x1b\[\?\d+[hl]|\r")
_PATIENCE_S = 900.0


class Terminal:
    """A command in a terminal of its own, `width` columns wide."""

    def __init__(self, folder: Path, arguments: Sequence[str], width: int) -> None:
        self.title = f"whosehand {' '.join(arguments)}"
        self.width = width
        self._folder = folder
        self._received = bytearray()
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "search.cli.main", *arguments],
            cwd=folder,
            env=environment | {"TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parents[1])},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self._reader.start()

    def _read(self, terminal: int) -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while received := os.read(terminal, 65_536):
                self._received += received
        os.close(terminal)

    def end(self) -> "Terminal":
        """Wait until the command has ended and all of it is read."""
        self.process.wait(_PATIENCE_S)
        self._reader.join()
        return self

    def lines(self) -> list[str]:
        """What stands in the terminal now, with its colours."""
        return screen_lines(self._received.decode(errors="replace"))

    def shown_lines(self) -> list[str]:
        """The same, as from a folder `letters` in somebody's home on a host `desk`."""
        names = {str(self._folder): "~/letters", f"host {socket.gethostname()}": "host desk"}
        lines = self.lines()
        for name, other in names.items():
            lines = [line.replace(name, other) for line in lines]
        return lines


def screen_lines(text: str) -> list[str]:
    r"""What a terminal shows after text in which lines were erased and written anew by rich.

    >>> screen_lines("one\n\x1b[1A\r\x1b[2Ktwo\n")
    ['two', '']
    """
    lines, row = [""], 0
    for piece in re.split(r"(\n|\x1b\[\d*[AKGJ]|\x1b\[\?\d+[hl]|\r)", text):
        control = _CONTROL.fullmatch(piece)
        if piece == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif control is None:
            lines[row] += piece
        elif control[2] == "A":
            row = max(0, row - int(control[1] or 1))
        elif control[2] == "K":
            lines[row] = ""
    return lines


def draw(parts: Sequence[Terminal], name: str) -> None:
    """Write what terminals of one width show, one below the other, as an SVG file.

    The machine's own name and folders become others.
    """
    console = Console(record=True, width=parts[0].width, file=io.StringIO(), force_terminal=True)
    for part in parts:
        console.print(Text(f"$ {part.title}", style="bold"), soft_wrap=True)
        for line in map(Text.from_ansi, part.shown_lines()):
            for piece in line.divide(range(part.width, len(line), part.width)):  # where a terminal breaks it
                console.print(piece, soft_wrap=True)
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = console.export_svg(title=f"{parts[0].width} columns")
    (PICTURES / f"{name}.svg").write_text(_WEB_FONT.sub("", picture), encoding="utf-8")


def write_scans(folder: Path) -> None:
    """Generated pages as a user's scans lie: a folder for each writer."""
    corpus = open_corpus(HandsSettings(n_writers=len(NAMES), n_pages=3, n_lines=4, unit="page"), folder.parent / "data")
    pages = Counter[str]()
    for image in corpus.index().images:
        pages[image.writer_id] += 1
        target = folder / NAMES[len(pages) - 1] / f"letter-{pages[image.writer_id]}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image.path, target)


def watch_and_steer(folder: Path, run: Callable[..., Terminal]) -> None:
    """A sweep, seen and steered from a second terminal, killed, and resumed."""
    sweep = Terminal(folder, ["sweep", "letters.yaml"], 80)
    _wait(sweep, folder, lambda state: len(state.trials) > 1 and state.trials[1].n_epochs > 1)
    draw([run("status", "letters"), run("show", "letters", "0")], "status")
    steering = [
        run("stop", "letters", "--trial", "1"),
        run("budget", "letters", "trials=+2"),
        run("enqueue", "letters", "learning_rate=2e-3", "filters=16"),
    ]
    _wait(sweep, folder, lambda state: len(state.trials) > 2 and state.trials[2].n_epochs > 1)
    draw([*steering, run("status", "letters")], "steer")
    draw([sweep], "live")
    os.killpg(sweep.process.pid, signal.SIGKILL)
    sweep.end()
    killed = run("status", "letters")
    resumed = Terminal(folder, ["sweep", "letters.yaml"], 80).end()
    draw([killed, resumed], "resumed")


def _wait(sweep: Terminal, folder: Path, is_reached: Callable[[SweepState], bool]) -> None:
    record, ends_s = folder / "mlruns" / "sweeps" / "letters", time.monotonic() + _PATIENCE_S
    while not ((record / LEDGER_NAME).exists() and is_reached(read_ledger(record))):
        if time.monotonic() > ends_s or sweep.process.poll() is not None:
            raise RuntimeError("\n".join(["The sweep did not get there:", *sweep.lines()]))
        time.sleep(0.2)


def main(folder: Annotated[Path, typer.Argument(help="For the project; must not be there.")]) -> None:
    """Draw the command line's screens into docs/pictures/screens."""
    folder = folder.absolute()
    folder.mkdir(parents=True)

    def run(*arguments: str, width: int = 80) -> Terminal:
        return Terminal(folder, arguments, width).end()

    write_scans(folder / "scans")
    draw([run("init", "scans")], "init")
    (folder / "letters.yaml").write_text(EXPERIMENT, encoding="utf-8")
    watch_and_steer(folder, run)
    draw([run("compare", "letters")], "compare-80")
    draw([run("compare", "letters", width=160)], "compare-160")
    draw([run("promote", "letters")], "promote")
    pages = [str(path.relative_to(folder)) for path in sorted((folder / "scans").rglob("*.png"))[:3]]
    draw([run("identify", pages[0]), run("identify", *pages)], "identify")


if __name__ == "__main__":
    typer.run(main)
