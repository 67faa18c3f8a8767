"""Ledgers and locks of the project's sweeps."""

from collections.abc import Iterator
from pathlib import Path

from rich.filesize import decimal

from core.errors import LedgerError
from search.ledger.ledger import LEDGER_NAME, LOCK_NAME, read_ledger
from search.ledger.locks import look_at_lock
from search.ledger.trial import TrialState
from search.sweep.disk_use import artifact_folder, measure_disk
from search.upkeep.machine_checks import Finding, Level, Subject


def check_sweeps(subject: Subject) -> Iterator[Finding]:
    """Read every ledger, and look at every lock."""
    folders = subject.sweep_folders
    if not folders:
        yield Finding(Level.OK, "sweeps", "none yet")
    for folder in folders:
        yield from _check_sweep(subject, folder)


def _check_sweep(subject: Subject, folder: Path) -> Iterator[Finding]:
    name = subject.name_of(folder)
    lock = look_at_lock(folder / LOCK_NAME)
    if lock.is_of_dead_process:
        text = f"{name} is locked by {lock.holder}, which is gone; something that it started holds the lock still"
        yield Finding(Level.PROBLEM, "locks", text, f"`fuser {folder / LOCK_NAME}` names it: end it")
    try:
        state = read_ledger(folder)
    except LedgerError as error:
        yield Finding(Level.PROBLEM, "ledgers", str(error))
        return
    n_final = sum(trial.state.is_final for trial in state.trials.values())
    artifacts = artifact_folder(subject.store, folder.name) if "/" not in name else None
    takes = decimal(measure_disk(folder, artifacts).total_bytes)
    text = f"{name}: {n_final} of {len(state.trials)} trials have ended, {takes}"
    if lock.is_held:
        yield Finding(Level.OK, "sweeps", f"{text}; running, by {lock.holder}")
        return
    torn = _torn_bytes(folder / LEDGER_NAME)
    if torn:
        what = f"{name}: the last line of its ledger is torn ({torn} bytes); nobody acted on it"
        yield Finding(Level.NOTE, "ledgers", what, "the next launch cuts it off")
    if state.launches and state.closed is None:
        n_running = state.count(TrialState.RUNNING)
        what = f"{text}; its driver was killed ({lock.holder or 'not named'}), {n_running} trials can go on"
        mend = "launch it again, or `whosehand reconcile` closes its records as they are"
        yield Finding(Level.NOTE, "sweeps", what, mend)
    else:
        status = state.closed.status if state.closed else "not begun"
        yield Finding(Level.OK, "sweeps", f"{text}; {status}")


def _torn_bytes(path: Path) -> int:
    content = path.read_bytes()
    return len(content) - (content.rfind(b"\n") + 1)
