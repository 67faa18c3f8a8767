"""The loop: keeps the workers busy with what the engine proposes, and the ledger ahead of everything that follows.

Ctrl-C and SIGTERM as a request that the loop looks at, instead of an exception in the middle of a write.
"""

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from core.crash_points import crash_point
from core.errors import EngineError
from search.engines.base import Continue, Engine, Exhausted, Start, Wait
from search.executors.base import Executor, WorkerReported
from search.executors.machine import ActiveTimeClock
from search.ledger.events import Launched, Slept, SweepClosed, SweepStatus, TrialContinued, TrialProposed, TrialTracked
from search.ledger.ledger import Ledger
from search.ledger.state import SweepState
from search.ledger.trial import TrialState
from search.sweep.attempts import TrialRunner
from search.sweep.disk import DiskSpaceGuard
from search.sweep.engine_thread import EngineThread
from search.sweep.observer import NullObserver, SweepEnded, SweepObserver, SweepStarted
from search.sweep.plan import BudgetUse, SweepOutcome, SweepPlan, remove_checkpoints, trial_rng_seed
from search.sweep.progress import EngineShare, Progress, SilentProgress, SweepView
from search.sweep.tracking_queue import TrackingQueue

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """How urgently the user wants the sweep to stop."""

    def __init__(self) -> None:
        self.n_signals = 0

    @property
    def is_made(self) -> bool:
        """Whether to stop when the running epochs are done."""
        return self.n_signals >= 1

    @property
    def is_urgent(self) -> bool:
        """Whether to stop at once."""
        return self.n_signals >= 2


@contextmanager
def stop_signals(on_signal: Callable[[], None]) -> Iterator[StopRequest]:
    """Turn Ctrl-C and SIGTERM into a `StopRequest` for the block; the handlers of before come back after it.

    Outside the main thread, where Python allows no handlers, the request is never made.

    Args:
        on_signal: called at each signal, to wake who waits.
    """
    request = StopRequest()

    def take(_number: int, _frame: FrameType | None) -> None:
        request.n_signals += 1
        on_signal()

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, take) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_POLL_S = 0.5
_SHOW_S = 0.25
_URGENT_DRAIN_S = 3.0


def run_sweep(
    ledger: Ledger,
    plan: SweepPlan,
    engine: Engine,
    executor: Executor,
    observer: SweepObserver | None = None,
    progress: Progress | None = None,
) -> SweepOutcome:
    """Launch a sweep, or go on with it, until its budget is used up or the user stops it.

    Trials that the ledger knows as running go on first, from their last intact checkpoint. Budgets hold over all
    launches together; when one is reached, running trials are finished. The first Ctrl-C (or SIGTERM) lets running
    epochs finish, the second ends the workers at once; either way the sweep can go on later, and nothing that the
    ledger has is done twice. Each report is judged, written to the ledger, answered, then tracked.

    Args:
        ledger: open; stays open.
        plan: of the experiment.
        engine: fresh; it is restored from the ledger.
        executor: open; its workers are ended, and it is closed, when this returns.
        observer: such as the MLflow tracker.
        progress: what the user sees.

    Raises:
        EngineError: if the engine fails, or breaks its protocol. The ledger is whole.
        LedgerError: if the ledger cannot be written.
        ExecutorError: if no worker can be started.
        TrackingError: if the observer cannot even begin.
    """
    return _Sweep(ledger, plan, engine, executor, observer or NullObserver(), progress or SilentProgress()).run()


