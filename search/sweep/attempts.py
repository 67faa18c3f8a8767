"""One launch of a sweep, and how it takes trials through their attempts: start, report, pause,
loss, end.

The order of writes is always the same: the ledger first, then the answer to the worker and the
engine, then the tracker.
"""

import math
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from core.crash_points import crash_point
from core.space import Point
from search.executors.base import LOG_NAME, Executor, Message, WorkerEnded, WorkerLost, WorkerReported
from search.executors.machine import ActiveTimeClock
from search.ledger.events import AttemptInterrupted, AttemptLost, AttemptStarted, EpochReported, SegmentEnded
from search.ledger.files import is_intact
from search.ledger.ledger import Ledger
from search.ledger.state import SweepState, TrialRecord
from search.ledger.trial import (
    FailureKind,
    FileReference,
    PruningDecision,
    TrialResult,
    TrialSpec,
    TrialState,
)
from search.sweep.control import ControlFile, StopRequest
from search.sweep.deadline import predict_promotion_s
from search.sweep.disk import DiskSpaceGuard
from search.sweep.engine_share import EngineShare
from search.sweep.engine_thread import EngineThread
from search.sweep.plan import BudgetUse, SweepPlan, attempt_dir, budget_in_force, remaining_s
from search.sweep.progress import Progress
from search.sweep.sweep_view import SweepView
from search.sweep.tracking_queue import TrackingQueue

_LARGEST = 1e100
_MAX_NODES_LOST = 10
STOPPED_BY_USER = "stopped by the user"
_STATE_AFTER = {PruningDecision.PAUSE: TrialState.PAUSED, PruningDecision.STOP: TrialState.PRUNED}


@dataclass
class RunningSweep:
    """One launch: who works for it, and where it stands beyond what its ledger says.

    All that a launch knows is here. The functions below take its trials through their attempts;
    `search.sweep.loop` begins it, asks the engine, and ends it.

    Attributes:
        plan: of the experiment.
        ledger: open; its state is the truth.
        executor: trains.
        engine: proposes and judges, in a thread of its own.
        tracking: records, in a thread of its own.
        disk: says whether there is room.
        progress: what the user sees.
        control: commands from other terminals.
        clock: turns with the loop; reads the ledger's.
        stop: what the user asked for.
        running: what each busy worker is on, by trial number.
        to_resume: trials that are RUNNING in the ledger and have no worker, in the order in which
            they go on.
        is_stopping: no trial starts any more, and running ones end with their epoch.
        interrupted: trials that were answered PAUSE because the sweep is stopping.
        is_exhausted: the engine has nothing more to propose.
        state_version: grows with everything after which an engine might answer differently.
        version_at_ask: that of the last ask.
        version_at_wait: that of the last ask that led to nothing; `None` before there was one.
        asked_point: the user's, which the engine was asked to take up; `None` where it proposes
            itself.
        failures: of the latest trials, by what made them fail.
        logs: of each trial's latest worker.
        is_without_workers: the user was told that no worker is there.
        why_giving_up: why the launch should end, when the next trials would fail too; else empty.
        shown_at_s: when the user's view was refreshed, monotonic.
    """

    plan: SweepPlan
    ledger: Ledger
    executor: Executor
    engine: EngineThread
    tracking: TrackingQueue
    disk: DiskSpaceGuard
    progress: Progress
    control: ControlFile
    clock: ActiveTimeClock
    stop: StopRequest = field(default_factory=StopRequest)
    running: dict[int, TrialSpec] = field(default_factory=dict)
    to_resume: deque[int] = field(default_factory=deque)
    is_stopping: bool = False
    interrupted: set[int] = field(default_factory=set)
    is_exhausted: bool = False
    state_version: int = 0
    version_at_ask: int = 0
    version_at_wait: int | None = None
    asked_point: Point | None = None
    failures: Counter[str] = field(default_factory=Counter)
    logs: dict[int, Path] = field(default_factory=dict)
    is_without_workers: bool = False
    why_giving_up: str = ""
    shown_at_s: float = -math.inf

    @property
    def state(self) -> SweepState:
        """The ledger's."""
        return self.ledger.state

    @property
    def budget(self) -> BudgetUse:
        """What holds, and what of it is used."""
        limits = budget_in_force(self.state, self.plan.budget)
        return BudgetUse.of(limits, self.state, self.ledger.now_ms(), self._predict_promotion_s)

    def _predict_promotion_s(self) -> float | None:
        refit = self.plan.refit
        return None if refit is None else predict_promotion_s(self.state, self.plan.direction, refit)

    @property
    def has_free_worker(self) -> bool:
        """Whether another trial could start."""
        return len(self.running) < self.executor.n_workers

    def view(self) -> SweepView:
        """What the user sees of it now."""
        state, use, now_ms = self.state, self.budget, self.ledger.now_ms()
        elapsed_s = state.elapsed_s(now_ms)
        return SweepView(
            name=self.ledger.created.name,
            metric=self.plan.metric,
            running=tuple(state.trials[number] for number in sorted(self.running)),
            counts=state.counts,
            best=state.best(self.plan.direction),
            budget=str(use),
            elapsed_s=elapsed_s,
            remaining_s=remaining_s(use, elapsed_s),
            now_ms=now_ms,
            is_stopping=self.is_stopping,
            engine_share=EngineShare.of(state.trials),
            driver_host=state.launches[-1].host if state.launches else "",
            fixed=self.plan.fixed,
        )


