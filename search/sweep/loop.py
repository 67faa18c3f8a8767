"""The loop: keeps the workers busy with what the engine proposes, and the ledger ahead of
everything that follows.
"""

import os
import socket
import time
from collections import Counter
from collections.abc import Callable

from core.crash_points import crash_point
from core.errors import EngineError
from core.wording import counted
from search.engines.base import Continue, Engine, Exhausted, Start, Wait
from search.executors.base import Executor, WorkerReported
from search.executors.machine import ActiveTimeClock
from search.ledger.events import Launched, Slept, SweepClosed, SweepStatus, TrialContinued, TrialProposed, TrialTracked
from search.ledger.ledger import Ledger
from search.ledger.trial import TrialState
from search.sweep.attempts import RunningSweep, start_segment, take_message, take_up
from search.sweep.commands import settle_budget, take_commands
from search.sweep.control import ControlFile, stop_signals
from search.sweep.disk import DiskSpaceGuard
from search.sweep.engine_thread import EngineThread, SerialCalls, SerialExecutor
from search.sweep.plan import SweepOutcome, SweepPlan, limits_of, remove_checkpoints, trial_rng_seed
from search.sweep.progress import Progress, SilentProgress
from search.sweep.tracking_queue import NoTracker, Tracker, TrackingQueue

_POLL_S = 0.5
_SHOW_S = 0.25
_URGENT_DRAIN_S = 3.0


def run_sweep(
    ledger: Ledger,
    plan: SweepPlan,
    engine: Engine,
    executor: Executor,
    tracker: Tracker | None = None,
    progress: Progress | None = None,
    open_thread: Callable[[str], SerialCalls] = SerialExecutor,
) -> SweepOutcome:
    """Launch a sweep, or go on with it, until its budget is used up or the user stops it.

    Trials that the ledger knows as running go on first, from their last intact checkpoint. Budgets
    hold over all launches together; when one is reached, running trials are finished. The first
    Ctrl-C (or SIGTERM) lets running epochs finish, the second ends the workers at once; either way
    the sweep can go on later, and nothing that the ledger has is done twice. Each report is judged,
    written to the ledger, answered, then tracked.

    Args:
        ledger: open; stays open.
        plan: of the experiment.
        engine: fresh; it is restored from the ledger.
        executor: open; its workers are ended, and it is closed, when this returns.
        tracker: such as MLflow's.
        progress: what the user sees.
        open_thread: gives what engine and tracker are called in; a simulation gives its own.

    Raises:
        EngineError: if the engine fails, or breaks its protocol. The ledger is whole.
        LedgerError: if the ledger cannot be written.
        ExecutorError: if no worker can be started.
        TrackingError: if the tracker cannot even begin.
    """
    sweep = _open(ledger, plan, engine, executor, tracker or NoTracker(), progress or SilentProgress(), open_thread)
    try:
        _launch(sweep)
        with sweep.progress, stop_signals(executor.wake) as sweep.stop:
            ledger.wait_for_room = lambda error: _wait_for_room(sweep, error)
            _take_up_trials(sweep)
            while _turn(sweep):
                pass
            return _close(sweep)
    except BaseException as error:
        _close_after(sweep, error)
        raise
    finally:
        executor.close()
        sweep.engine.close()
        sweep.tracking.close()


# The beginning of a launch.


def _open(
    ledger: Ledger,
    plan: SweepPlan,
    engine: Engine,
    executor: Executor,
    tracker: Tracker,
    progress: Progress,
    open_thread: Callable[[str], SerialCalls],
) -> RunningSweep:
    return RunningSweep(
        plan,
        ledger,
        executor,
        EngineThread(engine, executor.wake, open_thread=open_thread),
        TrackingQueue(tracker, progress.say, executor.wake, open_thread=open_thread),
        DiskSpaceGuard(ledger.folder, plan.min_free_bytes, progress.say),
        progress,
        ControlFile(ledger.folder),
        ActiveTimeClock(ledger.clock),
    )


