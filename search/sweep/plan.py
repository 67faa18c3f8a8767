"""What the loop must know of an experiment, and what it gives back."""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.space import Point
from search.experiment.settings import BudgetSettings
from search.ledger.files import remove
from search.ledger.state import TrialRecord
from search.ledger.trial import CHECKPOINT_FOLDER, TrialState
from search.sweep.observer import SweepStatus


@dataclass(frozen=True)
class SweepPlan:
    """What the loop must know of an experiment.

    Attributes:
        objective: import path `module:name` of what trains a trial.
        settings: what the objective needs besides; a frozen, picklable dataclass of its own.
        metric: name of the score in the epochs' reports that is searched for.
        direction: whether low or high values are better.
        horizon_epochs: the full length of a trial.
        seed: of the sweep; each trial's own seed derives from it and the trial's number.
        precision: `float32` or `mixed_bfloat16`.
        budget: when no new trial starts any more.
        complete: makes all hyperparameters of a proposed point: its values, the fixed ones, the defaults.
        max_attempts: so many lost workers make a trial count as failed.
        min_free_bytes: of the disk; with less, nothing starts.
        max_failures_in_a_row: failed trials of one kind, one after the other, that end a launch.
        resume_hint: told to a user whose sweep stopped before its end.
        title: what it is called in messages, `Sweep` or `Refit`.
    """

    objective: str
    settings: Any
    metric: str
    direction: Literal["minimize", "maximize"]
    horizon_epochs: int
    seed: int
    precision: str
    budget: BudgetSettings
    complete: Callable[[Point], Point]
    max_attempts: int = 3
    max_failures_in_a_row: int = 5
    min_free_bytes: int = 0
    resume_hint: str = "The same command goes on from here."
    title: str = "Sweep"


@dataclass(frozen=True)
class SweepOutcome:
    """How a launch ended.

    Attributes:
        status: `completed` if the budget is used up or the engine has nothing more; `interrupted` by the user;
            `failed` if too many trials in a row failed alike.
        reason: one line.
        best: the best completed trial of the whole sweep.
        n_by_state: trials of the whole sweep.
    """

    status: SweepStatus
    reason: str
    best: TrialRecord | None
    n_by_state: Counter[TrialState]


def trial_seed(sweep_seed: int, number: int) -> int:
    """Derive a trial's own seed, 0 to 2**31 - 1, from the sweep's seed and the trial's number."""
    return int(np.random.SeedSequence([sweep_seed, number]).generate_state(1)[0]) & 0x7FFFFFFF


def trial_dir(sweep_folder: Path, number: int) -> Path:
    """Where the attempts of a trial write."""
    return sweep_folder / "trials" / str(number)


def attempt_dir(sweep_folder: Path, number: int, attempt: int) -> Path:
    """Where an attempt writes. No two attempts share a folder, so a dying worker cannot spoil a later one's files.

    Where a driver died between the start of a worker and writing it down, its folder is there and the attempt is not.
    """
    folder, n_before = trial_dir(sweep_folder, number) / f"attempt-{attempt}", 0
    while folder.exists():
        n_before += 1
        folder = folder.with_name(f"attempt-{attempt}-again-{n_before}")
    return folder


def remove_checkpoints(trial: TrialRecord, sweep_folder: Path) -> None:
    """Delete all checkpoints of an ended trial: it never goes on, and they are four times the size of its network.

    Those of epochs that were never reported, because their worker died before it could, are among them.
    """
    for _, checkpoint in trial.checkpoints:
        remove(checkpoint)
    for folder in trial_dir(sweep_folder, trial.number).glob(f"attempt-*/{CHECKPOINT_FOLDER}"):
        shutil.rmtree(folder, ignore_errors=True)
