"""Finds a sweep by its name, and reads what its ledger says, without holding it: it may be running.

A changed experiment as a sweep of its own, beside the one that it was changed from.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from core.errors import ConfigError, LedgerError
from core.mistakes import explain
from search.experiment.changes import as_begun, differences
from search.experiment.experiment import Experiment
from search.experiment.settings import TrackingSettings
from search.experiment.workspace import Workspace
from search.ledger.events import SweepCreated
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.state import SweepState
from search.sweep.own_code import with_code


@dataclass(frozen=True)
class KnownSweep:
    """A sweep as its ledger has it.

    Attributes:
        folder: the sweep's.
        created: the ledger's first event.
        state: all events so far.
        experiment: as the sweep was first launched.
    """

    folder: Path
    created: SweepCreated
    state: SweepState
    experiment: Experiment


def find_sweep(name: str, workspace: Workspace) -> Path:
    """The folder of a sweep.

    Raises:
        LedgerError: if there is no such sweep; the message names those that there are.
    """
    folder = workspace.sweep(name)
    if not (folder / LEDGER_NAME).exists():
        known = sorted(path.parent.name for path in folder.parent.glob(f"*/{LEDGER_NAME}"))
        there = f"there are {', '.join(known)}" if known else "`whosehand sweep EXPERIMENT` makes one"
        raise LedgerError(f"No sweep is called {name!r} in {folder.parent}: {there}.")
    return folder


def read_sweep(name: str, workspace: Workspace) -> KnownSweep:
    """Read a sweep's ledger.

    Raises:
        LedgerError: if there is no such sweep (the message names those that there are), or it has
            not begun.
    """
    folder = find_sweep(name, workspace)
    state = read_ledger(folder)
    if state.created is None:
        raise LedgerError(f"The sweep {name!r} has not begun yet: {folder / LEDGER_NAME} is empty.")
    try:
        experiment = Experiment.of_ledger(state.created.config)
    except ValidationError as error:
        wrong = "; ".join(explain(error, Experiment, state.created.config).values())
        raise LedgerError(
            f"The sweep {name!r} was begun with settings that this version of whosehand refuses: {wrong}."
        ) from error
    return KnownSweep(folder, state.created, state, experiment)


def project_tracking(workspace: Workspace, uri: str | None = None) -> TrackingSettings:
    """Where a project is tracked, for commands that name no sweep.

    Args:
        workspace: of the project.
        uri: as in `tracking.uri`, where the user names one. Without it the sweep counts whose
            ledger changed last, and in a project without sweeps the default.
    """
    if uri is not None:
        return TrackingSettings(uri=uri)
    ledgers = workspace.sweep("any").parent.glob(f"*/{LEDGER_NAME}")
    for ledger in sorted(ledgers, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        with ledger.open("rb") as file, suppress(ValueError, KeyError, TypeError):
            # Its first line alone: a ledger grows long, and one that is damaged is no reason to ask
            # nothing.
            return TrackingSettings.model_validate(json.loads(file.readline())["config"]["tracking"])
    return TrackingSettings()


def forked(experiment: Experiment, name: str, workspace: Workspace) -> Experiment:
    """Give a changed experiment another name, under which its sweep begins anew.

    No trial of the old sweep is taken over: what has changed decides scores, so that the old ones
    would not mean the same. Its best points can be tried first by `space.enqueue`. What was changed
    stands in the description, which is part of the new sweep's record.

    Args:
        experiment: as the file is now.
        name: of the new sweep; the same command goes on with it later.
        workspace: holds the old sweep.

    Raises:
        ConfigError: if the name is not one.
        LedgerError: if there is no old sweep, or nothing has changed that keeps it from going on.
    """
    old = read_sweep(experiment.name, workspace)
    changed = as_begun(with_code(experiment, workspace.root)[0], old.created.config)
    changes = differences(old.created.config, changed)
    if not changes:
        raise LedgerError(
            f"A fork is for an experiment that has changed, but nothing that decides a score has changed since "
            f"{experiment.name!r} was begun. Leave --fork out to go on with it."
        )
    if name == experiment.name:
        raise ConfigError(f"A fork needs a name of its own, but got {name!r}, which is the sweep that it comes from.")
    origin = f"Forked from {experiment.name} ({old.created.sweep_id}): {'; '.join(changes)}"
    description = f"{experiment.description} {origin}".strip()
    try:
        # Validated again, because the name has a pattern.
        fork = experiment.model_copy(update={"name": name, "description": description})
        Experiment.model_validate_json(fork.model_dump_json(), strict=True)
    except ValidationError as error:
        raise ConfigError(
            f"A sweep's name has small letters, digits, `-` and `_`, 60 at most, but --fork got {name!r}."
        ) from error
    return fork
