"""A sweep whose workers are simulated: the real loop, ledger, engine and budgets under a virtual
clock.

No process is started, nothing is trained and nobody sleeps, so that an evening's sweep takes
seconds, with one worker or with a thousand. What a trial's epochs are is said by a function of the
caller's. Engines are compared so (`python -m benchmarks.race`), and it is found out how many
workers one driver serves (`python -m benchmarks.driver_scale`).
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import WhosehandError
from search.engines.base import Engine
from search.executors.base import ExecutorError, Message, WorkerEnded, WorkerPlace, WorkerReported
from search.ledger.ledger import open_ledger
from search.ledger.state import SweepState
from search.ledger.trial import (
    CHECKPOINT_FOLDER,
    EpochReport,
    FileReference,
    PruningDecision,
    TrialResult,
    TrialSpec,
    TrialState,
    kind_of,
)
from search.sweep.loop import run_sweep
from search.sweep.plan import SweepOutcome, SweepPlan
from search.testing.virtual_time import VirtualClock, VirtualThread

_CHECKPOINT = b"stands for a checkpoint"
_CHECKPOINT_SHA256 = hashlib.sha256(_CHECKPOINT).hexdigest()
_IN_MEMORY = Path("/dev/shm")  # a ledger brings every line to the disk, which no virtual time should wait for
_STATES = {PruningDecision.PAUSE: TrialState.PAUSED, PruningDecision.STOP: TrialState.PRUNED}


@dataclass(frozen=True)
class SimulatedEpoch:
    """What an epoch would have given.

    Attributes:
        metrics: scores by name; the objective's must be among them.
        duration_s: of its training and validation, virtual.
        n_patches: trained in it.
    """

    metrics: Mapping[str, float]
    duration_s: float
    n_patches: int


CurveSource = Callable[[TrialSpec], Sequence[SimulatedEpoch]]
"""Says all epochs of a trial, from its first one, by hyperparameters, seed and horizon; always the
same for the same trial. Fewer than the horizon stand for early stopping. A `WhosehandError` makes
the trial fail.
"""


@dataclass(frozen=True)
class SimulatedWorkers:
    """What trains in a simulation.

    Attributes:
        source: of the trials' epochs.
        n_workers: how many train at once.
        start_s: virtual seconds from a worker's start to its first epoch's.
        end_s: virtual seconds from a trial's last epoch to its result: scores, pictures, the model.
    """

    source: CurveSource
    n_workers: int = 1
    start_s: float = 0.0
    end_s: float = 0.0


@dataclass
class DriverLoad:
    """What a driver had to do, and how long workers waited for it.

    Attributes:
        waits_s: virtual seconds from each report of a worker to the answer.
        queue_lengths: messages that were there at each poll that gave any.
        driver_s: real seconds of the driver's thread between its polls, the engine's not among
            them.
    """

    waits_s: list[float] = field(default_factory=list)
    queue_lengths: list[int] = field(default_factory=list)
    driver_s: float = 0.0

    @property
    def n_messages(self) -> int:
        """Reports and results."""
        return sum(self.queue_lengths)


@dataclass(frozen=True)
class SimulatedSweep:
    """How a simulated sweep went.

    Attributes:
        outcome: of the loop.
        state: of its ledger, whose times are virtual.
        load: of its driver.
    """

    outcome: SweepOutcome
    state: SweepState
    load: DriverLoad

    @property
    def began_ms(self) -> int:
        """Virtual Unix time of the launch."""
        return self.state.launches[0].at_ms


def simulate_sweep(
    plan: SweepPlan,
    engine: Engine,
    workers: SimulatedWorkers,
    folder: Path | None = None,
    *,
    counts_engine: bool = True,
    counts_driver: bool = False,
) -> SimulatedSweep:
    """Run a sweep from its launch to its end, tracked nowhere.

    With neither `counts_engine` nor `counts_driver` the same plan, engine and workers give the same
    ledger, but for the seconds that asks took, which it notes in any case.

    Args:
        plan: as for a real one; its objective and settings are not looked at.
        engine: fresh.
        workers: simulated.
        folder: of ledger and files; by default one in memory, which is gone afterwards.
        counts_engine: whether the engine's real seconds pass on the virtual clock, in a thread
            beside the loop's as in a real sweep.
        counts_driver: whether those of loop and ledger do, too.

    Raises:
        KeyboardInterrupt: if the user stopped it; a part of a simulation says nothing.
    """
    clock = VirtualClock()
    executor = SimulatedExecutor(clock, workers, plan, counts_driver)
    with _folder_in_memory() if folder is None else nullcontext(folder) as place:
        config = {"simulated": True}
        with open_ledger(
            place, name="simulated", config=config, version="", git_commit="", clock=lambda: clock.now_s
        ) as ledger:
            executor.start_watch()
            outcome = run_sweep(
                ledger,
                plan,
                engine,
                executor,
                # The tracker's does nothing here and takes no time: the loop waits for it asleep.
                open_thread=lambda name: VirtualThread(clock, takes_time=counts_engine and name == "engine"),
            )
            if outcome.status == "interrupted":
                raise KeyboardInterrupt
            return SimulatedSweep(outcome, ledger.state, executor.load)


class SimulatedExecutor:
    """Says what workers would say, when they would say it. See `search.executors.base.Executor`.

    Attributes:
        load: of the driver that it serves.
    """

    def __init__(self, clock: VirtualClock, workers: SimulatedWorkers, plan: SweepPlan, counts_driver: bool) -> None:
        self.load = DriverLoad()
        self._clock = clock
        self._workers = workers
        self._metric, self._direction = plan.metric, plan.direction
        self._counts_driver = counts_driver
        self._busy: dict[int, _Worker] = {}
        self._said: list[Message] = []
        self._is_woken = False
        self._driver_at_s = self._aside_before_s = 0.0

    @property
    def n_workers(self) -> int:
        """How many trials may run at once."""
        return self._workers.n_workers

    @property
    def threads(self) -> int:
        """One, of which nothing is made."""
        return 1

    def start_watch(self) -> None:
        """Count the driver's real seconds from here on."""
        self._driver_at_s, self._aside_before_s = time.perf_counter(), self._clock.aside_s

    def start(self, spec: TrialSpec) -> WorkerPlace:
        """Start a simulated worker; its process is the trial's number.

        Raises:
            ExecutorError: if none is free.
        """
        if spec.number in self._busy or len(self._busy) >= self.n_workers:
            raise ExecutorError(f"A free worker is needed, but got trial {spec.number} with {len(self._busy)} busy.")
        worker = self._busy[spec.number] = _Worker(spec, spec.start_epoch)
        with self._clock.aside():
            try:
                worker.epochs = self._workers.source(spec)
            except WhosehandError as error:
                reason = f"{type(error).__name__}: {error}"
                worker.failure = TrialResult(TrialState.FAILED, reason=reason, failure=kind_of(error))
        self._go_on(worker, self._clock.now_s + self._workers.start_s)
        return WorkerPlace("simulated", self.threads, spec.number)

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """Set the clock forward to the next message, to a `wake`, or by `timeout_s`; return what
        was said.
        """
        self._count_driver()
        until_s = self._clock.now_s + timeout_s
        while not (self._said or self._is_woken):
            next_s = min(self._clock.next_at_s, until_s)
            self._clock.advance_to(next_s)
            if next_s >= until_s:
                break
        self._is_woken = False
        said, self._said = self._said, []
        if said:
            self.load.queue_lengths.append(len(said))
        self.start_watch()
        return said

    def answer(self, number: int, decision: PruningDecision) -> None:
        """Answer the report of trial `number`; without effect if it was killed."""
        worker = self._busy.get(number)
        if worker is None:
            return
        now_s = self._now_s()
        self.load.waits_s.append(now_s - worker.said_at_s)
        worker.decision = decision
        self._go_on(worker, now_s)

    def kill(self, number: int) -> None:
        """End the worker of trial `number`; no message follows."""
        self._busy.pop(number, None)
        self._said = [message for message in self._said if message.number != number]

    def wake(self) -> None:
        """Make the running or the next `poll` return."""
        self._is_woken = True

    def close(self) -> None:
        """End all workers."""
        for number in list(self._busy):
            self.kill(number)

    def _now_s(self) -> float:
        """Virtual time, with what the driver has worked since its poll if that counts."""
        if self._counts_driver:
            self._count_driver()
            self.start_watch()
        return self._clock.now_s

    def _count_driver(self) -> None:
        driver_s = time.perf_counter() - self._driver_at_s - (self._clock.aside_s - self._aside_before_s)
        self.load.driver_s += driver_s
        if self._counts_driver:
            self._clock.advance_to(self._clock.now_s + driver_s)

    def _go_on(self, worker: "_Worker", from_s: float) -> None:
        """Let a worker do its next epoch, or end."""
        if worker.has_another_epoch:
            self._clock.call_at(from_s + worker.epochs[worker.n_epochs].duration_s, lambda: self._report(worker))
        else:
            is_whole = worker.decision is PruningDecision.GO and worker.failure is None and worker.is_through
            self._clock.call_at(from_s + is_whole * self._workers.end_s, lambda: self._end(worker))

    def _report(self, worker: "_Worker") -> None:
        spec, epoch = worker.spec, worker.epochs[worker.n_epochs]
        if self._busy.get(spec.number) is not worker:
            return
        worker.n_epochs += 1
        worker.said_at_s = self._clock.now_s
        path = spec.work_dir / CHECKPOINT_FOLDER / "simulated"
        checkpoint = FileReference(path, _CHECKPOINT_SHA256, len(_CHECKPOINT))
        report = EpochReport(worker.n_epochs, epoch.metrics, epoch.n_patches, epoch.duration_s, checkpoint)
        self._said.append(WorkerReported(spec.number, spec.attempt, report))

    def _end(self, worker: "_Worker") -> None:
        spec = worker.spec
        if self._busy.get(spec.number) is not worker:
            return
        del self._busy[spec.number]
        self._said.append(WorkerEnded(spec.number, spec.attempt, worker.failure or self._result(worker)))

    def _result(self, worker: "_Worker") -> TrialResult:
        done = worker.epochs[: worker.n_epochs]
        last = dict(done[-1].metrics) if done else {}
        if state := _STATES.get(worker.decision, None if worker.is_through else TrialState.PAUSED):
            if state is TrialState.PAUSED:
                _write_checkpoint(worker.spec)
            return TrialResult(state, metrics=last)
        scores = [epoch.metrics[self._metric] for epoch in done]
        best = min(scores) if self._direction == "minimize" else max(scores)
        return TrialResult(TrialState.COMPLETED, value=best, metrics=last)


@dataclass
class _Worker:
    """A worker on its trial."""

    spec: TrialSpec
    n_epochs: int
    epochs: Sequence[SimulatedEpoch] = ()
    failure: TrialResult | None = None
    decision: PruningDecision = PruningDecision.GO
    said_at_s: float = 0.0

    @property
    def is_through(self) -> bool:
        """Whether the trial is at its own end, not at that of a rung."""
        return self.n_epochs >= min(len(self.epochs), self.spec.horizon_epochs)

    @property
    def has_another_epoch(self) -> bool:
        """Whether it trains on."""
        is_at_end = self.is_through or self.n_epochs >= self.spec.until_epoch
        return self.decision is PruningDecision.GO and not is_at_end


def _write_checkpoint(spec: TrialSpec) -> None:
    """The loop lets a trial go on from a file that it finds intact."""
    folder = spec.work_dir / CHECKPOINT_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "simulated").write_bytes(_CHECKPOINT)


@contextmanager
def _folder_in_memory() -> Iterator[Path]:
    parent = _IN_MEMORY if _IN_MEMORY.is_dir() and os.access(_IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="simulated-", dir=parent) as folder:
        yield Path(folder)
