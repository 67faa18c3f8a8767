"""What the user sees while a sweep runs: a live table in a terminal, lines with a time stamp
elsewhere.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table
from rich.text import Text

from core.space import Point
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState

ProgressCallback = Callable[[int, int], None]
"""Called with (done, in all); the same as in `core.lines.reading`, which would bring OpenCV in."""
PREPARING = "preparing the corpus"
LONGEST_SILENCE_S = 30.0
"""Without a terminal, so long at the most nothing is printed."""
_MAIN_HYPERPARAMETERS = 6


WINDOW = 10  # trials: what asking costs now, not what it cost on average
_FEWEST = 3
_LARGE = 0.1
_UNNOTICED_S = 0.1  # a trial; tests and toy objectives only have trials so short that this is a tenth of them
_GROWN = 2.0


@dataclass(frozen=True)
class EngineShare:
    """What asking costs, on the average of a sweep's latest trials.

    Attributes:
        ask_s: for which the engine was asked, a trial.
        trial_s: of training and validation, a trial.
        early_ask_s: for which the engine was asked, on the average of the first trials.
    """

    ask_s: float
    trial_s: float
    early_ask_s: float

    @classmethod
    def of(cls, trials: Mapping[int, TrialRecord]) -> "EngineShare | None":
        """Measure a sweep by its trials, whose numbers count up from 0; `None` while too few have
        trained.
        """
        latest = list(islice(_trained(trials, range(len(trials) - 1, -1, -1)), WINDOW))
        if len(latest) < _FEWEST:
            return None
        return cls(
            ask_s=fmean(trial.ask_s for trial in latest),
            trial_s=fmean(trial.duration_s for trial in latest),
            early_ask_s=fmean(trial.ask_s for trial in islice(_trained(trials, range(len(trials))), _FEWEST)),
        )

    @property
    def is_large(self) -> bool:
        """Whether asking takes more than a tenth of the trials' own time, and long enough to be
        noticed.
        """
        return self.ask_s > max(_LARGE * self.trial_s, _UNNOTICED_S)

    def __str__(self) -> str:
        """One line for the user, with the mend.

        >>> str(EngineShare(ask_s=12.04, trial_s=86.0, early_ask_s=0.31))
        'asking the engine takes 12 s a trial, 14 % of the trial time (0.31 s at first): random search does not grow'
        """  # noqa: W505
        share = f"{self.ask_s / self.trial_s:.0%}".replace("%", " %") if self.trial_s > 0 else "more than all"
        text = f"asking the engine takes {_seconds(self.ask_s)} a trial, {share} of the trial time"
        has_grown = self.ask_s > _GROWN * self.early_ask_s
        return f"{text} ({_seconds(self.early_ask_s)} at first): random search does not grow" if has_grown else text


@dataclass(frozen=True)
class SweepView:
    """A sweep at one moment.

    Attributes:
        name: of the sweep.
        metric: that is searched for.
        running: trials that a worker is on.
        counts: trials by state.
        best: the best completed trial.
        budget: used and allowed, in words.
        elapsed_s: wall-clock seconds of all launches.
        remaining_s: estimated; `None` while there is nothing to estimate from.
        now_ms: Unix time.
        is_stopping: whether the user asked to stop.
        engine_share: what asking the engine costs; `None` while too few trials have trained.
    """

    name: str
    metric: str
    running: tuple[TrialRecord, ...]
    counts: Mapping[TrialState, int]
    best: TrialRecord | None
    budget: str
    elapsed_s: float
    remaining_s: float | None
    now_ms: int
    is_stopping: bool
    engine_share: EngineShare | None = None


class Progress(Protocol):
    """Shows a sweep to the user. Called from one thread, many times a second."""

    def preparing(self) -> AbstractContextManager[ProgressCallback]:
        """Show for a block that the corpus is prepared; what it yields is called with (images done,
        in all).
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
    def preparing(self) -> Iterator[ProgressCallback]:
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
    def preparing(self) -> Iterator[ProgressCallback]:
        """Say that the corpus is prepared, and how far that is."""

        def advance(done: int, total: int) -> None:
            self._now = f"{PREPARING}: {done} of {total} images"

        self._now = PREPARING
        self.say(f"{PREPARING} ...")
        with self._heart_beating():
            yield advance

    def show(self, view: SweepView) -> None:
        """Keep where the sweep stands, for when nothing else is printed."""
        running = ", ".join(f"{trial.number} ({_epochs(trial)})" for trial in view.running)
        self._now = f"running: trials {running or 'none'}  |  {view.budget}  left {clock(view.remaining_s)}"

    def epoch_ended(self, view: SweepView, trial: TrialRecord) -> None:
        """Print a trial's latest epoch."""
        speed = _patches_per_s(trial)  # an objective of the user's own trains no patches
        self.say(
            f"trial {trial.number}  epoch {_epochs(trial)}  {view.metric} {_latest(trial, view.metric)}"
            f"{'' if speed == '-' else f'  {speed} patches/s'}"
        )

    def trial_ended(self, view: SweepView, trial: TrialRecord) -> None:
        """Print how a trial ended, and where the sweep stands."""
        best = "" if view.best is None else f"  best {_value(view.best)} (trial {view.best.number})"
        self.say(f"trial {trial.number} {_outcome(trial)}  |  {view.budget}{best}  left {clock(view.remaining_s)}")
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

    @contextmanager
    def _heart_beating(self) -> Iterator[None]:
        """From a thread of its own, because the driver may wait: for an import, a full disk, a slow
        store.
        """
        stopped = threading.Event()

        def beat() -> None:
            while not stopped.wait(self._longest_silence_s / 10):
                if time.monotonic() - self._said_at_s > 0.9 * self._longest_silence_s:
                    self.say(self._now)

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()