def _launch(sweep: RunningSweep) -> None:
    ledger, executor = sweep.ledger, sweep.executor
    sweep.engine.restore(tuple(sweep.state.history))
    host, pid, n_workers = socket.gethostname(), os.getpid(), executor.n_workers
    file_limits = limits_of(sweep.plan.budget)
    ledger.append(Launched, host, pid, n_workers, executor.threads, sweep.plan.precision, file_limits)
    crash_point("launch-recorded")
    sweep.tracking.start_sweep(ledger.created, sweep.state)
    crash_point("sweep-tracked")


def _take_up_trials(sweep: RunningSweep) -> None:
    ledger, executor, say = sweep.ledger, sweep.executor, sweep.progress.say
    say(f"workers: {executor.n_workers}, threads of each: {executor.threads}, precision: {sweep.plan.precision}")
    if ledger.taken_over_from:
        say(f"The last driver, {ledger.taken_over_from}, died; its lock is taken over.")
    if ledger.trimmed_bytes:
        say(f"The ledger's last line was torn by a crash; {ledger.trimmed_bytes} bytes cut off.")
    settle_budget(sweep)
    trials = list(sweep.state.trials.values())
    for trial in trials:
        if not trial.is_tracked:
            sweep.tracking.replay(trial)
        else:
            remove_checkpoints(trial, ledger.folder)  # a crash may have come before it
            if trial.is_annotated:
                sweep.tracking.annotate(trial)  # MLflow may have been away when they were set
    for trial in trials:
        if trial.state is TrialState.RUNNING:
            take_up(sweep, trial)
    if trials:
        say(f"Going on with a sweep of {counted(len(trials), 'trial')}, {len(sweep.to_resume)} of them unfinished.")


# One turn.


def _turn(sweep: RunningSweep) -> bool:
    """Do what can be done, then wait for news; False when nothing more is to come."""
    if sweep.stop.is_urgent:
        return False
    take_commands(sweep)
    _heed_stop(sweep)
    _take_proposal(sweep)
    is_paused = _has_work(sweep) and not sweep.disk.is_open()
    if not is_paused:
        _start_work(sweep)
    is_paused = _lacks_workers(sweep) or is_paused
    if not sweep.running and (sweep.is_stopping or not (is_paused or sweep.engine.is_asking)):
        return False
    if sweep.running or not is_paused:
        _note_sleep(sweep)
    for message in sweep.executor.poll(_POLL_S):
        trial = take_message(sweep, message)
        if isinstance(message, WorkerReported) and trial.state is TrialState.RUNNING:
            sweep.progress.epoch_ended(sweep.view(), trial)
        elif trial.state is not TrialState.RUNNING:
            sweep.progress.trial_ended(sweep.view(), trial)
    _mark_tracked(sweep)
    for number in sweep.tracking.take_overdue():
        sweep.tracking.replay(sweep.state.trials[number])
    if time.monotonic() - sweep.shown_at_s >= _SHOW_S:
        sweep.shown_at_s = time.monotonic()
        sweep.progress.show(sweep.view())
    return True


def _heed_stop(sweep: RunningSweep) -> None:
    if sweep.is_stopping or not (sweep.stop.is_made or sweep.why_giving_up):
        return
    sweep.is_stopping = True
    if sweep.stop.is_made:
        sweep.progress.say("Stopping when the running epochs are done; Ctrl-C again stops at once.")
    else:
        sweep.progress.say(f"Giving up: {sweep.why_giving_up}")


def _has_work(sweep: RunningSweep) -> bool:
    may_resume = bool(sweep.to_resume) and not sweep.budget.is_late
    return not sweep.is_stopping and (may_resume or _may_ask(sweep))


def _lacks_workers(sweep: RunningSweep) -> bool:
    """Whether there is work and no worker at all, which the user is told."""
    there_is_none = sweep.executor.n_workers == 0
    is_lacking = there_is_none and not sweep.is_stopping and (bool(sweep.to_resume) or _wants_trial(sweep))
    if is_lacking and not sweep.is_without_workers:
        sweep.is_without_workers = True
        sweep.progress.say(
            "No worker is there. The sweep waits, and nothing is lost; it goes on by itself when a node joins. Ctrl-C "
            "ends it, resumable."
        )
    elif sweep.is_without_workers and not there_is_none:
        sweep.is_without_workers = False
        sweep.progress.say(f"Workers are there: {sweep.executor.n_workers}. Going on.")
    return is_lacking


