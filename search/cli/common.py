"""What commands share: how they print (results on standard output, all else on standard error), and their arguments."""

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from search.experiment.workspace import Workspace

if TYPE_CHECKING:
    from search.experiment.experiment import Experiment

_BIDIRECTIONAL = {*"\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}


def visible(text: str) -> str:
    r"""Show what would steer a terminal, or turn the direction of writing, as text: names come from files and folders.

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
    """A console to which a string is text: neither Rich's markup nor a terminal's escapes in it do anything.

    What is to have a style is given as a `Text`.
    """

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, highlight=False, soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn a string into text, as Rich does with every string that it prints."""
        return super().render_str(visible(text), **options)


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
) -> None:
    """Print a table as wide as the terminal at the most.

    Args:
        header: a name for each column; a line break in it is kept.
        rows: cells. A text that has a style of its own must be free of what steers terminals (see `visible`).
        n_text_columns: the columns from the left that hold words, which may be broken; the others hold numbers.
        styles: of rows, by their place.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for place, name in enumerate(header):
        if place < n_text_columns:
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", overflow="fold")
    for place, row in enumerate(rows):
        table.add_row(*row, style=(styles or {}).get(place))
    output.print(table, soft_wrap=False)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error that is drawn once there is something to wait for.

    Yields:
        A function to be called with (done, total).
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as progress:
        task = progress.add_task(label, total=None, visible=False)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=True)

        yield advance


def counted(number: int, what: str, several: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "image"), counted(2, "image"), counted(0, "copy", "copies")
    ('1 image', '2 images', 'no copies')
    """
    return f"{number or 'no'} {what if number == 1 else several or what + 's'}"


ExperimentFile = Annotated[
    Path, typer.Argument(metavar="EXPERIMENT", help="The experiment's YAML file.", show_default=False)
]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override one key of the file, such as budget.trials=5; repeatable."
    ),
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


def read_experiment(path: Path, overrides: list[str]) -> "Experiment":
    """Read the experiment file.

    Raises:
        ConfigError: names file, key and what is allowed.
    """
    from search.experiment.experiment import load_experiment

    return load_experiment(path, overrides)
