"""How long a refit trains: the epochs asked for, or those that fit into so many minutes."""

import math
import statistics
from dataclasses import dataclass

from core.errors import RegistryError
from search.experiment.experiment import Experiment
from search.ledger.state import TrialRecord

SHOWN_MINUTES = (5, 20, 60)
"""For which lengths a promotion says what to expect before it starts."""
_REFIT_FACTOR = 3  # of a trial's epochs


@dataclass(frozen=True)
class RefitLength:
    """The length of a refit, and what it will cost.

    Attributes:
        epochs: the horizon; the learning-rate schedule runs over all of it.
        rule: why so many, in words.
        epoch_s: median seconds of an epoch of the trial in the sweep, its validation among them;
            `None` where the trial has none.
        patches_per_epoch: that the trial trained on.
    """

    epochs: int
    rule: str
    epoch_s: float | None
    patches_per_epoch: int

    @property
    def minutes(self) -> float | None:
        """Expected for the whole refit, on a machine as busy as it was in the sweep."""
        return None if self.epoch_s is None else self.epochs * self.epoch_s / 60

    def in_words(self) -> str:
        """How long, why, and what to expect, as a part of a sentence."""
        text = f"{self.epochs} epochs ({self.epochs * self.patches_per_epoch:,} patches), {self.rule}"
        if self.epoch_s is None or self.minutes is None:
            return text
        duration = f"about {self.minutes:.0f} min" if self.minutes >= 1 else "less than a minute"
        others = ", ".join(f"{minutes} min: {epochs_within(minutes, self.epoch_s)}" for minutes in SHOWN_MINUTES)
        return f"{text}; {duration} at the sweep's {self.epoch_s:.1f} s an epoch (epochs by minutes: {others})"


def refit_length(
    experiment: Experiment, trial: TrialRecord, epochs: int | None = None, minutes: float | None = None
) -> RefitLength:
    """Choose the length of a trial's refit.

    What the caller says counts before what the experiment says, and epochs before minutes. The
    minutes are turned into epochs by the ledger's durations alone, so that the same command finds
    the same refit again.

    Args:
        experiment: its `promotion.epochs` or `promotion.minutes`; without both three times
            `training.epochs`.
        trial: whose refit it is.
        epochs: asked for by the caller.
        minutes: asked for by the caller.

    Raises:
        RegistryError: if minutes are given and the trial has no epoch whose duration is known.
    """
    durations = [event.report.duration_s for event in trial.reports if event.report.duration_s > 0]
    epoch_s = statistics.median(durations) if durations else None
    patches = round(trial.n_patches / len(trial.reports)) if trial.reports else 0
    if epochs is None and minutes is None:
        epochs, minutes = experiment.promotion.epochs, experiment.promotion.minutes
    if epochs is not None:
        return RefitLength(epochs, "so many were asked for", epoch_s, patches)
    if minutes is None:
        return RefitLength(_REFIT_FACTOR * experiment.training.epochs, "three times training.epochs", epoch_s, patches)
    if epoch_s is None:
        raise RegistryError(
            f"Minutes become epochs by the speed of the trial, but trial {trial.number} has no epoch with a duration. "
            "Give --epochs instead."
        )
    return RefitLength(epochs_within(minutes, epoch_s), f"as many as fit into {minutes:g} min", epoch_s, patches)


def epochs_within(minutes: float, epoch_s: float) -> int:
    """How many epochs take at most so many minutes; at least one.

    >>> epochs_within(20, 17.5)
    68
    """
    return max(1, math.floor(minutes * 60 / epoch_s))