def start_segment(sweep: RunningSweep, number: int) -> None:
    """Start a worker on a trial, from its last intact checkpoint."""
    spec = _spec(sweep, sweep.state.trials[number])
    place = sweep.executor.start(spec)
    crash_point("worker-forked")
    sweep.running[number] = spec
    sweep.logs[number] = spec.work_dir / LOG_NAME
    epochs, where = (spec.start_epoch, spec.until_epoch), (place.host, place.cpu)
    started = sweep.ledger.append(
        AttemptStarted, number, spec.attempt, *epochs, place.threads, spec.precision, place.pid, *where
    )
    crash_point("attempt-recorded")
    sweep.tracking.start_attempt(started, sweep.state.trials[number])


def take_up(sweep: RunningSweep, trial: TrialRecord) -> None:
    """Let a running trial without a worker go on, or end it if its end was decided before its
    worker was gone.
    """
    state = _STATE_AFTER.get(trial.pending_decision)
    if state is None:
        sweep.to_resume.append(trial.number)
    else:
        reason = STOPPED_BY_USER if trial.is_stop_requested else "stopped by the engine"
        _end_segment(sweep, trial.number, TrialResult(state, metrics=trial.metrics, reason=reason))


def stop_trial(sweep: RunningSweep, number: int, is_urgent: bool) -> None:
    """End a trial for good that the user does not want any more: at once, or with its next report.

    The ledger has the request; one whose worker is busy with its last epoch completes.
    """
    if number in sweep.running and not is_urgent:
        return
    if number in sweep.running:
        sweep.executor.kill(number)
    else:
        sweep.to_resume.remove(number)
    metrics = sweep.state.trials[number].metrics
    _end_segment(sweep, number, TrialResult(TrialState.PRUNED, metrics=metrics, reason=STOPPED_BY_USER))


def take_message(sweep: RunningSweep, message: Message) -> TrialRecord:
    """Take in what a worker said, answer it, and return what it made of its trial."""
    match message:
        case WorkerReported():
            _take_report(sweep, message)
        case WorkerEnded():
            _take_end(sweep, message)
        case WorkerLost():
            _take_loss(sweep, message)
    return sweep.state.trials[message.number]


def _spec(sweep: RunningSweep, trial: TrialRecord) -> TrialSpec:
    start_epoch, checkpoint = _last_intact_checkpoint(sweep, trial)
    attempt = trial.n_attempts + 1
    return TrialSpec(
        sweep_id=sweep.ledger.created.sweep_id,
        number=trial.number,
        attempt=attempt,
        objective=sweep.plan.objective,
        hyperparameters=dict(trial.hyperparameters),
        seed=trial.seed,
        start_epoch=start_epoch,
        until_epoch=trial.segment_until_epoch,
        horizon_epochs=trial.proposed.horizon_epochs,
        threads=sweep.executor.threads,
        precision=sweep.plan.precision,
        checkpoint=checkpoint,
        work_dir=attempt_dir(sweep.ledger.folder, trial.number, attempt),
        settings=sweep.plan.settings,
        history=tuple(_scores(event) for event in trial.reports if event.report.epoch <= start_epoch),
    )


