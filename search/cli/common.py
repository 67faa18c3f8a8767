"""What commands share: how they print (results on standard output, all else on standard error), and
their arguments.
"""

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from search.experiment.workspace import Workspace
from search.sweep.heartbeat import every

if TYPE_CHECKING:
    from search.experiment.experiment import Experiment

_SHORT_HEADER, _LONG_LINE = 6, 10  # letters of a header: not broken, and on one line of a broken one
_WIDE = 10_000  # as wide as any table wants to be
_SHORTEST_PATH = 16  # letters that a path is shortened to at the most
_BIDIRECTIONAL = {*"\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}


def visible(text: str) -> str:
    r"""Show what would steer a terminal, or turn the direction of writing, as text: names come from
    files and folders.

    >>> visible("anna\x1b[31m \u202eB"), visible("two\nlines")
    ('anna\\x1b[31m \\u202eB', 'two\nlines')
    """
    return "".join(
        letter.encode("unicode_escape").decode()
        if (unicodedata.category(letter) == "Cc" and letter not in "\n\t") or letter in _BIDIRECTIONAL
        else letter
        for letter in text
    )


class PlainConsole(Console):
    """A console to which a string is text: neither Rich's markup nor a terminal's escapes in it do
    anything.

    What is to have a style is given as a `Text`.
    """

    def __init__(self, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, highlight=False, soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn a string into text, as Rich does with every string that it prints."""
        return super().render_str(visible(text), **options)


_SILENCE_S = 20.0  # without a terminal
_PATIENCE_S = 2.0  # then a terminal shows that something is done
output = PlainConsole()
notes = PlainConsole(stderr=True)


def print_error(message: str) -> None:
    """Print what went wrong."""
    notes.print(labelled("error:", message, "bold red"))


def print_warning(message: str) -> None:
    """Print what everyone who sees the result must know."""
    notes.print(labelled("warning:", message, "bold yellow"))


def print_note(message: str) -> None:
    """Print what is good to know."""
    notes.print(f"note: {message}")


def labelled(label: str, text: str, style: str) -> Text:
    """A label that has a style, a space, and a text that has none."""
    return Text.assemble((visible(label), style), " ", visible(text))


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    n_text_columns: int = 1,
    styles: Mapping[int, str] | None = None,
    optional: Sequence[int] = (),
    path_column: int | None = None,
) -> list[str]:
    """Print a table as wide as the terminal at the most.

    Args:
        header: a name for each column, broken at its gaps where it is longer than the cells.
        rows: cells. A text that has a style of its own must be free of what steers terminals (see
            `visible`).
        n_text_columns: the columns from the left that hold words, which may be broken; the others
            hold numbers.
        styles: of rows, by their place.
        optional: places of columns that are left out where the table would be too wide, in this
            order.
        path_column: place of a column of paths, which are shortened at their left rather than
            broken; without a terminal they are whole, however wide the table.

    Returns:
        The names of the columns that were left out.
    """
    places, left_out, console = list(range(len(header))), list[int](), output
    for candidate in (*optional, None):
        table = _drawn(header, rows, places, n_text_columns, styles or {})
        excess = _width(table) - output.width
        if excess > 0 and path_column is not None:
            if not output.is_terminal:
                console = PlainConsole(width=_width(table))
                console.file = output.file
                break
            room = max(len(str(row[path_column])) for row in rows) - excess
            if room >= _SHORTEST_PATH or candidate is None:
                rows = _with_short_paths(rows, path_column, max(room, _SHORTEST_PATH))
                table = _drawn(header, rows, places, n_text_columns, styles or {})
                break
        if candidate is None or excess <= 0:
            break
        places.remove(candidate)
        left_out.append(candidate)
    console.print(table, soft_wrap=False)
    return [header[place] for place in sorted(left_out)]


def _drawn(
    header: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    places: Sequence[int],
    n_text_columns: int,
    styles: Mapping[int, str],
) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for place in places:
        justify: Literal["left", "right"] = "left" if place < n_text_columns else "right"
        widest = max((len(str(row[place])) for row in rows), default=0)
        table.add_column(_broken(header[place], widest), justify=justify, overflow="fold")
    for number, row in enumerate(rows):
        table.add_row(*(row[place] for place in places), style=styles.get(number))
    return table


def _width(table: Table) -> int:
    """In columns, if nothing is broken."""
    return Measurement.get(output, output.options.update(width=_WIDE), table).maximum


def _with_short_paths(rows: Sequence[Sequence[str | Text]], place: int, length: int) -> list[list[str | Text]]:
    return [
        [shorten_at_left(str(cell), length) if number == place else cell for number, cell in enumerate(row)]
        for row in rows
    ]


def shorten_at_left(text: str, length: int) -> str:
    """The end of a text that is too long, as a path's end tells more than its beginning.

    >>> shorten_at_left("scans/anna/letter-3.png", 16), shorten_at_left("short.png", 16)
    ('…na/letter-3.png', 'short.png')
    """
    return text if len(text) <= length else f"…{text[len(text) - length + 1 :]}"


def _broken(name: str, width: int) -> str:
    r"""A header broken at its gaps, if it is wider than the cells below it.

    >>> _broken("convolutions_per_block", 3), _broken("trial", 3), _broken("image log-loss (nats)", 40)
    ('convolutions_\nper_block', 'trial', 'image log-loss (nats)')
    """  # noqa: W505
    if len(name) <= max(width, _SHORT_HEADER):
        return name
    words = name.replace("_", "_ ").split(" ")
    lines = [words[0]]
    for word in words[1:]:
        gap = "" if lines[-1].endswith("_") else " "
        if len(lines[-1]) + len(gap) + len(word) <= max(width, _LONG_LINE):
            lines[-1] += gap + word
        else:
            lines.append(word)
    return "\n".join(lines)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error that is drawn once there is something to wait for.

    Where standard error is a file, a line every 20 seconds says how far it is, also while nothing
    can be counted.

    Yields:
        A function to be called with (done, total).
    """
    now = f"{label} ..."
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as progress:
        task = progress.add_task(label, total=None, visible=False)

        def advance(done: int, total: int) -> None:
            nonlocal now
            now = f"{label}: {done:,} of {total:,}"
            progress.update(task, completed=done, total=total, visible=True)

        def say_now() -> None:
            if notes.is_terminal:
                progress.update(task, visible=True)
            else:
                notes.print(now)

        with every(_PATIENCE_S if notes.is_terminal else _SILENCE_S, say_now):
            yield advance


def complete_sweeps(incomplete: str) -> list[str]:
    """The project's sweeps that begin so, for the shell's completion."""
    folders = Workspace(Path.cwd()).sweep("any").parent.glob("*/ledger.jsonl")
    return sorted(path.parent.name for path in folders if path.parent.name.startswith(incomplete))


def complete_experiments(incomplete: str) -> list[str]:
    """The experiment files and folders that begin so, for the shell's completion."""
    shown = (f"{path}/" if path.is_dir() else str(path) for path in Path().glob(f"{incomplete}*"))
    inside = (str(path) for path in Path().glob("experiments/*.yaml")) if not incomplete else ()
    return sorted({*(name for name in shown if name.endswith((".yaml", ".yml", "/"))), *inside})


ExperimentFile = Annotated[
    Path,
    typer.Argument(
        metavar="EXPERIMENT",
        help="The experiment's YAML file.",
        show_default=False,
        autocompletion=complete_experiments,
    ),
]
SweepName = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP",
        help="The sweep's name; `whosehand status` lists them.",
        show_default=False,
        autocompletion=complete_sweeps,
    ),
]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override one key of the file, such as budget.trials=5; repeatable."
    ),
]
StoreOption = Annotated[
    str | None, typer.Option("--uri", help="Tracking store, as in tracking.uri.", show_default="the project's")
]


class ImageUnit(StrEnum):
    """What an image is; see `core.corpora.index.TextImage`."""

    AUTO = "auto"
    PAGE = "page"
    FORM = "form"
    LINE = "line"


def current_workspace() -> Workspace:
    """The workspace of the current folder."""
    return Workspace(Path.cwd())


def read_experiment(path: Path, overrides: list[str], needs_budget: bool = True) -> "Experiment":
    """Read the experiment file.

    Args:
        path: of the file.
        overrides: of single keys.
        needs_budget: whether it is about to train.

    Raises:
        ConfigError: names file, key and what is allowed.
    """
    from search.experiment.experiment import load_experiment

    return load_experiment(path, overrides, needs_budget)
