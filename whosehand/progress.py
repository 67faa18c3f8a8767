"""How the Python API shows how far a sweep is: in a terminal, in a notebook, in a file."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.progress
    from rich.console import Console

    from search.sweep.progress import Progress

# MLflow imports a progress bar that warns in every notebook without ipywidgets; ours needs none.
warnings.filterwarnings("ignore", message="IProgress not found")


def shown(is_wanted: bool) -> "Progress":
    """What shows a sweep or a promotion.

    Args:
        is_wanted: otherwise nothing is shown.
    """
    # Imported here, because a sweep's progress needs NumPy, which `import whosehand` does without.
    from search.sweep.progress import SilentProgress, make_progress

    return make_progress(_console()) if is_wanted else SilentProgress()


@contextmanager
def shown_steps(is_wanted: bool) -> "Iterator[Callable[[str], Callable[[int, int], None]]]":
    """What shows how far each of several steps is, one after the other.

    Args:
        is_wanted: otherwise nothing is shown.

    Yields:
        A function that is called with what a step does, and gives one to be called with (done,
        total).
    """
    with _bar(is_wanted) as bar:

        def begin(label: str) -> Callable[[int, int], None]:
            task = bar.add_task(label, total=None, visible=False)
            return lambda done, total: bar.update(task, completed=done, total=total, visible=done < total)

        yield begin


def _bar(is_wanted: bool) -> "rich.progress.Progress":
    import rich.progress

    console = _console()
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    return rich.progress.Progress(
        *columns, console=console, transient=True, disable=not (is_wanted and console.is_terminal)
    )


def _console() -> "Console":
    from rich.console import Console

    is_notebook = Console().is_jupyter
    # A notebook draws standard error in red and a live table anew for every line: plain lines read
    # better there.
    return Console(
        stderr=not is_notebook,
        force_jupyter=False,
        force_terminal=False if is_notebook else None,
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
