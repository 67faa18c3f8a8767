"""Reaches a sweep from another terminal: stop it or a trial, change its budget, enqueue a point.

A running sweep follows within a second, and this waits for its answer; what is asked of a sweep
that does not run waits in its control file for the next launch.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.errors import ConfigError, LedgerError
from core.mistakes import explain
from core.space import Point, Value
from search.experiment.experiment import Experiment
from search.experiment.settings import read_time
from search.experiment.workspace import Workspace
from search.ledger.ledger import LEDGER_NAME
from search.ledger.lock import LOCK_NAME, look_at_lock
from search.ledger.trial import TrialState
from search.sweep.control import BudgetCommand, Command, EnqueueCommand, StopCommand, new_command, send_command
from search.sweep.known_sweeps import KnownSweep, read_sweep

_RULES = {
    "until": "must be a time such as 18:00 or 2027-03-01T18:00, or none",
    "includes": "must be search or promotion",
}
_PATIENCE_S = 10.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Answer:
    """What became of a command.

    Attributes:
        is_followed: whether the driver took it; False while it waits.
        reason: why it was refused; empty unless it was.
    """

    is_followed: bool
    reason: str = ""


def stop_sweep(
    name: str, workspace: Workspace, trial: int | None = None, is_urgent: bool = False, patience_s: float = _PATIENCE_S
) -> Answer:
    """Stop a running sweep as Ctrl-C does, or one of its trials for good.

    Args:
        name: of the sweep.
        workspace: where.
        trial: number of the trial, which counts as pruned then; `None` for the sweep, which can go
            on later.
        is_urgent: at once; else when the running epoch is done.
        patience_s: how long to wait for the driver's answer.

    Raises:
        LedgerError: if there is no such sweep, it does not run, or the trial does not.
    """
    sweep = read_sweep(name, workspace)
    if not is_running(sweep.folder):
        raise LedgerError(f"Only a running sweep can be stopped, but nobody is on {name!r}.")
    if trial is not None:
        state = sweep.state.trials[trial].state if trial in sweep.state.trials else None
        if state is not TrialState.RUNNING:
            running = [number for number in sorted(sweep.state.unfinished) if _is_running(sweep, number)]
            there = f"running are {', '.join(map(str, running))}" if running else "none is running"
            raise LedgerError(
                f"Only a running trial can be stopped, but trial {trial} of {name!r} is {state or 'not there'}; "
                f"{there}."
            )
    command_id, at_ms = new_command()
    return send_and_wait(sweep, StopCommand(command_id, at_ms, trial, is_urgent), patience_s)


def change_budget(
    name: str, workspace: Workspace, changes: Mapping[str, str], patience_s: float = _PATIENCE_S
) -> Answer:
    """Change limits of a sweep's budget.

    Args:
        name: of the sweep.
        workspace: where.
        changes: by `trials`, `minutes` or `patches`: a number, one with + or - before it to change
            the limit by so much, or `none`; by `until`: a time, or `none`; by `includes`.
        patience_s: how long to wait for the driver's answer.

    Raises:
        LedgerError: if there is no such sweep.
        ConfigError: if there is no such limit, or it is no number.
    """
    for limit, text in changes.items():
        _check_limit(limit, text)
    command_id, at_ms = new_command()
    return send_and_wait(read_sweep(name, workspace), BudgetCommand(command_id, at_ms, dict(changes)), patience_s)


def enqueue_point(
    name: str, workspace: Workspace, values: Mapping[str, Value], patience_s: float = _PATIENCE_S
) -> tuple[Point, Answer]:
    """Let a sweep try a point next.

    Args:
        name: of the sweep.
        workspace: where.
        values: some hyperparameters; the others have their fixed value or their default.
        patience_s: how long to wait for the driver's answer.

    Returns:
        The point as it will be tried, and the answer.

    Raises:
        LedgerError: if there is no such sweep.
        ConfigError: if a name or a value is not possible.
    """
    sweep = read_sweep(name, workspace)
    plain = sweep.experiment.snapshot()
    plain["space"]["enqueue"] = [dict(values)]
    try:
        experiment = Experiment.model_validate_json(json.dumps(plain), strict=True)
    except ValidationError as error:
        raise ConfigError("; ".join(explain(error, Experiment, plain).values())) from error
    point = experiment.space.enqueued_points(experiment.complete)[0]
    command_id, at_ms = new_command()
    return point, send_and_wait(sweep, EnqueueCommand(command_id, at_ms, point), patience_s)


def send_and_wait(sweep: KnownSweep, command: Command, patience_s: float = _PATIENCE_S) -> Answer:
    """Give a command, and wait for the driver's answer while there is a driver."""
    send_command(sweep.folder, command)
    ends_s = time.monotonic() + patience_s
    while time.monotonic() < ends_s and is_running(sweep.folder):
        event = _event_of(sweep.folder / LEDGER_NAME, command.command_id)
        if event is not None:
            return Answer(event["kind"] != "command refused", event.get("reason", ""))
        time.sleep(_LOOK_EVERY_S)
    event = _event_of(sweep.folder / LEDGER_NAME, command.command_id)  # the sweep may have ended by it
    return Answer(event is not None)


def is_running(folder: Path) -> bool:
    """Whether a driver is on a sweep."""
    return look_at_lock(folder / LOCK_NAME).is_held


def _is_running(sweep: KnownSweep, number: int) -> bool:
    return sweep.state.trials[number].state is TrialState.RUNNING


def _check_limit(limit: str, text: str) -> None:
    if limit not in ("trials", "minutes", "patches", "until", "includes"):
        raise ConfigError(f"A budget has trials, minutes, patches, until and includes, but got {limit!r}.")
    try:
        if limit == "until" and text != "none":
            read_time(text)
        if limit == "includes" and text not in ("search", "promotion"):
            raise ValueError
        if limit in ("until", "includes"):
            return
        if text != "none":
            float(text) if limit == "minutes" else int(text)
    except ValueError:
        rule = _RULES.get(limit, "must be a number, one with + or - before it, or none")
        raise ConfigError(f"{limit} {rule}, but got {text!r}.") from None


def _event_of(ledger: Path, command_id: str) -> dict[str, Any] | None:
    """The event by which the driver took a command; it is near the ledger's end."""
    with ledger.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - 1_000_000))
        for line in reversed(file.read().splitlines()):
            if command_id.encode() in line:
                event: dict[str, Any] = json.loads(line)
                return event
    return None
