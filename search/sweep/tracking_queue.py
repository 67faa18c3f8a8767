"""Keeps a tracker's record, such as MLflow's, in step with the ledger, from a thread of its own.

The ledger is the truth; what a tracker keeps is a projection of it. After a crash everything that
the ledger does not mark as tracked is told again, with the same numbers and the same times, so
every method of a tracker is idempotent: it looks its record up by (sweep_id, number) before it
makes one.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from core.crash_points import crash_point
from core.errors import WhosehandError
from search.ledger.events import AttemptStarted, EpochReported, SegmentEnded, SweepClosed, SweepCreated
from search.ledger.state import SweepState, TrialRecord
from search.sweep.engine_thread import SerialCalls, SerialExecutor

_QUIET_S = 10.0
_MAX_DOUBLINGS = 5


class Tracker(Protocol):
    """Keeps the record of a sweep somewhere else: is given the ledger's events, with what they
    belong to.

    Called from one thread of its own, in the ledger's order, after workers got their answers: a
    slow tracker delays nobody. A `WhosehandError` from `start_sweep` ends the sweep before any
    trial starts; from the other methods it becomes a warning, and what was not kept is told again
    at the end of the launch and at the next one. A trial's record never changes, and may be kept; a
    sweep's state grows, and may be read only during the call.
    """

    def start_sweep(self, event: SweepCreated, state: SweepState) -> None:
        """Make the sweep's record, or find it and mark it running again; told at each launch."""
        ...

    def start_attempt(self, event: AttemptStarted, trial: TrialRecord) -> None:
        """Make the trial's record, or find it and mark it running again."""
        ...

    def end_epochs(self, events: Sequence[EpochReported], trial: TrialRecord) -> None:
        """Add the metrics of one epoch or several of one attempt, at the events' times;
        `trial.waits_after` says whether the trial now waits.
        """
        ...

    def end_trial(self, event: SegmentEnded, trial: TrialRecord) -> None:
        """Add scores, files and model of a trial to which nothing more will happen, and close its
        record.

        When this returns, the trial is tracked.
        """
        ...

    def annotate(self, trial: TrialRecord) -> None:
        """Set the user's note and tags in a trial's record; nothing where it has none yet."""
        ...

    def end_sweep(self, event: SweepClosed, state: SweepState) -> None:
        """Bring the sweep's own record up to date and close it.

        Trials that are PAUSED or still RUNNING (they go on at the next launch) have open records.
        """
        ...


class NoTracker:
    """Keeps nothing."""

    def start_sweep(self, event: SweepCreated, state: SweepState) -> None:
        """Do nothing."""

    def start_attempt(self, event: AttemptStarted, trial: TrialRecord) -> None:
        """Do nothing."""

    def end_epochs(self, events: Sequence[EpochReported], trial: TrialRecord) -> None:
        """Do nothing."""

    def end_trial(self, event: SegmentEnded, trial: TrialRecord) -> None:
        """Do nothing."""

    def annotate(self, trial: TrialRecord) -> None:
        """Do nothing."""

    def end_sweep(self, event: SweepClosed, state: SweepState) -> None:
        """Do nothing."""


