"""What the loop must know of an experiment, and what it gives back.

How much of a sweep's budget is used.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from core.space import Point
from search.experiment.settings import BudgetSettings
from search.ledger.events import BudgetLimits, SweepStatus
from search.ledger.files import remove
from search.ledger.state import SweepState, TrialRecord
from search.ledger.trial import CHECKPOINT_FOLDER, TrialState


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
        complete: makes all hyperparameters of a proposed point: its values, the fixed ones, the
            defaults.
        max_attempts: so many lost workers make a trial count as failed.
        min_free_bytes: of the disk; with less, nothing starts.
        max_failures_in_a_row: failed trials of one kind, one after the other, that end a launch.
        resume_hint: told to a user whose sweep stopped before its end.
        title: what it is called in messages, `Sweep` or `Refit`.
        fixed: names of hyperparameters that all trials have alike; not shown.
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
    fixed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SweepOutcome:
    """How a launch ended.

    Attributes:
        status: `completed` if the budget is used up or the engine has nothing more; `interrupted`
            by the user; `failed` if too many trials in a row failed alike.
        reason: one line.
        best: the best completed trial of the whole sweep.
        n_by_state: trials of the whole sweep.
    """

    status: SweepStatus
    reason: str
    best: TrialRecord | None
    n_by_state: Counter[TrialState]


def trial_rng_seed(sweep_seed: int, number: int) -> int:
    """Derive a trial's own seed, 0 to 2**31 - 1, from the sweep's seed and the trial's number."""
    import numpy as np  # only here: `whosehand status` needs it not, and it takes a tenth of a second

    return int(np.random.SeedSequence([sweep_seed, number]).generate_state(1)[0]) & 0x7FFFFFFF


def trial_dir(sweep_folder: Path, number: int) -> Path:
    """Where the attempts of a trial write."""
    return sweep_folder / "trials" / str(number)


def attempt_dir(sweep_folder: Path, number: int, attempt: int) -> Path:
    """Where an attempt writes. No two attempts share a folder, so a dying worker cannot spoil a
    later one's files.

    Where a driver died between the start of a worker and writing it down, its folder is there and
    the attempt is not.
    """
    folder, n_before = trial_dir(sweep_folder, number) / f"attempt-{attempt}", 0
    while folder.exists():
        n_before += 1
        folder = folder.with_name(f"attempt-{attempt}-again-{n_before}")
    return folder


def remove_checkpoints(trial: TrialRecord, sweep_folder: Path) -> None:
    """Delete all checkpoints of an ended trial: it never goes on, and they are four times the size
    of its network.

    Those of epochs that were never reported, because their worker died before it could, are among
    them.
    """
    for _, checkpoint in trial.checkpoints:
        remove(checkpoint)
    for folder in trial_dir(sweep_folder, trial.number).glob(f"attempt-*/{CHECKPOINT_FOLDER}"):
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class BudgetUse:
    """A budget and what a sweep has used of it, over all its launches.

    When a limit is reached no new trial starts; those that are running are finished. Under a limit
    on trials alone, paused trials may still go on, for they were counted when they started.
    """

    limits: BudgetSettings
    n_trials: int
    minutes: float
    n_patches: int
    trials_done: float

    @classmethod
    def of(cls, limits: BudgetSettings, state: SweepState, now_ms: int) -> "BudgetUse":
        """Measure a sweep; a running or paused trial counts in `trials_done` by its share of
        epochs.
        """
        return cls(
            limits=limits,
            n_trials=len(state.trials),
            minutes=state.elapsed_s(now_ms) / 60,
            n_patches=state.n_patches,
            trials_done=_trials_done(state) if limits.trials else 0.0,
        )

    @property
    def are_trials_used(self) -> bool:
        """Whether no new trial may start by the limit on trials."""
        return self.limits.trials is not None and self.n_trials >= self.limits.trials

    @property
    def is_work_used(self) -> bool:
        """Whether nothing may start by the limits on time or patches."""
        out_of_time = self.limits.minutes is not None and self.minutes >= self.limits.minutes
        return out_of_time or (self.limits.patches is not None and self.n_patches >= self.limits.patches)

    @property
    def share(self) -> float:
        """The share used of the limit that is nearest, 0 to 1."""
        shares = [
            used / limit
            for used, limit in (
                (self.trials_done, self.limits.trials),
                (self.minutes, self.limits.minutes),
                (self.n_patches, self.limits.patches),
            )
            if limit is not None
        ]
        return min(1.0, max(shares, default=0.0))

    def __str__(self) -> str:
        """Name each limit with what is used of it, such as `12 of 40 trials, 3.5 of 30 minutes`."""
        parts = []
        if self.limits.trials is not None:
            parts.append(f"{self.n_trials} of {limit_in_words(self.limits.trials, 'trials')}")
        if self.limits.minutes is not None:
            parts.append(f"{self.minutes:.1f} of {limit_in_words(self.limits.minutes, 'minutes')}")
        if self.limits.patches is not None:
            parts.append(f"{self.n_patches:,} of {limit_in_words(self.limits.patches, 'patches')}")
        return ", ".join(parts)


def limit_in_words(limit: float, name: str) -> str:
    """A limit with its noun.

    >>> limit_in_words(1, "trials"), limit_in_words(2_500_000, "patches")
    ('1 trial', '2,500,000 patches')
    """
    noun = {"trials": "trial", "minutes": "minute", "patches": "patch"}[name] if limit == 1 else name
    return f"{limit:,.10g} {noun}"


def limits_of(budget: BudgetSettings) -> BudgetLimits:
    """A file's budget in the ledger's words."""
    return BudgetLimits(budget.trials, budget.minutes, budget.patches)


def budget_in_force(state: SweepState, file_budget: BudgetSettings) -> BudgetSettings:
    """The budget that holds: what the user set from another terminal, until the file's value
    changes.
    """
    changed = state.budget_changed
    if changed is None or changed.file_limits != limits_of(file_budget):
        return file_budget
    return BudgetSettings(**asdict(changed.limits))


def budget_by_ledger(state: SweepState, first_budget: BudgetSettings) -> BudgetSettings:
    """The budget that holds, for who has not the experiment as it was launched last.

    Args:
        state: of the sweep.
        first_budget: of the experiment with which the sweep was created, which is what holds where
            a ledger of version 0.1 does not say more.
    """
    limits = state.launches[-1].file_limits if state.launches else None
    return budget_in_force(state, first_budget if limits is None else BudgetSettings(**asdict(limits)))


def _trials_done(state: SweepState) -> float:
    unfinished = [state.trials[number] for number in state.unfinished]
    shares = sum(trial.n_epochs / trial.proposed.horizon_epochs for trial in unfinished)
    return len(state.trials) - len(unfinished) + shares