def _start_work(sweep: RunningSweep) -> None:
    while sweep.to_resume and sweep.has_free_worker and not (sweep.is_stopping or sweep.budget.is_late):
        start_segment(sweep, sweep.to_resume.popleft())
    if _may_ask(sweep):
        sweep.version_at_ask = sweep.state_version
        sweep.asked_point = sweep.state.enqueued[0] if _may_take_up_point(sweep) else None
        sweep.engine.ask(len(sweep.state.trials), sweep.asked_point)


def _may_ask(sweep: RunningSweep) -> bool:
    if sweep.is_stopping or sweep.engine.is_asking or sweep.to_resume or not sweep.has_free_worker:
        return False
    return _wants_trial(sweep)


def _wants_trial(sweep: RunningSweep) -> bool:
    """Whether another trial would start, or go on, if a worker were free."""
    if sweep.budget.is_work_used:
        return False
    if _may_take_up_point(sweep):
        return True
    if sweep.is_exhausted or sweep.version_at_wait == sweep.state_version:
        return False
    # Beyond the limit on trials an engine is only asked for what it has paused.
    return not sweep.budget.are_trials_used or sweep.state.count(TrialState.PAUSED) > 0


def _may_take_up_point(sweep: RunningSweep) -> bool:
    return bool(sweep.state.enqueued) and not sweep.budget.are_trials_used


def _note_sleep(sweep: RunningSweep) -> None:
    """Take down a laptop's sleep, a SIGSTOP or a pause for want of room, so that no budget of time
    counts it.
    """
    slept_s = sweep.clock.turn()
    if slept_s:
        sweep.ledger.append(Slept, slept_s)


def _wait_for_room(sweep: RunningSweep, error: OSError) -> bool:
    """Hold the sweep while the ledger's own disk is full."""
    sweep.disk.shut(f"the ledger: {error.strerror}")
    while not sweep.disk.is_open() and not sweep.stop.is_made:
        sweep.progress.show(sweep.view())
        time.sleep(_POLL_S)
    return not sweep.stop.is_made


def _mark_tracked(sweep: RunningSweep) -> None:
    for number in sweep.tracking.take_tracked():
        sweep.ledger.append(TrialTracked, number)
        crash_point("tracked-recorded")
        remove_checkpoints(sweep.state.trials[number], sweep.ledger.folder)


# Proposals.


def _take_proposal(sweep: RunningSweep) -> None:
    if not sweep.has_free_worker and not sweep.is_stopping:
        return  # a node may have left since the ask
    proposal = sweep.engine.take_proposal()
    if proposal is None or sweep.is_stopping:
        return
    crash_point("proposal-made")
    match proposal:
        case Start() if not sweep.budget.are_trials_used:
            _propose(sweep, proposal)
        case Start() | Wait():
            # A Start beyond the budget is in no ledger, so the next launch asks for the same number
            # again.
            _wait(sweep, proposal)
        case Continue():
            _continue(sweep, proposal)
        case Exhausted():
            sweep.is_exhausted = True


def _wait(sweep: RunningSweep, proposal: Start | Wait) -> None:
    """Ask no more before something new happened since the ask."""
    sweep.version_at_wait = sweep.version_at_ask
    is_idle = not sweep.running and not sweep.to_resume  # its worker may have been lost since the ask
    if isinstance(proposal, Wait) and is_idle and sweep.version_at_ask == sweep.state_version:
        raise EngineError("An engine may answer Wait only while a trial is running, but none is.")


def _propose(sweep: RunningSweep, proposal: Start) -> None:
    plan, number, until_epoch = sweep.plan, len(sweep.state.trials), proposal.until_epoch
    _check_until(plan, number, 0, until_epoch)
    hyperparameters, seed = plan.complete(proposal.point), trial_rng_seed(plan.seed, number)
    ask_s = sweep.engine.take_ask_s()
    epochs, is_enqueued = (until_epoch, plan.horizon_epochs), sweep.asked_point is not None
    sweep.ledger.append(TrialProposed, number, proposal.point, hyperparameters, seed, *epochs, ask_s, is_enqueued)
    crash_point("proposal-recorded")
    start_segment(sweep, number)


