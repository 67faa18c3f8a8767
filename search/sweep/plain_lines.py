"""What the user sees of a sweep without a terminal: lines with the time of day."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Self

from rich.console import Console

from search.ledger.state import TrialRecord
from search.sweep.heartbeat import every
from search.sweep.sweep_view import (
    ProgressCallback,
    SweepView,
    clock,
    epochs_in_words,
    latest_in_words,
    outcome_in_words,
    speed_in_words,
    value_in_words,
)

LONGEST_SILENCE_S = 30.0
"""So long at the most nothing is printed."""


class PlainProgress:
    """One line for every epoch and trial, and one wherever nothing was printed for half a
    minute.
    """

    def __init__(self, console: Console, longest_silence_s: float = LONGEST_SILENCE_S) -> None:
        """Print to a console.

        Args:
            console: no terminal.
            longest_silence_s: after so long a line says where the sweep stands.
        """
        self._console = console
        self._longest_silence_s = longest_silence_s
        self._has_told_of_engine = False
        self._said_at_s = 0.0
        self._now = ""

    @contextmanager
    def working(self, label: str, unit: str = "images") -> Iterator[ProgressCallback]:
        """Say what is done, and now and then how far it is and how long it will take."""
        began_s = time.monotonic()

        def advance(done: int, total: int) -> None:
            elapsed_s = time.monotonic() - began_s
            left = f"  left {clock(elapsed_s * (total - done) / done)}" if done else ""
            self._now = f"{label}: {done:,} of {total:,} {unit}{left}"

        self._now = f"{label} ..."
        self.say(self._now)
        with self._heart_beating():
            yield advance

    def show(self, view: SweepView) -> None:
        """Keep where the sweep stands, for when nothing else is printed."""
        running = ", ".join(f"trial {trial.number} ({epochs_in_words(trial)})" for trial in view.running)
        self._now = f"running: {running or 'no trial yet'}  |  {view.budget}  left {clock(view.remaining_s)}"

    def epoch_ended(self, view: SweepView, trial: TrialRecord) -> None:
        """Print a trial's latest epoch."""
        speed = speed_in_words(trial)  # an objective of the user's own trains no patches
        self.say(
            f"trial {trial.number}  epoch {epochs_in_words(trial)}  {view.metric} {latest_in_words(trial, view.metric)}"
            f"{'' if speed == '-' else f'  {speed} patches/s'}"
        )

    def trial_ended(self, view: SweepView, trial: TrialRecord) -> None:
        """Print how a trial ended, and where the sweep stands."""
        best = "" if view.best is None else f"  best {value_in_words(view.best)} (trial {view.best.number})"
        self.say(
            f"trial {trial.number} {outcome_in_words(trial)}  |  {view.budget}{best}  left {clock(view.remaining_s)}"
        )
        if view.engine_share is not None and view.engine_share.is_large and not self._has_told_of_engine:
            self._has_told_of_engine = True
            self.say(str(view.engine_share))

    def say(self, text: str) -> None:
        """Print a message with the time of day."""
        self._said_at_s = time.monotonic()
        self._console.print(f"{time.strftime('%H:%M:%S')} {text}", markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._now = "the workers are started"
        self._beating = self._heart_beating()
        self._beating.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._beating.__exit__(None, None, None)

    def _heart_beating(self) -> AbstractContextManager[None]:
        """The driver may wait: for an import, a full disk, a slow store."""
        return every(self._longest_silence_s / 10, self._say_if_silent)

    def _say_if_silent(self) -> None:
        if time.monotonic() - self._said_at_s > 0.9 * self._longest_silence_s:
            self.say(self._now)
