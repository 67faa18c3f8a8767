"""Where a sweep stands: its ledger's events, folded."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from core.errors import LedgerError
from core.space import Point
from search.ledger.events import (
    AttemptInterrupted,
    AttemptLost,
    AttemptStarted,
    BudgetChanged,
    CommandRefused,
    EngineEvent,
    EpochReported,
    Launched,
    LedgerEvent,
    PointEnqueued,
    SegmentEnded,
    Slept,
    StopRequested,
    SweepClosed,
    SweepCreated,
    TrialAnnotated,
    TrialContinued,
    TrialProposed,
    TrialTracked,
)
from search.ledger.trial import FileReference, PruningDecision, TrialResult, TrialState


@dataclass(frozen=True)
class TrialRecord:
    """A trial over all its attempts.

    Attributes:
        proposed: point, hyperparameters, seed and horizon.
        until_epoch: where the present segment ends; `None` for the horizon.
        state: RUNNING also while no worker is on it (lost, interrupted).
        starts: of all attempts, in order.
        reports: one an epoch, in order.
        n_lost: workers that died on it, while their nodes lived.
        nodes_lost_at: epochs done when a node was lost under it, one a node.
        ended: the end of the latest segment; `None` while RUNNING.
        is_tracked: the tracker has recorded all of it.
        segment_first_attempt: with which the present segment began.
        ask_s: seconds for which the engine was asked for the trial and its further segments.
        has_worker: a worker was started on it and is not known to have ended; after a killed launch
            it has none.
        is_stop_requested: the user asked that it should stop.
        note: the user's; `None` if there never was one, empty if it was taken away.
        set_tags: all that the user ever set; one with an empty text was taken away.
        worker_s: seconds in which a worker was on it, of all attempts that have ended; one that a
            killed launch left behind counts up to its last report.
        end_s: seconds after the last epochs of its segments, by what they went into.
    """

    proposed: TrialProposed
    until_epoch: int | None
    state: TrialState = TrialState.RUNNING
    starts: tuple[AttemptStarted, ...] = ()
    reports: tuple[EpochReported, ...] = ()
    n_lost: int = 0
    nodes_lost_at: tuple[int, ...] = ()
    ended: SegmentEnded | None = None
    is_tracked: bool = False
    segment_first_attempt: int = 1
    ask_s: float = 0.0
    has_worker: bool = False
    is_stop_requested: bool = False
    note: str | None = None
    set_tags: Mapping[str, str] = field(default_factory=dict)
    worker_s: float = 0.0
    end_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_annotated(self) -> bool:
        """Whether the user ever set a note or a tag."""
        return self.note is not None or bool(self.set_tags)

    @property
    def tags(self) -> Mapping[str, str]:
        """The user's."""
        return {key: text for key, text in self.set_tags.items() if text}

    @property
    def number(self) -> int:
        """The trial's number in the sweep."""
        return self.proposed.number

    @property
    def n_attempts(self) -> int:
        """Starts so far."""
        return len(self.starts)

    @property
    def n_epochs(self) -> int:
        """Epochs done, of all attempts together."""
        return self.reports[-1].report.epoch if self.reports else 0

    @property
    def n_patches(self) -> int:
        """Patches trained."""
        return sum(event.report.n_patches for event in self.reports)

    @property
    def duration_s(self) -> float:
        """Seconds of all epochs together."""
        return sum(event.report.duration_s for event in self.reports)

    @property
    def seconds(self) -> Mapping[str, float]:
        """By what they went into, of all epochs and ends together; see `EpochReport.seconds`."""
        total = Counter(self.end_s)
        for event in self.reports:
            total.update(event.report.seconds)
        return total

    @property
    def segment_until_epoch(self) -> int:
        """Where the present segment ends at the latest."""
        return self.proposed.horizon_epochs if self.until_epoch is None else self.until_epoch

    @property
    def checkpoints(self) -> tuple[tuple[int, FileReference], ...]:
        """(epochs done, checkpoint), the latest first."""
        found = ((event.report.epoch, event.report.checkpoint) for event in reversed(self.reports))
        return tuple((epoch, checkpoint) for epoch, checkpoint in found if checkpoint is not None)

    @property
    def pending_decision(self) -> PruningDecision:
        """PAUSE or STOP if this segment's end is decided and still to come, else GO.

        It is decided by the answer to its last report, or by the user.
        """
        if self.is_stop_requested and self.ended is None:
            return PruningDecision.STOP
        if self.ended is not None or not self.reports or self.reports[-1].attempt < self.segment_first_attempt:
            return PruningDecision.GO
        return self.reports[-1].decision

    @property
    def result(self) -> TrialResult | None:
        """How the trial's latest segment ended."""
        return None if self.ended is None else self.ended.result

    @property
    def value(self) -> float | None:
        """The objective's value; `None` unless COMPLETED."""
        return None if self.result is None else self.result.value

    @property
    def metrics(self) -> Mapping[str, float]:
        """The final scores, or the last epoch's where there are none."""
        if self.result is not None and self.result.metrics:
            return self.result.metrics
        return self.reports[-1].report.metrics if self.reports else {}

    @property
    def reason(self) -> str:
        """Of the end, one line; empty where none was given."""
        return "" if self.result is None else self.result.reason

    @property
    def hyperparameters(self) -> Point:
        """Every hyperparameter, the fixed ones and the defaults among them."""
        return self.proposed.hyperparameters

    @property
    def seed(self) -> int:
        """Of the trial; the same for all its attempts."""
        return self.proposed.seed

    @property
    def began_ms(self) -> int:
        """Unix time of the first attempt's start, or of the proposal where there was none."""
        return self.starts[0].at_ms if self.starts else self.proposed.at_ms

    def waits_after(self, event: EpochReported) -> bool:
        """Whether the trial waits after this epoch of its: the engine paused it, or its segment
        ends before it does.
        """
        if event.decision is not PruningDecision.GO:
            return event.decision is PruningDecision.PAUSE
        until_epoch = next(start.until_epoch for start in self.starts if start.attempt == event.attempt)
        return event.report.epoch >= until_epoch and until_epoch < self.proposed.horizon_epochs


