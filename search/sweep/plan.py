"""What the loop must know of an experiment, and what it gives back.

How much of a sweep's budget is used.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from core.space import Point
from search.experiment.settings import BudgetSettings
from search.ledger.events import BudgetLimits, SweepStatus
from search.ledger.files import remove
from search.ledger.state import SweepState, TrialRecord
from search.ledger.trial import CHECKPOINT_FOLDER, TrialState
from search.sweep.deadline import RefitRule, next_time


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
        refit: how long the refit of a promotion will be; `None` where there will be none.
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
    refit: RefitRule | None = None


@dataclass(frozen=True)
class SweepOutcome:
    """How a launch ended.

    Attributes:
        status: `completed` if the budget is used up or the engine has nothing more; `interrupted`
            by the user; `failed` if too many trials in a row failed alike.
        reason: one line.
        best: the best completed trial of the whole sweep.
        n_by_state: trials of the whole sweep.
        promotion_left_s: seconds that the budget leaves for the promotion; `None` where it includes
            none.
    """

    status: SweepStatus
    reason: str
    best: TrialRecord | None
    n_by_state: Counter[TrialState]
    promotion_left_s: float | None = None


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


_MOST_FOR_PROMOTION = 0.5  # of the time; beyond it the refit is shortened, or there would be no search


@dataclass(frozen=True)
class BudgetUse:
    """A budget and what a sweep has used of it, over all its launches.

    When a limit is reached no new trial starts; those that are running are finished, but at a
    deadline (`until`, or `minutes` that include the promotion) they pause. Under a limit on trials
    alone, paused trials may still go on, for they were counted when they started.

    Attributes:
        limits: what holds.
        n_trials: started.
        minutes: of all launches.
        n_patches: trained.
        trials_done: a running or paused trial counts by its share of epochs.
        until_left_s: seconds until the time of the clock that is named; `None` if none is.
        promotion_s: predicted seconds of the promotion that is included; `None` if none is, or
            nothing is known yet.
        epoch_s: of the latest epoch; what cannot be half done by the deadline is
            not begun.
    """

    limits: BudgetSettings
    n_trials: int
    minutes: float
    n_patches: int
    trials_done: float
    until_left_s: float | None = None
    promotion_s: float | None = None
    epoch_s: float = 0.0

    @classmethod
    def of(
        cls,
        limits: BudgetSettings,
        state: SweepState,
        now_ms: int,
        predict_promotion: Callable[[], float | None] = lambda: None,
    ) -> "BudgetUse":
        """Measure a sweep.

        Args:
            limits: what holds.
            state: of the sweep.
            now_ms: Unix time.
            predict_promotion: asked where the promotion is included.
        """
        until_ms = until_of(limits, state)
        has_deadline = limits.until is not None or limits.includes == "promotion"
        use = cls(
            limits=limits,
            n_trials=len(state.trials),
            minutes=state.elapsed_s(now_ms) / 60,
            n_patches=state.n_patches,
            trials_done=_trials_done(state) if limits.trials else 0.0,
            until_left_s=None if until_ms is None else (until_ms - now_ms) / 1000,
            epoch_s=_latest_epoch_s(state) if has_deadline else 0.0,
        )
        predicted_s = predict_promotion() if limits.includes == "promotion" else None
        if predicted_s is None or use.whole_left_s is None:
            return use
        whole_s = use.whole_left_s + 60 * use.minutes
        return replace(use, promotion_s=min(predicted_s, _MOST_FOR_PROMOTION * whole_s))

    @property
    def whole_left_s(self) -> float | None:
        """Seconds until the deadline, the promotion's among them; `None` without one."""
        minutes_left_s = None
        if self.limits.includes == "promotion" and self.limits.minutes is not None:
            minutes_left_s = 60 * (self.limits.minutes - self.minutes)
        return min((left for left in (self.until_left_s, minutes_left_s) if left is not None), default=None)

    @property
    def left_s(self) -> float | None:
        """Seconds of the search until the deadline; `None` without one."""
        whole_s = self.whole_left_s
        return None if whole_s is None else whole_s - (self.promotion_s or 0.0)

    @property
    def at_end(self) -> "BudgetUse":
        """Of a search that is over, whose promotion nobody predicts any more."""
        return replace(self, promotion_s=None)

    @property
    def is_late(self) -> bool:
        """Whether the deadline leaves no time for another epoch."""
        return self.left_s is not None and self.left_s <= self.epoch_s / 2

    @property
    def are_trials_used(self) -> bool:
        """Whether no new trial may start by the limit on trials."""
        return self.limits.trials is not None and self.n_trials >= self.limits.trials

    @property
    def is_work_used(self) -> bool:
        """Whether nothing may start by the limits on time or patches."""
        out_of_time = self.limits.minutes is not None and self.minutes >= self.limits.minutes
        return (
            out_of_time or self.is_late or (self.limits.patches is not None and self.n_patches >= self.limits.patches)
        )

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
        if self.left_s is not None:
            shares.append(60 * self.minutes / (60 * self.minutes + max(self.left_s, 1e-9)))
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
        if self.limits.until is not None:
            parts.append(f"until {self.limits.until}")
        if self.limits.includes == "promotion":
            about = "" if self.promotion_s is None else f" (about {self.promotion_s / 60:.1f} min)"
            parts.append(f"promotion included{about}")
        return ", ".join(parts)


def remaining_s(use: BudgetUse, elapsed_s: float) -> float | None:
    """Estimated seconds until the search ends; `None` while there is nothing to estimate from."""
    by_share = elapsed_s * (1 - use.share) / use.share if use.share > 0 else None
    left_s = use.left_s
    return by_share if left_s is None else max(0.0, min(left_s, left_s if by_share is None else by_share))


def limit_in_words(limit: float, name: str) -> str:
    """A limit with its noun.

    >>> limit_in_words(1, "trials"), limit_in_words(2_500_000, "patches")
    ('1 trial', '2,500,000 patches')
    """
    noun = {"trials": "trial", "minutes": "minute", "patches": "patch"}[name] if limit == 1 else name
    return f"{limit:,.10g} {noun}"


def limits_of(budget: BudgetSettings) -> BudgetLimits:
    """A file's budget in the ledger's words."""
    return BudgetLimits(budget.trials, budget.minutes, budget.patches, budget.until, budget.includes)


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


def until_of(limits: BudgetSettings, state: SweepState) -> int | None:
    """The moment that `until` means, as Unix time in milliseconds.

    A time of the day is the next one after the launch, or after it was set from another terminal.
    """
    if limits.until is None or not state.launches:
        return None
    changed = state.budget_changed
    was_set = changed is not None and changed.limits.until == limits.until and changed.limits != changed.file_limits
    set_ms = changed.at_ms if changed is not None and was_set else 0
    return next_time(limits.until, max(set_ms, state.launches[-1].at_ms))


def _latest_epoch_s(state: SweepState) -> float:
    """Seconds of the latest epoch of an unfinished trial; of the latest trial where all ended."""
    latest = [state.trials[len(state.trials) - 1]] if state.trials else []
    reports = [trial.reports[-1] for trial in _unfinished(state) or latest if trial.reports]
    return max(reports, key=lambda event: event.at_ms).report.duration_s if reports else 0.0


def _unfinished(state: SweepState) -> list[TrialRecord]:
    return [state.trials[number] for number in state.unfinished]


def _trials_done(state: SweepState) -> float:
    unfinished = _unfinished(state)
    shares = sum(trial.n_epochs / trial.proposed.horizon_epochs for trial in unfinished)
    return len(state.trials) - len(unfinished) + shares
