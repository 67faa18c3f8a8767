"""Until when a sweep may work, and what of that time its promotion will need.

A refit is predicted by the speed that its trial had, and what comes around it by what the trial
itself needed for the same; see `predict_promotion_s`.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from core.errors import ConfigError
from core.splits.settings import N_FOLDS
from search.experiment.settings import BudgetSettings, PromotionSettings, RefitPages, read_time
from search.ledger.state import SweepState, TrialRecord

REFIT_FACTOR = 3
"""A refit has so many times the epochs of a trial, where nothing else is asked for."""
PROMOTION_BASE_S = 20.0
"""Of a promotion besides refit and scores: processes, calibration, packing, MLflow, the gate."""
_SCORINGS = 4.0
"""Refit's end, calibration, test pages and the registered model's answers, in validations."""


@dataclass(frozen=True)
class RefitRule:
    """How many epochs a refit will have.

    Attributes:
        epochs: asked for, or `None`.
        minutes: asked for instead, or `None`.
        trial_epochs: of a trial of the sweep.
        members: fits that answer together, each of so many epochs.
        folds: cross-fits before, each of as many members and epochs.
    """

    epochs: int | None
    minutes: float | None
    trial_epochs: int
    members: int = 1
    folds: int = 0

    @classmethod
    def of(cls, promotion: PromotionSettings, trial_epochs: int) -> Self:
        """What an experiment says."""
        return cls(promotion.epochs, promotion.minutes, trial_epochs, promotion.members, n_folds(promotion.refit))

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> Self:
        """What the experiment in a ledger says, without reading all of it."""
        promotion = config.get("promotion", {})
        lengths = promotion.get("epochs"), promotion.get("minutes")
        folds = n_folds(promotion.get("refit", "train"))
        return cls(*lengths, config["training"]["epochs"], promotion.get("members", 1), folds)

    @property
    def n_fits(self) -> int:
        """How many fits the refit is made of."""
        return self.members * (1 + self.folds)

    def n_epochs(self, epoch_s: float) -> int:
        """At most, of all fits of the refit of a trial whose epochs took so long."""
        if self.epochs is not None:
            return self.n_fits * self.epochs
        if self.minutes is None:
            return self.n_fits * REFIT_FACTOR * self.trial_epochs
        most = epochs_within(self.minutes / self.n_fits, epoch_s)
        # A quarter and a half of a trial are fitted before, to tell what length pays.
        measured = 0 if most <= self.trial_epochs else self.trial_epochs // 4 + self.trial_epochs // 2
        return self.n_fits * most + measured


def n_folds(pages: RefitPages) -> int:
    """How many cross-fits a refit on these pages has, at most."""
    return N_FOLDS if pages == "all_but_test" else 0


def epochs_within(minutes: float, epoch_s: float) -> int:
    """How many epochs take at most so many minutes; at least one.

    >>> epochs_within(20, 17.5)
    68
    """
    return max(1, math.floor(minutes * 60 / epoch_s))


def next_time(until: str, after_ms: int) -> int:
    """The moment that `budget.until` means, as Unix time in milliseconds.

    Args:
        until: a time of the day, or a date and a time; of this machine's clock.
        after_ms: a time of the day is the next one after this moment.
    """
    after, moment = datetime.fromtimestamp(after_ms / 1000), read_time(until)
    if isinstance(moment, datetime):
        return round(moment.timestamp() * 1000)
    today = datetime.combine(after.date(), moment)
    return round((today if today > after else today + timedelta(days=1)).timestamp() * 1000)


def refuse_past(budget: BudgetSettings, now_ms: int) -> None:
    """See that a sweep that starts now has time.

    Raises:
        ConfigError: if `until` names a moment that has passed.
    """
    if budget.until is not None and next_time(budget.until, now_ms) <= now_ms:
        raise ConfigError(f"budget.until must lie in the future, but {budget.until} has passed.")


def predict_promotion_s(state: SweepState, direction: str, rule: RefitRule) -> float | None:
    """Seconds that the promotion of the trial that is best now would take.

    Returns:
        `None` before any epoch has been reported. Before a trial has completed, the slowest one so
        far stands for the best.
    """
    trial = state.best(direction)
    if trial is None:
        started = [trial for trial in state.trials.values() if trial.reports]
        trial = max(started, key=_epoch_s, default=None)
    return (
        None if trial is None else around_refit_s(trial, rule.n_fits) + rule.n_epochs(_epoch_s(trial)) * _epoch_s(trial)
    )


def refit_epochs_within(left_s: float, trial: TrialRecord, rule: RefitRule) -> int | None:
    """How many epochs each member of a refit may have, where its rule gives more than fit.

    Args:
        left_s: for the whole promotion.
        trial: that is promoted.
        rule: of the experiment.

    Returns:
        `None` where the rule's own number fits, to a tenth of what is left, and where nothing is
        left: then the deadline is missed in any case.
    """
    epoch_s = _epoch_s(trial)
    for_refit_s = left_s - around_refit_s(trial, rule.n_fits)
    if epoch_s <= 0 or for_refit_s <= 0 or rule.n_epochs(epoch_s) * epoch_s <= for_refit_s + left_s / 10:
        return None
    return epochs_within(for_refit_s / 60 / rule.n_fits, epoch_s)


def around_refit_s(trial: TrialRecord, n_fits: int = 1) -> float:
    """Seconds of a trial's promotion that are not its refit's epochs.

    Args:
        trial: that is promoted.
        n_fits: that start, are scored and saved.
    """
    spent = trial.seconds
    validation_s = spent.get("validation", 0.0) / max(1, len(trial.reports))
    ends_s = sum(spent.get(part, 0.0) for part in ("start", "scores", "pictures", "saving")) / max(1, trial.n_attempts)
    return PROMOTION_BASE_S + n_fits * ends_s + _SCORINGS * validation_s


def _epoch_s(trial: TrialRecord) -> float:
    return statistics.median(event.report.duration_s for event in trial.reports) if trial.reports else 0.0