@dataclass
class SweepState:
    """A sweep's ledger, folded. Grows by `apply`, one event after the other.

    Attributes:
        created: the ledger's first event.
        launches: one a launch.
        history: what the engine was asked and told, for `Engine.restore`.
        closed: the last event, if the last launch ended in order.
        launch_ends_ms: of all launches but the last, each the time of its last event.
        last_ms: time of the last event.
        n_patches: trained in the whole sweep.
        counts: trials by state.
        unfinished: numbers of the trials to which something may happen still.
        slept_s: seconds of all launches in which the driver was not awake.
        budget_changed: the latest change of the budget; `None` if the file's holds.
        enqueued: points that the user enqueued and that are not taken up yet, in order.
        taken_commands: of the control file, by id.
    """

    created: SweepCreated | None = None
    launches: list[Launched] = field(default_factory=list)
    history: list[EngineEvent] = field(default_factory=list)
    closed: SweepClosed | None = None
    launch_ends_ms: list[int] = field(default_factory=list)
    last_ms: int = 0
    n_patches: int = 0
    counts: Counter[TrialState] = field(default_factory=Counter)
    unfinished: set[int] = field(default_factory=set)
    slept_s: float = 0.0
    budget_changed: BudgetChanged | None = None
    enqueued: list[Point] = field(default_factory=list)
    taken_commands: set[str] = field(default_factory=set)
    _trials: dict[int, TrialRecord] = field(default_factory=dict)
    _best: dict[str, int] = field(default_factory=dict)

    @classmethod
    def fold(cls, events: Iterable[LedgerEvent]) -> "SweepState":
        """Fold a whole ledger.

        Raises:
            LedgerError: if an event does not fit those before it.
        """
        state = cls()
        for event in events:
            state.apply(event)
        return state

    @property
    def trials(self) -> Mapping[int, TrialRecord]:
        """All trials by number, in the order of their numbers."""
        return MappingProxyType(self._trials)

    def count(self, state: TrialState) -> int:
        """How many trials are in `state`."""
        return self.counts[state]

    def elapsed_s(self, at_ms: int) -> float:
        """Seconds of all launches together until `at_ms` in which the driver was awake.

        A killed launch counts up to its last event.
        """
        ends_ms = (*self.launch_ends_ms, at_ms)[: len(self.launches)]
        spans = zip(self.launches, ends_ms, strict=True)
        launched_s = sum(max(0, min(end_ms, at_ms) - launch.at_ms) for launch, end_ms in spans) / 1000
        return max(0.0, launched_s - self.slept_s)

    def best(self, direction: str) -> TrialRecord | None:
        """The best COMPLETED trial; the lower number wins a tie."""
        return self._trials[self._best[direction]] if direction in self._best else None

    def apply(self, event: LedgerEvent) -> None:
        """Take one more event in.

        Raises:
            LedgerError: if it does not fit those before it.
        """
        match event:
            case SweepCreated():
                self._require(self.created is None, event, "a ledger has one creation, as its first line")
                self.created = event
            case Launched():
                if self.launches:
                    self.launch_ends_ms.append(self.last_ms)
                self.launches.append(event)
                self.closed = None
            case SweepClosed():
                self.closed = event
            case Slept():
                self.slept_s += event.seconds
            case TrialAnnotated():
                self._annotate(event)
                return  # it may come long after the last launch, whose time ended with its last event
            case StopRequested() | BudgetChanged() | PointEnqueued() | CommandRefused():
                self._apply_command(event)
            case TrialProposed():
                if event.is_enqueued:
                    self._require(bool(self.enqueued), event, "what is taken up was enqueued before")
                    del self.enqueued[0]
                self._require(event.number == len(self._trials), event, "numbers count up from 0 without gaps")
                self._keep(TrialRecord(event, event.until_epoch, ask_s=event.ask_s))
                self.history.append(event)
            case _:
                self._require(event.number in self._trials, event, "a trial is proposed before anything happens to it")
                self._keep(self._apply_to_trial(self._trials[event.number], event))
        self.last_ms = max(self.last_ms, event.at_ms)

    def _apply_command(self, event: StopRequested | BudgetChanged | PointEnqueued | CommandRefused) -> None:
        self.taken_commands.add(event.command_id)
        match event:
            case StopRequested(number=int(number)):
                self._require(number in self._trials, event, "a trial is proposed before anything happens to it")
                self._keep(replace(self._trials[number], is_stop_requested=True))
            case BudgetChanged():
                self.budget_changed = event
            case PointEnqueued():
                self.enqueued.append(event.point)

    def _annotate(self, event: TrialAnnotated) -> None:
        self._require(event.number in self._trials, event, "a trial is proposed before anything happens to it")
        trial = self._trials[event.number]
        note = trial.note if event.note is None else event.note
        self._keep(replace(trial, note=note, set_tags={**trial.set_tags, **event.tags}))
        self.taken_commands.add(event.command_id)

    def _keep(self, trial: TrialRecord) -> None:
        """Put a trial's new record in place of the old one, and count: a driver asks for counts
        many times a second.
        """
        before, self._trials[trial.number] = self._trials.get(trial.number), trial
        if before is not None and before.state is trial.state:
            return
        if before is not None:
            self.counts[before.state] -= 1
        self.counts[trial.state] += 1
        if not trial.state.is_final:
            self.unfinished.add(trial.number)
            return
        self.unfinished.discard(trial.number)
        value = trial.result.value if trial.state is TrialState.COMPLETED and trial.result is not None else None
        if value is not None:
            for direction, sign in (("minimize", 1), ("maximize", -1)):
                best = self.best(direction)
                if best is None or (sign * value, trial.number) < (sign * _value_of(best), best.number):
                    self._best[direction] = trial.number

    def _apply_to_trial(
        self,
        trial: TrialRecord,
        event: TrialContinued
        | AttemptStarted
        | EpochReported
        | SegmentEnded
        | AttemptLost
        | AttemptInterrupted
        | TrialTracked,
    ) -> TrialRecord:
        match event:
            case TrialContinued():
                self._require(trial.state is TrialState.PAUSED, event, "only a paused trial goes on")
                self.history.append(event)
                return replace(
                    trial,
                    state=TrialState.RUNNING,
                    until_epoch=event.until_epoch,
                    ended=None,
                    segment_first_attempt=trial.n_attempts + 1,
                    ask_s=trial.ask_s + event.ask_s,
                )
            case AttemptStarted():
                # A killed launch says nothing of its workers' end.
                last_ms = trial.reports[-1].at_ms if trial.reports else 0
                return replace(_left_by_worker(trial, last_ms), starts=(*trial.starts, event), has_worker=True)
            case EpochReported():
                self._require(event.report.epoch > trial.n_epochs, event, "epochs count up")
                self.history.append(event)
                self.n_patches += event.report.n_patches
                return replace(trial, reports=(*trial.reports, event))
            case SegmentEnded(result=result):
                self._require(trial.state is TrialState.RUNNING, event, "only a running trial ends")
                self.history.append(event)
                end_s = dict(Counter(trial.end_s) + Counter(result.seconds))
                return replace(_left_by_worker(trial, event.at_ms), state=result.state, ended=event, end_s=end_s)
            case AttemptLost(lost="node"):
                left = _left_by_worker(trial, event.at_ms)
                return replace(left, nodes_lost_at=(*trial.nodes_lost_at, trial.n_epochs))
            case AttemptLost():
                return replace(_left_by_worker(trial, event.at_ms), n_lost=trial.n_lost + 1)
            case AttemptInterrupted():
                return _left_by_worker(trial, event.at_ms)
            case TrialTracked():
                return replace(trial, is_tracked=True)

    @staticmethod
    def _require(holds: bool, event: LedgerEvent, rule: str) -> None:
        if not holds:
            raise LedgerError(f"The ledger's rule `{rule}` must hold, but got {event}.")


def _left_by_worker(trial: TrialRecord, at_ms: int) -> TrialRecord:
    """The trial when its worker, if it has one, is gone."""
    if not trial.has_worker:
        return trial
    worked_s = max(0, at_ms - trial.starts[-1].at_ms) / 1000
    return replace(trial, has_worker=False, worker_s=trial.worker_s + worked_s)


def _value_of(trial: TrialRecord) -> float:
    return trial.result.value if trial.result is not None and trial.result.value is not None else math.nan
