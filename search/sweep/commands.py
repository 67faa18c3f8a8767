"""What a driver does with commands from other terminals: each becomes an event of the ledger, then
has its effect.
"""

from dataclasses import asdict, replace

from core.crash_points import crash_point
from core.errors import ConfigError, WhosehandError
from search.experiment.settings import BudgetSettings
from search.ledger.events import (
    BudgetChanged,
    BudgetLimits,
    CommandRefused,
    PointEnqueued,
    StopRequested,
    TrialAnnotated,
)
from search.ledger.trial import TrialState
from search.sweep.attempts import RunningSweep, stop_trial
from search.sweep.control import AnnotateCommand, BudgetCommand, EnqueueCommand, StopCommand
from search.sweep.deadline import refuse_past
from search.sweep.plan import BudgetUse, budget_in_force, limit_in_words, limits_of
from search.sweep.sweep_view import short_point


class _RefusedError(WhosehandError):
    """A command cannot be followed; the message says why."""


def settle_budget(sweep: RunningSweep) -> None:
    """At a launch: let a changed value of the experiment win over what was set from another
    terminal; when the sweep goes on, say which holds.
    """
    file_limits, changed, say = limits_of(sweep.plan.budget), sweep.state.budget_changed, sweep.progress.say
    if changed is not None and changed.file_limits == file_limits != changed.limits:
        say(
            f"budget: {_words(changed.limits)}, as set by `whosehand budget`; the experiment's ({_words(file_limits)}) "
            "holds again when it is changed."
        )
        return
    earlier = sweep.state.launches[-2].file_limits if len(sweep.state.launches) > 1 else None
    if changed is not None and changed.file_limits != file_limits:
        earlier = changed.limits
        sweep.ledger.append(BudgetChanged, "", file_limits, file_limits)
        crash_point("command-recorded")
    if len(sweep.state.launches) > 1:
        is_new = earlier is not None and earlier != file_limits
        before = f" now; before: {_words(earlier)}" if earlier is not None and is_new else ""
        say(f"budget: {_words(file_limits)}, as the experiment says{before}.")


def take_commands(sweep: RunningSweep) -> None:
    """Follow what the control file says that was not followed yet."""
    for command in sweep.control.read(sweep.progress.say):
        if command.command_id in sweep.state.taken_commands:
            continue
        try:
            match command:
                case StopCommand():
                    _stop(sweep, command)
                case BudgetCommand():
                    _change_budget(sweep, command)
                case EnqueueCommand():
                    _enqueue(sweep, command)
                case AnnotateCommand():
                    _annotate(sweep, command)
        except _RefusedError as error:
            sweep.ledger.append(CommandRefused, command.command_id, str(error))
            crash_point("command-recorded")
            sweep.progress.say(f"The command `{command.command}` was not followed: {error}")


def _stop(sweep: RunningSweep, command: StopCommand) -> None:
    number = command.trial
    if number is None:
        if command.at_ms < sweep.state.launches[-1].at_ms:
            raise _RefusedError("it is older than this launch.")
        sweep.ledger.append(StopRequested, command.command_id, None, command.is_urgent)
        crash_point("command-recorded")
        sweep.stop.urgency = max(sweep.stop.urgency, 2 if command.is_urgent else 1)
        return
    trial = sweep.state.trials.get(number)
    if trial is None or trial.state is not TrialState.RUNNING:
        raise _RefusedError(
            f"trial {number} is {trial.state if trial else 'not there'}; only a running one is stopped."
        )
    sweep.ledger.append(StopRequested, command.command_id, number, command.is_urgent)
    crash_point("command-recorded")
    when = "now" if command.is_urgent else "when its epoch is done"
    sweep.progress.say(f"Trial {number} is stopped {when}, as asked from another terminal.")
    stop_trial(sweep, number, command.is_urgent)
    ended = sweep.state.trials[number]
    if ended.state is not TrialState.RUNNING:
        sweep.progress.trial_ended(sweep.view(), ended)


def _change_budget(sweep: RunningSweep, command: BudgetCommand) -> None:
    limits = limits_of(budget_in_force(sweep.state, sweep.plan.budget))
    use = sweep.budget
    for name, text in command.changes.items():
        limits = _changed(limits, use, name, text)
    try:
        refuse_past(BudgetSettings(**asdict(limits)), sweep.ledger.now_ms())
    except ConfigError as error:
        raise _RefusedError(str(error)) from error
    sweep.ledger.append(BudgetChanged, command.command_id, limits, limits_of(sweep.plan.budget))
    crash_point("command-recorded")
    sweep.state_version += 1  # an engine that was not asked any more may be asked again
    sweep.progress.say(f"budget: {_words(limits)} from now on, as set from another terminal.")


def _changed(limits: BudgetLimits, use: BudgetUse, name: str, text: str) -> BudgetLimits:
    """One limit set, raised or lowered by so much, or taken away."""
    used = {"trials": use.n_trials, "minutes": use.minutes, "patches": use.n_patches}
    if name == "until":
        return replace(limits, until=None if text == "none" else text)
    if name == "includes":
        return replace(limits, includes="promotion" if text == "promotion" else "search")
    if name not in used:
        raise _RefusedError(f"a budget has {', '.join(used)}, until and includes, but got {name!r}.")
    if text == "none":
        return replace(limits, **{name: None})  # type: ignore[arg-type]  # `includes` alone cannot be, see above
    try:
        number = float(text) if name == "minutes" else int(text)
    except ValueError:
        raise _RefusedError(
            f"{name} must be a number, or one with + or - before it, or none, but got {text!r}."
        ) from None
    if text.startswith(("+", "-")):
        before = getattr(limits, name)
        number = round(number + (used[name] if before is None else before), 1)
    number = number if name == "minutes" else int(number)
    return replace(limits, **{name: number})  # type: ignore[arg-type]  # only minutes can be a float, see above


def _enqueue(sweep: RunningSweep, command: EnqueueCommand) -> None:
    try:
        sweep.plan.complete(command.point)
    except WhosehandError as error:
        raise _RefusedError(str(error)) from error
    sweep.ledger.append(PointEnqueued, command.command_id, command.point)
    crash_point("command-recorded")
    sweep.state_version += 1
    shown = short_point({name: value for name, value in command.point.items() if name not in sweep.plan.fixed})
    waits = "when the budget of trials is raised" if sweep.budget.are_trials_used else "next"
    sweep.progress.say(f"Enqueued from another terminal, to be tried {waits}: {shown}")


def _annotate(sweep: RunningSweep, command: AnnotateCommand) -> None:
    if command.trial not in sweep.state.trials:
        raise _RefusedError(f"trial {command.trial} is not there.")
    sweep.ledger.append(TrialAnnotated, command.command_id, command.trial, command.note, command.tags)
    crash_point("command-recorded")
    sweep.tracking.annotate(sweep.state.trials[command.trial])


def _words(limits: BudgetLimits) -> str:
    """The limits that there are, such as `80 trials, 30 minutes, until 18:00`."""
    numbers = {"trials": limits.trials, "minutes": limits.minutes, "patches": limits.patches}
    words = [limit_in_words(value, name) for name, value in numbers.items() if value]
    words += [f"until {limits.until}"] if limits.until else []
    return ", ".join([*words, *(["promotion included"] if limits.includes == "promotion" else [])]) or "none"
