"""Engines that follow a script, a tracker that keeps what it is told, and sweeps that cost
milliseconds.

`python -m tests.search.cheap_sweep FOLDER N_TRIALS N_EPOCHS SECONDS_PER_EPOCH N_WORKERS` launches
one in a process of its own, for tests that kill the driver.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import TrackingError
from core.space import Point
from search.engines.base import Engine, Proposal, Start
from search.executors.local.executor import LocalExecutor, modules_to_preload
from search.experiment.settings import BudgetSettings
from search.ledger.events import (
    AttemptStarted,
    EngineEvent,
    EpochReported,
    LedgerEvent,
    SegmentEnded,
    SweepClosed,
    SweepCreated,
)
from search.ledger.ledger import Ledger, open_ledger
from search.ledger.state import SweepState, TrialRecord
from search.ledger.trial import EpochReport, PruningDecision, TrialResult
from search.objectives.cheap import METRIC, CheapSettings
from search.sweep.loop import run_sweep
from search.sweep.plan import SweepOutcome, SweepPlan
from search.sweep.tracking_queue import Tracker

CHEAP = "search.objectives.cheap:train_cheaply"


def propose_by_number(number: int) -> Proposal:
    """Spread points over [0, 1) as a function of the number alone."""
    return Start({"x": (0.5 + number * 0.618) % 1.0})


def always_go(number: int, report: EpochReport) -> PruningDecision:
    return PruningDecision.GO


@dataclass
class ScriptedEngine:
    """Answers what its functions say, and keeps what it is told."""

    on_ask: Callable[[int], Proposal] = propose_by_number
    on_report: Callable[[int, EpochReport], PruningDecision] = always_go
    history: list[EngineEvent] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    reported: list[tuple[int, int]] = field(default_factory=list)
    told: list[tuple[int, TrialResult]] = field(default_factory=list)

    def restore(self, history: Sequence[EngineEvent]) -> None:
        self.history.extend(history)

    def ask(self, number: int) -> Proposal:
        self.asked.append(number)
        return self.on_ask(number)

    def enqueue(self, number: int, point: Point) -> Start:
        self.asked.append(number)
        return Start(point)

    def report(self, number: int, report: EpochReport) -> PruningDecision:
        self.reported.append((number, report.epoch))
        return self.on_report(number, report)

    def tell(self, number: int, result: TrialResult) -> None:
        self.told.append((number, result))


@dataclass
class KeepingTracker:
    """Keeps every event, and the trials as they were told last; fails while `is_down`."""

    events: list[LedgerEvent] = field(default_factory=list)
    trials: dict[int, TrialRecord] = field(default_factory=dict)
    is_down: bool = False

    def start_sweep(self, event: SweepCreated, state: SweepState) -> None:
        self.events.append(event)

    def start_attempt(self, event: AttemptStarted, trial: TrialRecord) -> None:
        self._keep(event, trial)

    def end_epochs(self, events: Sequence[EpochReported], trial: TrialRecord) -> None:
        for event in events:
            self._keep(event, trial)

    def end_trial(self, event: SegmentEnded, trial: TrialRecord) -> None:
        self._keep(event, trial)

    def annotate(self, trial: TrialRecord) -> None:
        self.trials[trial.number] = trial

    def end_sweep(self, event: SweepClosed, state: SweepState) -> None:
        self.events.append(event)
        self.trials = dict(state.trials)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def _keep(self, event: LedgerEvent, trial: TrialRecord) -> None:
        if self.is_down:
            raise TrackingError("The store must be reachable, but it was told to be down.")
        self.events.append(event)
        self.trials[trial.number] = trial


@dataclass
class KeepingProgress:
    """Keeps what the user would read."""

    lines: list[str] = field(default_factory=list)

    @contextmanager
    def working(self, label: str, unit: str = "images") -> Iterator[Any]:
        yield lambda _done, _total: None

    def show(self, view: Any) -> None:
        pass

    def epoch_ended(self, view: Any, trial: Any) -> None:
        pass

    def trial_ended(self, view: Any, trial: Any) -> None:
        pass

    def say(self, text: str) -> None:
        self.lines.append(text)

    def __enter__(self) -> "KeepingProgress":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass
class CheapSweep:
    """A sweep in a temporary folder that can be launched again and again."""

    folder: Path
    n_workers: int = 1
    horizon_epochs: int = 3
    settings: CheapSettings = field(default_factory=CheapSettings)
    budget: BudgetSettings = field(default_factory=lambda: BudgetSettings(trials=3))
    config: Mapping[str, Any] = field(default_factory=lambda: {"name": "cheap", "seed": 7})
    metric: str = METRIC
    max_failures_in_a_row: int = 5
    min_free_bytes: int = 0
    silent_s: float | None = None
    progress: KeepingProgress = field(default_factory=KeepingProgress)

    def open(self) -> Ledger:
        return open_ledger(self.folder, name="cheap", config=self.config, version="0.1.0", git_commit="")

    def plan(self) -> SweepPlan:
        def complete(point: Point) -> Point:
            return {**point, "fixed": 1}

        return SweepPlan(
            objective=CHEAP,
            settings=self.settings,
            metric=self.metric,
            direction="minimize",
            horizon_epochs=self.horizon_epochs,
            seed=7,
            precision="float32",
            budget=self.budget,
            complete=complete,
            max_failures_in_a_row=self.max_failures_in_a_row,
            min_free_bytes=self.min_free_bytes,
        )

    def launch(self, engine: Engine | None = None, tracker: Tracker | None = None) -> SweepOutcome:
        executor = LocalExecutor(self.n_workers, 1, preload=modules_to_preload(CHEAP), silent_s=self.silent_s)
        with self.open() as ledger:
            return run_sweep(ledger, self.plan(), engine or ScriptedEngine(), executor, tracker, self.progress)


def main() -> None:
    folder, n_trials, n_epochs, seconds_per_epoch, n_workers = sys.argv[1:]
    sweep = CheapSweep(
        Path(folder),
        n_workers=int(n_workers),
        horizon_epochs=int(n_epochs),
        settings=CheapSettings(seconds_per_epoch=float(seconds_per_epoch)),
        budget=BudgetSettings(trials=int(n_trials)),
    )
    started_s = time.monotonic()
    try:
        outcome = sweep.launch()
    finally:
        print("\n".join(sweep.progress.lines), flush=True)
    print(outcome.status, round(time.monotonic() - started_s, 2), flush=True)


if __name__ == "__main__":
    main()