class TrackingQueue:
    """Tells a tracker all that it must know, in order, and knows what it did not take down.

    When the tracker fails on a trial, that trial counts as untracked until all of it is told again;
    for the next seconds nothing is tried, so that a store that is down does not pile up timeouts.
    The ledger is the buffer: what was missed is told from it, by `replay`, as soon as the tracker
    answers again. Epochs of an attempt that come faster than the tracker takes them are told
    together.
    """

    def __init__(
        self,
        tracker: Tracker,
        warn: Callable[[str], None],
        on_tracked: Callable[[], None],
        quiet_s: float = _QUIET_S,
        open_thread: Callable[[str], SerialCalls] = SerialExecutor,
    ) -> None:
        """Open the record.

        Args:
            tracker: not touched by anyone else from now on.
            warn: takes what the user should know; called from `take_tracked`'s thread.
            on_tracked: called, from the tracker's thread, when a trial was tracked.
            quiet_s: for so long nothing is tried after a failure; a trial that fails again and
                again waits longer.
            open_thread: gives what calls run in, by its name.
        """
        self._tracker = tracker
        self._warn = warn
        self._on_tracked = on_tracked
        self._serial_executor = open_thread("tracker")
        self._pending: deque[Future[_Told]] = deque()
        self._incomplete: set[int] = set()
        self._quiet_s = quiet_s
        self._quiet_until_s = 0.0
        self._is_away = False
        self._has_begun = False
        self._overdue_at_s: dict[int, float] = {}
        self._n_failures: Counter[int] = Counter()
        self._epochs: dict[int, _Epochs] = {}

    def start_sweep(self, event: SweepCreated, state: SweepState) -> None:
        """Tell of the launch and wait for it, so that a store that cannot be used ends the sweep
        before it begins.
        """
        self._serial_executor.submit(lambda: self._tracker.start_sweep(event, state)).result()
        self._has_begun = True

    def start_attempt(self, event: AttemptStarted, trial: TrialRecord) -> None:
        """Tell of a started attempt of `trial`."""
        self._submit(trial.number, lambda: self._tracker.start_attempt(event, trial))

    def end_epoch(self, event: EpochReported, trial: TrialRecord) -> None:
        """Tell of an epoch of `trial`."""
        waiting = self._epochs.get(trial.number)
        if waiting is None or not waiting.add(event, trial):
            epochs = _Epochs(event, trial)
            self._submit(trial.number, lambda: self._tracker.end_epochs(*epochs.take()))
            self._epochs[trial.number] = epochs

    def end_trial(self, event: SegmentEnded, trial: TrialRecord) -> None:
        """Tell that a trial is over; `take_tracked` names it when the tracker has all of it."""
        self._submit(trial.number, lambda: self._tracker.end_trial(event, trial), is_last=True)

    def annotate(self, trial: TrialRecord) -> None:
        """Tell a trial's note and tags; `start_attempt` and `end_trial` tell them, too."""
        self._submit(trial.number, lambda: self._tracker.annotate(trial))

    def replay(self, trial: TrialRecord) -> None:
        """Tell all of a trial again, with the times of then."""
        number = trial.number
        self._overdue_at_s.pop(number, None)
        self._serial_executor.submit(lambda: self._incomplete.discard(number))
        for start in trial.starts:
            self.start_attempt(start, trial)
        for reported in trial.reports:
            self.end_epoch(reported, trial)
        if trial.state.is_final and trial.ended is not None:
            self.end_trial(trial.ended, trial)

    def end_sweep(self, event: SweepClosed, state: SweepState) -> None:
        """Tell of the launch's end, if its beginning could be told."""
        if not self._has_begun:
            return

        def end() -> _Told:
            try:
                self._tracker.end_sweep(event, state)
            except WhosehandError as error:
                return _Told(warning=f"The end of the sweep could not be tracked: {error}")
            return _Told()

        self._pending.append(self._serial_executor.submit(end))

    def take_tracked(self) -> list[int]:
        """Return the trials that were tracked since the last call; hand over warnings, raise what
        was no warning.
        """
        tracked: list[int] = []
        while self._pending and self._pending[0].done():
            told = self._pending.popleft().result()
            if told.warning:
                self._warn(told.warning)
            if told.missed is not None:
                self._note_missed(told.missed, told.has_failed)
            if told.tracked is not None:
                tracked.append(told.tracked)
                self._overdue_at_s.pop(told.tracked, None)
        return tracked

    def take_overdue(self) -> list[int]:
        """Return the trials that the tracker missed something of and that should be told again
        now.
        """
        now_s = time.monotonic()
        overdue = sorted(number for number, at_s in self._overdue_at_s.items() if now_s >= at_s)
        for number in overdue:
            del self._overdue_at_s[number]
        return overdue

    def try_again_at_once(self) -> None:
        """Forget that the tracker failed."""
        self._quiet_until_s = 0.0

    def drain(self, gives_up: Callable[[], bool]) -> None:
        """Wait until all is told, or `gives_up` says so."""
        while not gives_up() and self._pending and not self._pending[-1].done():
            time.sleep(0.01)

    def close(self) -> None:
        """Let the tracker's thread end when it is through with what it has."""
        self._serial_executor.close()

    def _submit(self, number: int, call: Callable[[], None], *, is_last: bool = False) -> None:
        self._epochs.pop(number, None)  # what comes later is told after this

        def tell() -> _Told:
            if number in self._incomplete:
                return _Told(missed=number)
            if time.monotonic() < self._quiet_until_s:
                self._incomplete.add(number)
                return _Told(missed=number)
            try:
                call()
            except WhosehandError as error:
                self._incomplete.add(number)
                self._quiet_until_s = time.monotonic() + self._quiet_s
                return _Told(warning=self._note_away(number, error), missed=number, has_failed=True)
            if is_last:
                crash_point("trial-tracked")
            return _Told(tracked=number if is_last else None, warning=self._note_back())

        told = self._serial_executor.submit(tell)
        self._pending.append(told)
        if is_last:
            told.add_done_callback(lambda _: self._on_tracked())

    def _note_away(self, number: int, error: WhosehandError) -> str:
        """What to say when the tracker fails; nothing while it has not answered since."""
        was_away, self._is_away = self._is_away, True
        if was_away:
            return ""
        return (
            f"Trial {number} could not be tracked: {error} The sweep goes on meanwhile; what the store misses is told "
            "as soon as it answers again."
        )

    def _note_back(self) -> str:
        was_away, self._is_away = self._is_away, False
        return "The tracking store answers again; what it missed is told now." if was_away else ""

    def _note_missed(self, number: int, has_failed: bool) -> None:
        now_s = time.monotonic()
        if has_failed:
            self._overdue_at_s[number] = now_s + self._quiet_s * 2 ** min(self._n_failures[number], _MAX_DOUBLINGS)
            self._n_failures[number] += 1
        else:
            self._overdue_at_s.setdefault(number, now_s + self._quiet_s)


class _Epochs:
    """Epochs of one trial that wait to be told together."""

    def __init__(self, event: EpochReported, trial: TrialRecord) -> None:
        self._events, self._trial, self._is_open = [event], trial, True
        self._lock = threading.Lock()

    def add(self, event: EpochReported, trial: TrialRecord) -> bool:
        """Wait with the others; False if they are being told already."""
        with self._lock:
            if self._is_open:
                self._events.append(event)
                self._trial = trial
            return self._is_open

    def take(self) -> tuple[Sequence[EpochReported], TrialRecord]:
        """All of them, and the trial as it was with the last one; nothing can be added any more."""
        with self._lock:
            self._is_open = False
            return self._events, self._trial


@dataclass(frozen=True)
class _Told:
    """What came of telling: a trial that is tracked now, a warning, a trial of which something was
    missed.
    """

    tracked: int | None = None
    warning: str = ""
    missed: int | None = None
    has_failed: bool = False