class _Sweep:
    """One launch."""

    def __init__(
        self,
        ledger: Ledger,
        plan: SweepPlan,
        engine: Engine,
        executor: Executor,
        observer: SweepObserver,
        progress: Progress,
    ) -> None:
        self.ledger = ledger
        self.plan = plan
        self.executor = executor
        self.progress = progress
        self.engine_thread = EngineThread(engine, executor.wake)
        self.tracking_queue = TrackingQueue(observer, progress.say, executor.wake)
        self.gate = DiskSpaceGuard(ledger.folder, plan.min_free_bytes, progress.say)
        self.runner = TrialRunner(
            plan, ledger, executor, self.engine_thread, self.tracking_queue, self.gate, progress.say
        )
        self.clock = ActiveTimeClock(time.time)  # like the ledger's times
        self.stop = StopRequest()
        self.is_stopping = False
        self.is_exhausted = False
        self.news_at_ask = 0
        self.waits_since_news: int | None = None
        self.shown_at_s = -_SHOW_S

    def run(self) -> SweepOutcome:
        try:
            self._launch()
            with self.progress, stop_signals(self.executor.wake) as self.stop:
                self.ledger.wait_for_room = self._wait_for_room
                self._take_up_trials()
                while self._step():
                    pass
                return self._close()
        except BaseException as error:
            self._close_after(error)
            raise
        finally:
            self.executor.close()
            self.engine_thread.close()
            self.tracking_queue.close()

    @property
    def state(self) -> SweepState:
        return self.ledger.state

    # The beginning of a launch.

    def _launch(self) -> None:
        self.engine_thread.restore(tuple(self.state.history))
        n_workers, threads, precision = self.executor.n_workers, self.executor.threads, self.plan.precision
        host, pid = socket.gethostname(), os.getpid()
        self.ledger.append(lambda at_ms: Launched(at_ms, host, pid, n_workers, threads, precision))
        crash_point("launch-recorded")
        created = self.ledger.created
        self.tracking_queue.start_sweep(
            SweepStarted(
                sweep_id=created.sweep_id,
                name=created.name,
                config=created.config,
                version=created.version,
                git_commit=created.git_commit,
                seed=self.plan.seed,
                objective=self.plan.metric,
                direction=self.plan.direction,
                created_ms=created.at_ms,
                launched_ms=self.state.launches[-1].at_ms,
                n_launches=len(self.state.launches),
            )
        )
        crash_point("sweep-tracked")

    def _take_up_trials(self) -> None:
        n_workers, threads = self.executor.n_workers, self.executor.threads
        self.progress.say(f"workers: {n_workers}, threads of each: {threads}, precision: {self.plan.precision}")
        if self.ledger.taken_over_from:
            self.progress.say(f"The last driver, {self.ledger.taken_over_from}, died; its lock is taken over.")
        if self.ledger.trimmed_bytes:
            self.progress.say(f"The ledger's last line was torn by a crash; {self.ledger.trimmed_bytes} bytes cut off.")
        trials = list(self.state.trials.values())
        for trial in trials:
            if not trial.is_tracked:
                self.tracking_queue.replay(trial)
            else:
                remove_checkpoints(trial, self.ledger.folder)  # a crash may have come before it
        for trial in trials:
            if trial.state is TrialState.RUNNING:
                self.runner.take_up(trial)
        if trials:
            n_unfinished = len(self.runner.to_resume)
            self.progress.say(f"Going on with a sweep of {len(trials)} trials, {n_unfinished} of them unfinished.")

    # One round.

    def _step(self) -> bool:
        """Do what can be done, then wait for news; False when nothing more is to come."""
        if self.stop.is_urgent:
            return False
        self._heed_stop()
        self._take_proposal()
        is_paused = self._has_work() and not self.gate.is_open()
        if not is_paused:
            self._start_work()
        if not self.runner.running and (self.is_stopping or not (is_paused or self.engine_thread.is_asking)):
            return False
        if self.runner.running or not is_paused:
            self._note_sleep()
        for message in self.executor.poll(_POLL_S):
            trial = self.runner.take(message)
            if isinstance(message, WorkerReported) and trial.state is TrialState.RUNNING:
                self.progress.epoch_ended(self._view(), trial)
            elif trial.state is not TrialState.RUNNING:
                self.progress.trial_ended(self._view(), trial)
        self._mark_tracked()
        for number in self.tracking_queue.take_overdue():
            self.tracking_queue.replay(self.state.trials[number])
        self._show()
        return True

    def _has_work(self) -> bool:
        return not self.is_stopping and (bool(self.runner.to_resume) or self._may_ask())

    def _start_work(self) -> None:
        while self.runner.to_resume and self.runner.has_free_worker and not self.is_stopping:
            self.runner.start_part(self.runner.to_resume.popleft())
        if self._may_ask():
            self.news_at_ask = self.runner.state_version
            self.engine_thread.ask(len(self.state.trials))

    def _note_sleep(self) -> None:
        """Take down a laptop's sleep, a SIGSTOP or a pause for want of room, so that no budget of time counts it."""
        slept_s = self.clock.turn()
        if slept_s:
            self.ledger.append(lambda at_ms: Slept(at_ms, slept_s))

    def _wait_for_room(self, error: OSError) -> bool:
        """Hold the sweep while the ledger's own disk is full."""
        self.gate.shut(f"the ledger: {error.strerror}")
        while not self.gate.is_open() and not self.stop.is_made:
            self.progress.show(self._view())
            time.sleep(_POLL_S)
        return not self.stop.is_made

    def _show(self) -> None:
        if time.monotonic() - self.shown_at_s >= _SHOW_S:
            self.shown_at_s = time.monotonic()
            self.progress.show(self._view())

    def _heed_stop(self) -> None:
        if self.is_stopping or not (self.stop.is_made or self.runner.giving_up):
            return
        self.is_stopping = True
        self.runner.stop_after_epochs()
        if self.stop.is_made:
            self.progress.say("Stopping when the running epochs are done; Ctrl-C again stops at once.")
        else:
            self.progress.say(f"Giving up: {self.runner.giving_up}")

    def _may_ask(self) -> bool:
        if self.is_stopping or self.is_exhausted or self.engine_thread.is_asking:
            return False
        if self.runner.to_resume or not self.runner.has_free_worker:
            return False
        if self.waits_since_news == self.runner.state_version:
            return False
        use = self._budget_use()
        # Beyond the limit on trials an engine is only asked for what it has paused.
        return not use.is_work_used and (not use.are_trials_used or self.state.count(TrialState.PAUSED) > 0)

    # Proposals.

    def _take_proposal(self) -> None:
        proposal = self.engine_thread.take_proposal()
        if proposal is None or self.is_stopping:
            return
        crash_point("proposal-made")
        match proposal:
            case Start() if not self._budget_use().are_trials_used:
                self._propose(proposal)
            case Start() | Wait():
                # A Start beyond the budget is in no ledger, so the next launch asks for the same number again.
                self._wait(proposal)
            case Continue():
                self._continue(proposal)
            case Exhausted():
                self.is_exhausted = True

    def _wait(self, proposal: Start | Wait) -> None:
        """Ask no more before something new happened since the ask."""
        self.waits_since_news = self.news_at_ask
        if isinstance(proposal, Wait) and not self.runner.running and self.news_at_ask == self.runner.state_version:
            raise EngineError("An engine may answer Wait only while a trial is running, but none is.")

    def _propose(self, proposal: Start) -> None:
        number, horizon, until_epoch = len(self.state.trials), self.plan.horizon_epochs, proposal.until_epoch
        self._check_until(number, 0, until_epoch)
        hyperparameters, seed = self.plan.complete(proposal.point), trial_rng_seed(self.plan.seed, number)
        point, ask_s = proposal.point, self.engine_thread.take_ask_s()
        self.ledger.append(
            lambda at_ms: TrialProposed(at_ms, number, point, hyperparameters, seed, until_epoch, horizon, ask_s)
        )
        crash_point("proposal-recorded")
        self.runner.start_part(number)

    def _continue(self, proposal: Continue) -> None:
        trial = self.state.trials.get(proposal.number)
        if trial is None or trial.state is not TrialState.PAUSED:
            state = "unknown" if trial is None else trial.state.value
            raise EngineError(f"Only a paused trial can go on, but trial {proposal.number} is {state}.")
        self._check_until(trial.number, trial.n_epochs, proposal.until_epoch)
        ask_s = self.engine_thread.take_ask_s()
        self.ledger.append(lambda at_ms: TrialContinued(at_ms, proposal.number, proposal.until_epoch, ask_s))
        crash_point("continuation-recorded")
        self.runner.start_part(proposal.number)

    def _check_until(self, number: int, n_epochs: int, until_epoch: int | None) -> None:
        if until_epoch is not None and not n_epochs < until_epoch <= self.plan.horizon_epochs:
            raise EngineError(
                f"`epochs done < until_epoch <= horizon` must hold, but trial {number} has {n_epochs} epochs done and "
                f"got {until_epoch=} with a horizon of {self.plan.horizon_epochs}."
            )

    # The end of a launch.

    def _close(self) -> SweepOutcome:
        self.executor.close()
        status, reason = self._status()
        self._tell_untracked_again()
        self.ledger.append(lambda at_ms: SweepClosed(at_ms, status, reason))
        crash_point("close-recorded")
        self._end_record(status, reason)
        crash_point("sweep-run-closed")
        self.progress.show(self._view())
        self.progress.say(f"{self.plan.title} {status}: {reason.rstrip('.')}.")
        if status != "completed":
            self.progress.say(self.plan.resume_hint)
        counts = Counter(trial.state for trial in self.state.trials.values())
        return SweepOutcome(status, reason, self.state.best(self.plan.direction), counts)

    def _status(self) -> tuple[SweepStatus, str]:
        if self.stop.is_made:
            n_unfinished = self.state.count(TrialState.RUNNING)
            return "interrupted", f"stopped by the user; {n_unfinished} unfinished trials can go on"
        if self.runner.giving_up:
            return "failed", self.runner.giving_up
        if self.is_exhausted:
            return "completed", "the engine has nothing more to try"
        return "completed", f"the budget is used up ({self._budget_use()})"

    def _tell_untracked_again(self) -> None:
        """Let the observer take down what it has still to take down, and once more what it could not."""
        self._drain()
        self._mark_tracked()
        untracked = [trial for trial in self.state.trials.values() if trial.state.is_final and not trial.is_tracked]
        if untracked and not self.stop.is_urgent:
            self.tracking_queue.try_again_at_once()
            for trial in untracked:
                self.tracking_queue.replay(trial)
            self._drain()
            self._mark_tracked()

    def _end_record(self, status: SweepStatus, reason: str) -> None:
        best = self.state.best(self.plan.direction)
        trials = tuple(trial.summary for trial in self.state.trials.values())
        number = None if best is None else best.number
        self.tracking_queue.end_sweep(SweepEnded(status, reason, trials, number, self.state.last_ms))
        self._drain()
        self._mark_tracked()

    def _drain(self) -> None:
        """Wait for the observer; when the user is in a hurry, for seconds only."""
        started_s = time.monotonic()
        self.tracking_queue.drain(lambda: self.stop.is_urgent and time.monotonic() - started_s > _URGENT_DRAIN_S)

    def _close_after(self, error: BaseException) -> None:
        """Leave ledger and record in order when a launch ends by an exception; what fails now becomes a note to it."""
        self.executor.close()
        self.stop.n_signals = 2
        status: SweepStatus = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        reason = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        try:
            self.ledger.append(lambda at_ms: SweepClosed(at_ms, status, reason))
            self._end_record(status, reason)
        except Exception as second:
            error.add_note(f"Then the sweep could not be closed in order: {second}")

    def _mark_tracked(self) -> None:
        for number in self.tracking_queue.take_tracked():
            self.ledger.append(lambda at_ms, number=number: TrialTracked(at_ms, number))  # type: ignore[misc]
            crash_point("tracked-recorded")
            remove_checkpoints(self.state.trials[number], self.ledger.folder)

    def _budget_use(self) -> BudgetUse:
        return BudgetUse.of(self.plan.budget, self.state, self.ledger.now_ms())

    def _view(self) -> SweepView:
        use, now_ms = self._budget_use(), self.ledger.now_ms()
        elapsed_s = self.state.elapsed_s(now_ms)
        return SweepView(
            name=self.ledger.created.name,
            metric=self.plan.metric,
            running=tuple(self.state.trials[number] for number in sorted(self.runner.running)),
            counts=self.state.counts,
            best=self.state.best(self.plan.direction),
            budget=str(use),
            elapsed_s=elapsed_s,
            remaining_s=elapsed_s * (1 - use.share) / use.share if use.share > 0 else None,
            now_ms=now_ms,
            is_stopping=self.is_stopping,
            engine_share=EngineShare.of(self.state.trials),
        )