class LiveProgress:
    """A table that is drawn again and again in one place; messages and finished trials scroll up
    above it.
    """

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4, auto_refresh=True)

    @contextmanager
    def preparing(self) -> Iterator[ProgressCallback]:
        """Draw a bar, which goes away at the end."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with ProgressBar(*columns, console=self._live.console, transient=True) as bar:
            task = bar.add_task(PREPARING, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def show(self, view: SweepView) -> None:
        """Draw the table; rich draws at most four times a second."""
        self._live.update(render(view))

    def epoch_ended(self, view: SweepView, trial: TrialRecord) -> None:
        """Do nothing: the table shows it."""

    def trial_ended(self, view: SweepView, trial: TrialRecord) -> None:
        """Print how the trial ended above the table, where it stays."""
        mark = "*" if view.best is not None and view.best.number == trial.number else " "
        duration = clock(trial.duration_s)
        line = f"{mark}trial {trial.number:>3} {_outcome(trial)}  {_epochs(trial)}  {duration}  {_main(trial)}"
        self._live.console.print(_one_line(line), highlight=False, soft_wrap=False)

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
    table = Table(title=_one_line(title), title_justify="left")
    for name in ("trial", "epoch", view.metric, "patches/s", "elapsed"):
        table.add_column(name, justify="right", no_wrap=True)
    for trial in view.running:
        table.add_row(
            str(trial.number),
            _epochs(trial),
            _latest(trial, view.metric),
            _patches_per_s(trial),
            clock((view.now_ms - trial.starts[-1].at_ms) / 1000 if trial.starts else None),
        )
    shown = (TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED, TrialState.PAUSED)
    counts = "  ".join(f"{state.value} {view.counts[state]}" for state in shown if view.counts.get(state))
    lines = [f"{counts or 'no trial has ended yet'}  |  {view.budget}"]
    if view.best is not None:
        lines.insert(0, f"best {_value(view.best)} (trial {view.best.number})  {_main(view.best)}")
    if view.engine_share is not None and view.engine_share.is_large:
        lines += str(view.engine_share).split(": ")
    left = f", about {clock(view.remaining_s)} left; Ctrl-C stops safely" if view.running else ""
    lines.append(f"elapsed {clock(view.elapsed_s)}{left}")
    return Group(table, *(_one_line(line) for line in lines))


def _one_line(line: str) -> Text:
    """Cut off, where the terminal is too narrow, instead of broken."""
    return Text(line, no_wrap=True, overflow="ellipsis")


def _epochs(trial: TrialRecord) -> str:
    return f"{trial.n_epochs}/{trial.proposed.horizon_epochs}"


def short_point(point: Point) -> str:
    """The first values of a point, as many as a line holds."""
    shown = [f"{name}={_short(value)}" for name, value in list(point.items())[:_MAIN_HYPERPARAMETERS]]
    return " ".join(shown) + (" ..." if len(point) > _MAIN_HYPERPARAMETERS else "")


def clock(duration_s: float | None) -> str:
    """Write seconds as 0:07, 12:30 or 1:02:03, and `-` where there are none.

    >>> clock(7.2), clock(750), clock(3723), clock(None)
    ('0:07', '12:30', '1:02:03', '-')
    """
    if duration_s is None:
        return "-"
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _main(trial: TrialRecord) -> str:
    """The searched hyperparameters, as many as a line holds."""
    return short_point(trial.proposed.point or trial.hyperparameters)


def _outcome(trial: TrialRecord) -> str:
    result = trial.result
    value = "" if result is None or result.value is None else f" {result.value:.4g}"
    reason = "" if result is None or not result.reason else f": {result.reason}"
    return f"{trial.state.value}{value}{reason}"


def _latest(trial: TrialRecord, metric: str) -> str:
    score = trial.reports[-1].report.metrics.get(metric) if trial.reports else None
    return "-" if score is None else f"{score:.4g}"


def _patches_per_s(trial: TrialRecord) -> str:
    if not trial.reports or trial.reports[-1].report.duration_s <= 0 or not trial.reports[-1].report.n_patches:
        return "-"
    report = trial.reports[-1].report
    return f"{report.n_patches / report.duration_s:,.0f}"


def _value(trial: TrialRecord) -> str:
    return "-" if trial.result is None or trial.result.value is None else f"{trial.result.value:.4g}"


def _short(value: bool | int | float | str) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _trained(trials: Mapping[int, TrialRecord], numbers: Iterable[int]) -> Iterator[TrialRecord]:
    """Those that have trained, one after the other: the first and last few of thousands are soon
    found.
    """
    for number in numbers:
        trial = trials[number]
        if trial.state is not TrialState.RUNNING and trial.reports:
            yield trial


def _seconds(duration_s: float) -> str:
    return f"{duration_s:.0f} s" if duration_s >= 10 else f"{duration_s:.2g} s"