def _scores(event: EpochReported) -> dict[str, float]:
    """What an objective reported, without what the worker has added."""
    return {name: score for name, score in event.report.metrics.items() if not name.startswith("system/")}


def _last_intact_checkpoint(sweep: RunningSweep, trial: TrialRecord) -> tuple[int, FileReference | None]:
    for n_epochs, checkpoint in trial.checkpoints:
        if is_intact(checkpoint):
            return n_epochs, checkpoint
        sweep.progress.say(
            f"Trial {trial.number}: the checkpoint of epoch {n_epochs} is missing or damaged ({checkpoint.path}); "
            "going back further."
        )
    return 0, None


# An epoch.


def _take_report(sweep: RunningSweep, message: WorkerReported) -> None:
    crash_point("report-received")
    number, report, metric = message.number, message.report, sweep.plan.metric
    if report.epoch <= sweep.state.trials[number].n_epochs:
        # Trained again because its checkpoint was lost: the engine has judged this epoch already.
        sweep.executor.answer(number, PruningDecision.GO)
    elif metric not in report.metrics:
        sweep.executor.kill(number)
        reason = (
            f"ReportError: an epoch's report must have the objective {metric!r}, "
            f"but got {', '.join(sorted(report.metrics))}."
        )
        _end_segment(sweep, number, TrialResult(TrialState.FAILED, reason=reason))
    else:
        reported = _judge_and_record(sweep, message)
        crash_point("report-recorded")
        sweep.executor.answer(number, _answer(sweep, reported))
        crash_point("report-answered")
        sweep.disk.note_progress()
        sweep.tracking.end_epoch(reported, sweep.state.trials[number])


def _judge_and_record(sweep: RunningSweep, message: WorkerReported) -> EpochReported:
    """Get the engine's decision and write it down; the epoch is written down even if the engine
    fails.
    """
    sweep.state_version += 1
    number, report, decision = message.number, message.report, PruningDecision.GO
    try:
        decision = sweep.engine.judge(number, report)
        crash_point("report-judged")
        trial = sweep.state.trials[number]
        if trial.is_stop_requested and report.epoch < trial.proposed.horizon_epochs:
            decision = PruningDecision.STOP
    finally:
        reported = sweep.ledger.append(EpochReported, number, message.attempt, report, decision)
    return reported


def _answer(sweep: RunningSweep, reported: EpochReported) -> PruningDecision:
    """The engine's decision, or PAUSE while the sweep is stopping, or at its deadline, and the
    segment has epochs left.
    """
    number, is_to_go_on = reported.number, reported.decision is PruningDecision.GO
    is_ending = sweep.is_stopping or sweep.budget.is_late
    if is_ending and is_to_go_on and reported.report.epoch < sweep.running[number].until_epoch:
        sweep.interrupted.add(number)
        return PruningDecision.PAUSE
    return reported.decision


# The end of an attempt.


def _take_end(sweep: RunningSweep, message: WorkerEnded) -> None:
    crash_point("result-received")
    number, result = message.number, message.result
    if result.state is TrialState.PRUNED and sweep.state.trials[number].is_stop_requested:
        result = replace(result, reason=STOPPED_BY_USER)
    if number in sweep.interrupted and result.state is TrialState.PAUSED:
        _interrupt(sweep, message)
        sweep.interrupted.discard(number)
        sweep.to_resume.append(number)  # if the budget is raised while others run
    elif result.failure is FailureKind.DISK_FULL:
        _interrupt(sweep, message, result.reason)
        sweep.to_resume.append(number)
        if message.resting:
            sweep.progress.say(f"Trial {number}: the disk of {message.resting} is full; it rests until it has room.")
        else:
            sweep.disk.shut(f"trial {number}: {result.reason}")
    elif result.failure is FailureKind.BAD_DATA:
        _interrupt(sweep, message, result.reason)
        sweep.why_giving_up = (
            f"the data cannot be used, which concerns all trials: {result.reason} (log: {sweep.logs[number]}). "
            f"Fix it, and the same command goes on, trial {number} too"
        )
    else:
        _end_segment(sweep, number, _checked(result))


