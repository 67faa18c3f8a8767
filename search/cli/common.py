"""Arguments that several commands share.

How the command line speaks: results on standard output, everything else on standard error.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from search.experiment.workspace import Workspace

if TYPE_CHECKING:
    from search.experiment.experiment import Experiment

output = Console(highlight=False, soft_wrap=True)
notes = Console(stderr=True, highlight=False, soft_wrap=True)


def print_error(message: str) -> None:
    """Print what went wrong, as it is."""
    notes.print(f"[bold red]error:[/] {escape(message)}")


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
