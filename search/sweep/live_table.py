"""What the user sees of a sweep in a terminal: a table that is drawn anew in one place."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Column, Table
from rich.text import Text

from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.sweep.sweep_view import (
    ProgressCallback,
    SweepView,
    clock,
    epochs_in_words,
    host_of,
    latest_in_words,
    outcome_in_words,
    speed_in_words,
    value_in_words,
)

_BAR_WIDTH = 16


class LiveProgress:
    """A table that is drawn again and again in one place; messages and finished trials scroll up
    above it.
    """

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4, auto_refresh=True)

    @contextmanager
    def working(self, label: str, unit: str = "images") -> Iterator[ProgressCallback]:
        """Draw a bar with the time left, which goes away at the end."""
        columns = (
            TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            BarColumn(_BAR_WIDTH),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(),
        )
        with ProgressBar(*columns, console=self._live.console, transient=True) as bar:
            task = bar.add_task(label, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def show(self, view: SweepView) -> None:
        """Draw the table; rich draws at most four times a second."""
        self._live.update(render(view))

    def epoch_ended(self, view: SweepView, trial: TrialRecord) -> None:
        """Do nothing: the table shows it."""

    def trial_ended(self, view: SweepView, trial: TrialRecord) -> None:
        """Print how the trial ended above the table, where it stays."""
        mark = "*" if view.best is not None and view.best.number == trial.number else " "
        trained = f"{epochs_in_words(trial)}  {clock(trial.duration_s)}"
        line = f"{mark}trial {trial.number:>3} {outcome_in_words(trial)}  {trained}  {view.searched(trial)}"
        # Not by the text's own `no_wrap`, which a console forgets when it joins what it prints.
        self._live.console.print(escape(line), highlight=False, soft_wrap=False, no_wrap=True, overflow="ellipsis")

    def say(self, text: str) -> None:
        """Print a message above the table."""
        self._live.console.print(escape(text), highlight=False, soft_wrap=False)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last table standing."""
        self._live.stop()


def render(view: SweepView) -> RenderableType:
    """Draw a sweep: the running trials, the best one, counts, budget and time. No line is
    broken.
    """
    title = f"sweep {view.name}" + (" (stopping)" if view.is_stopping else "")
    table = Table()
    for name in ("trial", "epoch", view.metric, "patches/s", "elapsed", *(["host"] if view.has_hosts else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for trial in view.running:
        table.add_row(
            str(trial.number),
            epochs_in_words(trial),
            latest_in_words(trial, view.metric),
            speed_in_words(trial),
            clock((view.now_ms - trial.starts[-1].at_ms) / 1000 if trial.starts else None),
            *([escape(host_of(trial))] if view.has_hosts else []),
        )
    shown = (TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED, TrialState.PAUSED)
    counts = "  ".join(f"{state.value} {view.counts[state]}" for state in shown if view.counts.get(state))
    lines = [f"{counts or 'no trial has ended yet'}  |  {view.budget}"]
    if view.best is not None:
        lines.insert(
            0, f"best {view.metric} {value_in_words(view.best)} (trial {view.best.number})  {view.searched(view.best)}"
        )
    if view.engine_share is not None and view.engine_share.is_large:
        lines += str(view.engine_share).split(": ")
    left = f", about {clock(view.remaining_s)} left; Ctrl-C stops safely" if view.running else ""
    lines.append(f"elapsed {clock(view.elapsed_s)}{left}")
    running = [table] if view.running else []  # an empty one would stay when the sweep has ended
    return Group(_one_line(title), *running, *(_one_line(line) for line in lines))


def _one_line(line: str) -> Text:
    """Cut off, where the terminal is too narrow, instead of broken."""
    return Text(line, no_wrap=True, overflow="ellipsis")
