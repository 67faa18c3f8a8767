"""Finds a sweep by its name, and reads what its ledger says, without holding it: it may be running."""

from dataclasses import dataclass
from pathlib import Path

from core.errors import LedgerError
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.ledger.events import SweepCreated
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.state import SweepState


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


def read_sweep(name: str, workspace: Workspace) -> KnownSweep:
    """Read a sweep's ledger.

    Raises:
        LedgerError: if there is no such sweep (the message names those that there are), or it has not begun.
    """
    folder = workspace.sweep(name)
    if not (folder / LEDGER_NAME).exists():
        known = sorted(path.parent.name for path in folder.parent.glob(f"*/{LEDGER_NAME}"))
        there = f"there are {', '.join(known)}" if known else "`whosehand sweep EXPERIMENT` makes one"
        raise LedgerError(f"No sweep is called {name!r} in {folder.parent}: {there}.")
    state = read_ledger(folder)
    if state.created is None:
        raise LedgerError(f"The sweep {name!r} has not begun yet: {folder / LEDGER_NAME} is empty.")
    return KnownSweep(folder, state.created, state, Experiment.model_validate(state.created.config))