def _continue(sweep: RunningSweep, proposal: Continue) -> None:
    trial = sweep.state.trials.get(proposal.number)
    if trial is None or trial.state is not TrialState.PAUSED:
        state = "unknown" if trial is None else trial.state.value
        raise EngineError(f"Only a paused trial can go on, but trial {proposal.number} is {state}.")
    _check_until(sweep.plan, trial.number, trial.n_epochs, proposal.until_epoch)
    sweep.ledger.append(TrialContinued, proposal.number, proposal.until_epoch, sweep.engine.take_ask_s())
    crash_point("continuation-recorded")
    start_segment(sweep, proposal.number)


def _check_until(plan: SweepPlan, number: int, n_epochs: int, until_epoch: int | None) -> None:
    if until_epoch is not None and not n_epochs < until_epoch <= plan.horizon_epochs:
        raise EngineError(
            f"`epochs done < until_epoch <= horizon` must hold, but trial {number} has {n_epochs} epochs done and "
            f"got {until_epoch=} with a horizon of {plan.horizon_epochs}."
        )


# The end of a launch.


def _close(sweep: RunningSweep) -> SweepOutcome:
    sweep.executor.close()
    status, reason = _status(sweep)
    _tell_untracked_again(sweep)
    closed = sweep.ledger.append(SweepClosed, status, reason)
    crash_point("close-recorded")
    _record_end(sweep, closed)
    crash_point("sweep-run-closed")
    sweep.progress.show(sweep.view())
    sweep.progress.say(f"{sweep.plan.title} {status}: {reason.rstrip('.')}.")
    if status != "completed":
        sweep.progress.say(sweep.plan.resume_hint)
    counts = Counter(trial.state for trial in sweep.state.trials.values())
    best, use = sweep.state.best(sweep.plan.direction), sweep.budget
    left_s = use.whole_left_s if use.limits.includes == "promotion" else None
    return SweepOutcome(status, reason, best, counts, left_s)


def _status(sweep: RunningSweep) -> tuple[SweepStatus, str]:
    if sweep.stop.is_made:
        unfinished = sweep.state.count(TrialState.RUNNING)
        going_on = f"; {counted(unfinished, 'unfinished trial')} can go on" if unfinished else ""
        return "interrupted", f"stopped by the user{going_on}"
    if sweep.why_giving_up:
        return "failed", sweep.why_giving_up
    if sweep.is_exhausted:
        return "completed", "the engine has nothing more to try"
    n_unfinished = sweep.state.count(TrialState.RUNNING)
    can_go_on = f"; {counted(n_unfinished, 'unfinished trial')} can go on" if n_unfinished else ""
    return "completed", f"the budget is used up ({sweep.budget.at_end}){can_go_on}"


def _tell_untracked_again(sweep: RunningSweep) -> None:
    """Let the tracker record what it has still to record, and once more what it could not."""
    _drain(sweep)
    _mark_tracked(sweep)
    untracked = [trial for trial in sweep.state.trials.values() if trial.state.is_final and not trial.is_tracked]
    if untracked and not sweep.stop.is_urgent:
        sweep.tracking.try_again_at_once()
        for trial in untracked:
            sweep.tracking.replay(trial)
        _drain(sweep)
        _mark_tracked(sweep)


def _record_end(sweep: RunningSweep, closed: SweepClosed) -> None:
    sweep.tracking.end_sweep(closed, sweep.state)
    _drain(sweep)
    _mark_tracked(sweep)


def _drain(sweep: RunningSweep) -> None:
    """Wait for the tracker; when the user is in a hurry, for seconds only."""
    started_s = time.monotonic()
    sweep.tracking.drain(lambda: sweep.stop.is_urgent and time.monotonic() - started_s > _URGENT_DRAIN_S)


def _close_after(sweep: RunningSweep, error: BaseException) -> None:
    """Leave ledger and record in order when a launch ends by an exception; what fails now becomes a
    note to it.
    """
    sweep.executor.close()
    sweep.stop.urgency = 2
    status: SweepStatus = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    reason = f"{type(error).__name__}: {error}".split("\n", 1)[0]
    try:
        _record_end(sweep, sweep.ledger.append(SweepClosed, status, reason))
    except Exception as second:
        error.add_note(f"Then the sweep could not be closed in order: {second}")
