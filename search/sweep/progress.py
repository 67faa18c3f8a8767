"""What shows a sweep to the user, whatever it goes to: a terminal, a file, nowhere."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, Self

from rich.console import Console

from search.ledger.state import TrialRecord
from search.sweep.live_table import LiveProgress
from search.sweep.plain_lines import PlainProgress
from search.sweep.sweep_view import ProgressCallback, SweepView

PREPARING = "preparing the corpus"


class Progress(Protocol):
    """Shows a sweep to the user. Called from one thread, many times a second."""

    def working(self, label: str, unit: str = "images") -> AbstractContextManager[ProgressCallback]:
        """Show for a block how far a piece of work is, and how long it will take.

        Args:
            label: of the work, in a few words.
            unit: what is counted.

        Yields:
            What is called with (done, in all); without a call nothing but the work is shown.
        """
        ...

    def show(self, view: SweepView) -> None:
        """Show where the sweep stands."""
        ...

    def epoch_ended(self, view: SweepView, trial: TrialRecord) -> None:
        """Show a trial's latest epoch."""
        ...

    def trial_ended(self, view: SweepView, trial: TrialRecord) -> None:
        """Show how a trial ended, or that it is paused."""
        ...

    def say(self, text: str) -> None:
        """Show a message to the user."""
        ...

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(self, *_: object) -> None:
        """End."""
        ...


def make_progress(console: Console) -> Progress:
    """Choose a live table for a terminal, and lines for anything else, such as a file or a pipe."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


class SilentProgress:
    """Shows nothing."""

    @contextmanager
    def working(self, label: str, unit: str = "images") -> Iterator[ProgressCallback]:
        """Do nothing."""
        yield lambda _done, _total: None

    def show(self, view: SweepView) -> None:
        """Do nothing."""

    def epoch_ended(self, view: SweepView, trial: TrialRecord) -> None:
        """Do nothing."""

    def trial_ended(self, view: SweepView, trial: TrialRecord) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        """Do nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""
