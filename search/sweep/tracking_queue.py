"""Keeps an observer's record in step with the ledger, from a thread of its own.

What a sweep tells whoever keeps or shows its record, such as the MLflow tracker.

The ledger is the truth; an observer is a projection of it. After a crash everything that the ledger does not mark as
tracked is told again, with the same numbers and the same times, so every method must be idempotent: it looks its
record up by (sweep_id, number) before it makes one.
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from core.crash_points import crash_point
from core.errors import WhosehandError
from search.ledger.events import AttemptStarted, EpochReported
from search.ledger.state import TrialRecord
from search.ledger.trial import PruningDecision
from search.sweep.engine_thread import SerialExecutor
from search.sweep.observer import EpochEnded, SweepEnded, SweepObserver, SweepStarted, TrialEnded, TrialStarted

_QUIET_S = 10.0
_MAX_DOUBLINGS = 5


@dataclass(frozen=True)
class _Told:
    tracked: int | None = None
    warning: str = ""
    missed: int | None = None
    has_failed: bool = False


class TrackingQueue:
    """Tells an observer all that it must know, in order, and knows what it did not take down.

    When the observer fails on a trial, that trial counts as untracked until all of it is told again; for the next
    seconds nothing is tried, so that a store that is down does not pile up timeouts. The ledger is the buffer: what was
    missed is told from it, by `replay`, as soon as the observer answers again.
    """

    def __init__(
        self,
        observer: SweepObserver,
        warn: Callable[[str], None],
        on_tracked: Callable[[], None],
        quiet_s: float = _QUIET_S,
    ) -> None:
        """Open the record.

        Args:
            observer: not touched by anyone else from now on.
            warn: takes what the user should know; called from `take_tracked`'s thread.
            on_tracked: called, from the observer's thread, when a trial was tracked.
            quiet_s: for so long nothing is tried after a failure; a trial that fails again and again waits longer.
        """
        self._observer = observer
        self._warn = warn
        self._on_tracked = on_tracked
        self._serial_executor = SerialExecutor("observer")
        self._pending: deque[Future[_Told]] = deque()
        self._incomplete: set[int] = set()
        self._quiet_s = quiet_s
        self._quiet_until_s = 0.0
        self._is_away = False
        self._overdue_at_s: dict[int, float] = {}
        self._n_failures: Counter[int] = Counter()

    def start_sweep(self, event: SweepStarted) -> None:
        """Tell of the launch and wait for it, so that a store that cannot be used ends the sweep before it begins."""
        self._serial_executor.submit(lambda: self._observer.start_sweep(event)).result()

    def start_attempt(self, trial: TrialRecord, start: AttemptStarted) -> None:
        """Tell of a started attempt of `trial`."""
        event = _trial_started(trial, start)
        self._submit(trial.number, lambda: self._observer.trial_started(event))

    def end_epoch(self, trial: TrialRecord, reported: EpochReported) -> None:
        """Tell of an epoch of `trial`."""
        is_pause = _is_pause(trial, reported)
        event = EpochEnded(reported.number, reported.attempt, reported.report, is_pause, reported.at_ms)
        self._submit(reported.number, lambda: self._observer.epoch_ended(event))

    def end_trial(self, trial: TrialRecord) -> None:
        """Tell that a trial is over; `take_tracked` names it when the observer has all of it."""
        event = _trial_ended(trial)
        self._submit(trial.number, lambda: self._observer.trial_ended(event), is_last=True)

    def replay(self, trial: TrialRecord) -> None:
        """Tell all of a trial again, with the times of then."""
        number = trial.number
        self._overdue_at_s.pop(number, None)
        self._serial_executor.submit(lambda: self._incomplete.discard(number))
        for start in trial.starts:
            self.start_attempt(trial, start)
        for reported in trial.reports:
            self.end_epoch(trial, reported)
        if trial.state.is_final:
            self.end_trial(trial)

    def end_sweep(self, event: SweepEnded) -> None:
        """Tell of the launch's end."""

        def end() -> _Told:
            try:
                self._observer.end_sweep(event)
            except WhosehandError as error:
                return _Told(warning=f"The end of the sweep could not be tracked: {error}")
            return _Told()

        self._pending.append(self._serial_executor.submit(end))

    def take_tracked(self) -> list[int]:
        """Return the trials that were tracked since the last call; hand over warnings, raise what was no warning."""
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
        """Return the trials that the observer missed something of and that should be told again now."""
        now_s = time.monotonic()
        overdue = sorted(number for number, at_s in self._overdue_at_s.items() if now_s >= at_s)
        for number in overdue:
            del self._overdue_at_s[number]
        return overdue

    def try_again_at_once(self) -> None:
        """Forget that the observer failed."""
        self._quiet_until_s = 0.0

    def drain(self, gives_up: Callable[[], bool]) -> None:
        """Wait until all is told, or `gives_up` says so."""
        while not gives_up() and self._pending and not self._pending[-1].done():
            time.sleep(0.01)

    def close(self) -> None:
        """Let the observer's thread end when it is through with what it has."""
        self._serial_executor.close()

    def _submit(self, number: int, call: Callable[[], None], *, is_last: bool = False) -> None:
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
        """What to say when the observer fails; nothing while it has not answered since."""
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


def _is_pause(trial: TrialRecord, reported: EpochReported) -> bool:
    """Whether the trial waits after this epoch: by the engine's verdict, or at the end of a part before the horizon."""
    if reported.decision is not PruningDecision.GO:
        return reported.decision is PruningDecision.PAUSE
    part_ends = next(start.until_epoch for start in trial.starts if start.attempt == reported.attempt)
    return reported.report.epoch >= part_ends and part_ends < trial.proposed.horizon_epochs


def _trial_started(trial: TrialRecord, start: AttemptStarted) -> TrialStarted:
    return TrialStarted(
        number=trial.number,
        attempt=start.attempt,
        hyperparameters=trial.proposed.hyperparameters,
        seed=trial.proposed.seed,
        start_epoch=start.start_epoch,
        until_epoch=start.until_epoch,
        horizon_epochs=trial.proposed.horizon_epochs,
        threads=start.threads,
        precision=start.precision,
        first_started_ms=_first_started_ms(trial),
        at_ms=start.at_ms,
    )


def _trial_ended(trial: TrialRecord) -> TrialEnded:
    if trial.ended is None:
        raise ValueError(f"Only an ended trial can be told as ended, but got {trial}.")
    return TrialEnded(
        number=trial.number,
        result=trial.ended.result,
        summary=trial.summary,
        first_started_ms=_first_started_ms(trial),
        at_ms=trial.ended.at_ms,
    )


def _first_started_ms(trial: TrialRecord) -> int:
    return trial.starts[0].at_ms if trial.starts else trial.proposed.at_ms
