"""Takes trials through their attempts: start, report, pause, loss, end. The ledger is always written first."""

import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from core.crash_points import crash_point
from search.executors.base import LOG_NAME, Executor, Message, WorkerEnded, WorkerLost, WorkerReported
from search.ledger.events import AttemptInterrupted, AttemptLost, AttemptStarted, EpochReported, SegmentEnded
from search.ledger.files import is_intact
from search.ledger.ledger import Ledger
from search.ledger.state import TrialRecord
from search.ledger.trial import (
    EpochReport,
    FailureKind,
    FileReference,
    PruningDecision,
    TrialResult,
    TrialSpec,
    TrialState,
)
from search.sweep.disk import DiskSpaceGuard
from search.sweep.engine_thread import EngineThread
from search.sweep.plan import SweepPlan, attempt_dir
from search.sweep.tracking_queue import TrackingQueue

_END_OF_DECISION = {PruningDecision.PAUSE: TrialState.PAUSED, PruningDecision.STOP: TrialState.PRUNED}


class TrialRunner:
    """Runs trials on an executor, and takes down what becomes of them.

    Attributes:
        running: what each busy worker is on, by trial number.
        to_resume: trials that are RUNNING in the ledger and have no worker, in the order in which they go on.
        state_version: grows with everything that an engine might answer differently after.
        giving_up: why the launch should end, when trials fail one after the other alike; else empty.
    """

    def __init__(
        self,
        plan: SweepPlan,
        ledger: Ledger,
        executor: Executor,
        engine_thread: EngineThread,
        tracking_queue: TrackingQueue,
        gate: DiskSpaceGuard,
        say: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._gate = gate
        self._ledger = ledger
        self._executor = executor
        self._engine_thread = engine_thread
        self._tracking_queue = tracking_queue
        self._say = say
        self.running: dict[int, TrialSpec] = {}
        self.to_resume: deque[int] = deque()
        self.state_version = 0
        self.giving_up = ""
        self._is_stopping = False
        self._stopped: set[int] = set()
        self._failures: Counter[str] = Counter()
        self._logs: dict[int, Path] = {}

    @property
    def has_free_worker(self) -> bool:
        """Whether another trial could start."""
        return len(self.running) < self._executor.n_workers

    def stop_after_epochs(self) -> None:
        """Let every running part end, resumable, with its next report."""
        self._is_stopping = True

    def start_part(self, number: int) -> None:
        """Start a worker on a trial, from its last intact checkpoint."""
        spec = self._spec(self._trial(number))
        pid = self._executor.start(spec)
        crash_point("worker-forked")
        self.running[number] = spec
        self._logs[number] = spec.work_dir / LOG_NAME
        started = AttemptStarted(
            0, number, spec.attempt, spec.start_epoch, spec.until_epoch, spec.threads, spec.precision, pid
        )
        self._ledger.append(lambda at_ms: replace(started, at_ms=at_ms))
        crash_point("attempt-recorded")
        trial = self._trial(number)
        self._tracking_queue.start_attempt(trial, trial.starts[-1])

    def take_up(self, trial: TrialRecord) -> None:
        """Let a running trial without a worker go on, or end it if its end was decided before its worker was gone."""
        state = _END_OF_DECISION.get(trial.pending_decision)
        if state is None:
            self.to_resume.append(trial.number)
        else:
            metrics = trial.reports[-1].report.metrics
            self._end_part(trial.number, TrialResult(state=state, metrics=metrics, reason="stopped by the engine"))

    def take(self, message: Message) -> TrialRecord:
        """Take in what a worker said, answer it, and return what it made of its trial."""
        match message:
            case WorkerReported():
                self._take_report(message)
            case WorkerEnded():
                self._take_end(message)
            case WorkerLost():
                self._take_loss(message)
        return self._trial(message.number)

    def _trial(self, number: int) -> TrialRecord:
        return self._ledger.state.trials[number]

    def _spec(self, trial: TrialRecord) -> TrialSpec:
        start_epoch, checkpoint = self._last_intact_checkpoint(trial)
        attempt = trial.n_attempts + 1
        return TrialSpec(
            sweep_id=self._ledger.created.sweep_id,
            number=trial.number,
            attempt=attempt,
            objective=self._plan.objective,
            hyperparameters=dict(trial.proposed.hyperparameters),
            seed=trial.proposed.seed,
            start_epoch=start_epoch,
            until_epoch=trial.part_until_epoch,
            horizon_epochs=trial.proposed.horizon_epochs,
            threads=self._executor.threads,
            precision=self._plan.precision,
            checkpoint=checkpoint,
            work_dir=attempt_dir(self._ledger.folder, trial.number, attempt),
            settings=self._plan.settings,
        )

    def _last_intact_checkpoint(self, trial: TrialRecord) -> tuple[int, FileReference | None]:
        for n_epochs, checkpoint in trial.checkpoints:
            if is_intact(checkpoint):
                return n_epochs, checkpoint
            self._say(
                f"Trial {trial.number}: the checkpoint of epoch {n_epochs} is missing or damaged ({checkpoint.path}); "
                "going back further."
            )
        return 0, None

    def _take_report(self, message: WorkerReported) -> None:
        crash_point("report-received")
        number, report = message.number, message.report
        if report.epoch <= self._trial(number).n_epochs:
            # Trained again because its checkpoint was lost: the engine has judged this epoch already.
            self._executor.answer(number, PruningDecision.GO)
        elif self._plan.metric not in report.metrics:
            self._executor.kill(number)
            reason = (
                f"ReportError: an epoch's report must have the objective {self._plan.metric!r}, "
                f"but got {', '.join(sorted(report.metrics))}."
            )
            self._end_part(number, TrialResult(state=TrialState.FAILED, reason=reason))
        else:
            decision = self._judge_and_record(message)
            crash_point("report-recorded")
            self._executor.answer(number, self._decision_for_worker(number, report, decision))
            crash_point("report-answered")
            trial = self._trial(number)
            self._gate.note_progress()
            self._tracking_queue.end_epoch(trial, trial.reports[-1])

    def _judge_and_record(self, message: WorkerReported) -> PruningDecision:
        """Get the engine's verdict and write it down; the epoch is written down even if the engine fails."""
        self.state_version += 1
        decision = PruningDecision.GO
        try:
            decision = self._engine_thread.judge(message.number, message.report)
            crash_point("report-judged")
        finally:
            reported = EpochReported(0, message.number, message.attempt, message.report, decision)
            self._ledger.append(lambda at_ms: replace(reported, at_ms=at_ms))
        return decision

    def _decision_for_worker(self, number: int, report: EpochReport, decision: PruningDecision) -> PruningDecision:
        """The engine's verdict, or PAUSE while the sweep is stopping and the part has epochs left."""
        if self._is_stopping and decision is PruningDecision.GO and report.epoch < self.running[number].until_epoch:
            self._stopped.add(number)
            return PruningDecision.PAUSE
        return decision

    def _take_end(self, message: WorkerEnded) -> None:
        crash_point("result-received")
        number, attempt = message.number, message.attempt
        failure, reason = message.result.failure, message.result.reason
        if number in self._stopped and message.result.state is TrialState.PAUSED:
            self._interrupt(number, attempt)
        elif failure is FailureKind.DISK_FULL:
            self._interrupt(number, attempt, reason)
            self.to_resume.append(number)
            self._gate.shut(f"trial {number}: {reason}")
        elif failure is FailureKind.BAD_DATA:
            self._interrupt(number, attempt, reason)
            self.giving_up = (
                f"the data cannot be used, which concerns all trials: {reason} (log: {self._logs[number]}). Mend it, "
                f"and the same command goes on, trial {number} too"
            )
        else:
            self._end_part(number, _checked(message.result))

    def _interrupt(self, number: int, attempt: int, reason: str = "") -> None:
        del self.running[number]
        self._ledger.append(lambda at_ms: AttemptInterrupted(at_ms, number, attempt, reason))
        crash_point("interruption-recorded")

    def _take_loss(self, message: WorkerLost) -> None:
        number, reason = message.number, message.reason
        del self.running[number]
        self._ledger.append(lambda at_ms: AttemptLost(at_ms, number, message.attempt, message.exit_code, reason))
        crash_point("loss-recorded")
        trial = self._trial(number)
        self._say(f"Trial {number}: its worker was lost after epoch {trial.n_epochs}; it was {reason}.")
        if trial.pending_decision is not PruningDecision.GO:
            self.take_up(trial)
            return
        if message.failure is FailureKind.OUT_OF_MEMORY:
            line = f"OutOfMemory: its worker was {reason}. It is not tried again: it would need as much."
        elif trial.n_lost < self._plan.max_attempts:
            self.take_up(trial)
            return
        else:
            line = f"WorkerLost: {trial.n_lost} workers were lost on this trial; the last one was {reason}."
        text = f"{line}\nThe end of its log:\n{message.log_tail}"
        result = TrialResult(state=TrialState.FAILED, reason=line, traceback=text, failure=message.failure)
        self._end_part(number, result)

    def _end_part(self, number: int, result: TrialResult) -> None:
        self.running.pop(number, None)
        self.state_version += 1
        attempt = self._trial(number).n_attempts
        self._ledger.append(lambda at_ms: SegmentEnded(at_ms, number, attempt, result))
        crash_point("end-recorded")
        self._engine_thread.tell(number, result)
        crash_point("end-told")
        if result.state.is_final:
            self._tracking_queue.end_trial(self._trial(number))
            self._count_failures(number, result)

    def _count_failures(self, number: int, result: TrialResult) -> None:
        """Give the launch up when trials fail one after the other alike: the next ones would too."""
        kind = f"{result.failure} {result.reason.split(':', 1)[0]}"
        n_failures = self._failures[kind] + 1 if result.state is TrialState.FAILED else 0
        self._failures = Counter({kind: n_failures})
        if n_failures >= self._plan.max_failures_in_a_row:
            log = self._logs.get(number, "none")
            self.giving_up = (
                f"{n_failures} trials in a row failed alike, the last one with: {result.reason} (log: {log})"
            )


def _checked(result: TrialResult) -> TrialResult:
    """Turn a result that no engine can learn from into a FAILED one."""
    if result.state is TrialState.RUNNING:
        reason = "ResultError: an objective returns COMPLETED, PAUSED, PRUNED or FAILED, but got RUNNING."
        return replace(result, state=TrialState.FAILED, reason=reason)
    if result.state is TrialState.COMPLETED and (result.value is None or not math.isfinite(result.value)):
        reason = f"ResultError: a completed trial's value must be a finite number, but got {result.value}."
        return replace(result, state=TrialState.FAILED, value=None, reason=reason)
    return result