def _interrupt(sweep: RunningSweep, message: WorkerEnded, reason: str = "") -> None:
    del sweep.running[message.number]
    sweep.ledger.append(AttemptInterrupted, message.number, message.attempt, reason)
    crash_point("interruption-recorded")


def _take_loss(sweep: RunningSweep, message: WorkerLost) -> None:
    number, reason = message.number, message.reason
    del sweep.running[number]
    lost: Literal["worker", "node"] = "node" if message.failure is FailureKind.NODE_LOST else "worker"
    sweep.ledger.append(AttemptLost, number, message.attempt, message.exit_code, reason, lost)
    crash_point("loss-recorded")
    trial = sweep.state.trials[number]
    sweep.progress.say(f"Trial {number}: its {lost} was lost after epoch {trial.n_epochs}; it was {reason}.")
    why = _why_failed(trial, message, sweep.plan.max_attempts)
    if not why or trial.pending_decision is not PruningDecision.GO:
        take_up(sweep, trial)
        return
    text = f"{why}\nThe end of its log:\n{message.log_tail}"
    result = TrialResult(TrialState.FAILED, reason=why, traceback=text, failure=message.failure)
    _end_segment(sweep, number, result)


def _why_failed(trial: TrialRecord, loss: WorkerLost, max_attempts: int) -> str:
    """Why a trial is not tried again after a loss; empty where it is."""
    if loss.failure is FailureKind.OUT_OF_MEMORY:
        return f"OutOfMemory: its worker was {loss.reason}. It is not tried again: it would need as much."
    if loss.failure is FailureKind.NODE_LOST:
        n_nodes = trial.nodes_lost_at.count(trial.n_epochs)
        if n_nodes < _MAX_NODES_LOST:
            return ""
        return (
            f"NodeLost: {n_nodes} nodes in a row were lost under this trial before it could end an epoch, so it may be "
            f"what ends them; the last one was {loss.reason}."
        )
    if trial.n_lost < max_attempts:
        return ""
    return f"WorkerLost: {trial.n_lost} workers were lost on this trial; the last one was {loss.reason}."


def _end_segment(sweep: RunningSweep, number: int, result: TrialResult) -> None:
    sweep.running.pop(number, None)
    sweep.state_version += 1
    ended = sweep.ledger.append(SegmentEnded, number, sweep.state.trials[number].n_attempts, result)
    crash_point("end-recorded")
    sweep.engine.tell(number, result)
    crash_point("end-told")
    if result.state.is_final:
        sweep.tracking.end_trial(ended, sweep.state.trials[number])
        _count_failures(sweep, number, result)


def _count_failures(sweep: RunningSweep, number: int, result: TrialResult) -> None:
    """Give the launch up when trials fail one after the other alike: the next ones would too."""
    kind = f"{result.failure} {result.reason.split(':', 1)[0]}"
    n_failures = sweep.failures[kind] + 1 if result.state is TrialState.FAILED else 0
    sweep.failures = Counter({kind: n_failures})
    if n_failures >= sweep.plan.max_failures_in_a_row:
        log = sweep.logs.get(number, "none")
        sweep.why_giving_up = (
            f"{n_failures} trials in a row failed alike, the last one with: {result.reason} (log: {log})"
        )


def _checked(result: TrialResult) -> TrialResult:
    """Turn a result that no engine can learn from into a FAILED one."""
    if result.state is TrialState.RUNNING:
        reason = "ResultError: an objective returns COMPLETED, PAUSED, PRUNED or FAILED, but got RUNNING."
        return replace(result, state=TrialState.FAILED, reason=reason)
    # A square of it must be a number still, or samplers and databases choke on it.
    if result.state is TrialState.COMPLETED and not abs(math.nan if result.value is None else result.value) < _LARGEST:
        rule = f"a completed trial's value must be a finite number below {_LARGEST:g} in size"
        reason = f"ResultError: {rule}, but got {result.value}."
        return replace(result, state=TrialState.FAILED, value=None, reason=reason)
    return result
