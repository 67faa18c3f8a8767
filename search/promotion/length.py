"""How long a refit trains: the epochs asked for, or as long as it pays within so many minutes.

What a longer fit gains is measured before: the trial's point is fitted over a quarter and a half of
the trial's epochs. Log-loss falls about as a power of the length (Hestness et al. 2017, "Deep
learning scaling is predictable, empirically"), and the line through the measured lengths says where
a further minute is not worth it.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from core.errors import RegistryError
from core.wording import counted
from search.experiment.experiment import Experiment
from search.ledger.state import TrialRecord
from search.sweep.deadline import REFIT_FACTOR, epochs_within

SHOWN_MINUTES = (5, 20, 60)
"""For which lengths a promotion says what to expect before it starts."""
LEAST_GAIN = 0.001
"""A further minute pays if it lowers the predicted validation log-loss by so many nats."""
LOG_LOSS = "val/image_logloss"


@dataclass(frozen=True)
class RefitLength:
    """The length of a refit, and what it will cost.

    Attributes:
        epochs: the horizon; the learning-rate schedule runs over all of it. Where lengths are still
            to be measured: the most that it may become.
        rule: why so many, in words.
        epoch_s: median seconds of an epoch of the trial in the sweep, its validation among them;
            `None` where the trial has none.
        patches_per_epoch: that the trial trained on.
        to_measure: epochs of the fits that are needed before the length is settled; empty if it is.
        curve: factor and exponent of the log-loss that is predicted for so many epochs; `None` if
            nothing is.
        members: fits under seeds of their own, which answer together.
        folds: cross-fits before, each of as many members and epochs.
    """

    epochs: int
    rule: str
    epoch_s: float | None
    patches_per_epoch: int
    to_measure: tuple[int, ...] = ()
    curve: tuple[float, float] | None = None
    members: int = 1
    folds: int = 0

    @property
    def n_fits(self) -> int:
        """How many fits the refit is made of."""
        return self.members * (1 + self.folds)

    @property
    def minutes(self) -> float | None:
        """Expected for the whole refit, on a machine as busy as it was in the sweep."""
        return None if self.epoch_s is None else self.n_fits * self.epochs * self.epoch_s / 60

    def size(self) -> str:
        """Epochs and members, in words."""
        of_each = counted(self.epochs, "epoch")
        return of_each if self.members == 1 else f"{self.members} members of {of_each}"

    def kinds(self, part: str = "") -> tuple[str, ...]:
        """Under what the fits are recorded beside the trial.

        Args:
            part: of the refit, such as `fold-1-of-3`; empty where there are no parts.
        """
        kind = f"refit-{self.epochs}" + (f"-{part}" if part else "")
        return (kind,) if self.members == 1 else tuple(f"{kind}-member-{n + 1}" for n in range(self.members))

    def in_words(self) -> str:
        """How long, why, and what to expect, as a part of a sentence."""
        each = " each" if self.n_fits > 1 else ""
        before = f" after {counted(self.folds, 'cross-fit')} of as many" if self.folds else ""
        text = f"{self.size()} ({self.epochs * self.patches_per_epoch:,} patches{each}){before}, {self.rule}"
        if self.epoch_s is None or self.minutes is None:
            return text
        duration = f"about {self.minutes:.0f} min" if self.minutes >= 1 else "less than a minute"
        others = ", ".join(f"{minutes} min: {self._expected(minutes)}" for minutes in SHOWN_MINUTES)
        kind = "epochs and predicted log-loss" if self.curve else "epochs"
        return f"{text}; {duration} at the sweep's {self.epoch_s:.1f} s an epoch ({kind} by minutes: {others})"

    def _expected(self, minutes: float) -> str:
        epochs = epochs_within(minutes / self.n_fits, self.epoch_s or 1.0)
        return f"{epochs}" if self.curve is None else f"{epochs}, {self.curve[0] * epochs ** self.curve[1]:.3f}"


def refit_length(
    experiment: Experiment,
    trial: TrialRecord,
    epochs: int | None = None,
    minutes: float | None = None,
    members: int | None = None,
    folds: int = 0,
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
        minutes: asked for by the caller, for all members and cross-fits together.
        members: asked for by the caller; without it those of the experiment.
        folds: cross-fits before, each of as many members and epochs.

    Returns:
        The length, or the most that it may be and which lengths to measure for it; see
        `settled_length`.

    Raises:
        RegistryError: if minutes are given and the trial has no epoch whose duration is known.
    """
    durations = [event.report.duration_s for event in trial.reports if event.report.duration_s > 0]
    epoch_s = statistics.median(durations) if durations else None
    patches = round(trial.n_patches / len(trial.reports)) if trial.reports else 0
    members = members or experiment.promotion.members
    _check_members(experiment, members)
    if epochs is None and minutes is None:
        epochs, minutes = experiment.promotion.epochs, experiment.promotion.minutes
    if epochs is not None:
        return RefitLength(epochs, "so many were asked for", epoch_s, patches, members=members, folds=folds)
    if minutes is None:
        epochs, rule = REFIT_FACTOR * experiment.training.epochs, "three times training.epochs"
        return RefitLength(epochs, rule, epoch_s, patches, members=members, folds=folds)
    if epoch_s is None:
        raise RegistryError(
            f"Minutes become epochs by the speed of the trial, but trial {trial.number} has no epoch with a duration. "
            "Give --epochs instead."
        )
    fit, rule = epochs_within(minutes / members / (1 + folds), epoch_s), f"as many as fit into {minutes:g} min"
    most = RefitLength(fit, rule, epoch_s, patches, members=members, folds=folds)
    measured = (trial.n_epochs // 4, trial.n_epochs // 2)
    if most.epochs <= trial.n_epochs or measured[0] < 1 or LOG_LOSS not in trial.metrics:
        return most
    return replace(most, rule=f"at most, as long as it pays within {minutes:g} min", to_measure=measured)


def _check_members(experiment: Experiment, members: int) -> None:
    if members > 1 and not experiment.trains_our_networks:
        raise RegistryError(
            f"Several refits become one model where the networks are whosehand's own, but {experiment.name!r} trains "
            f"{experiment.model or experiment.objective.run}. Promote it with one member."
        )


def settled_length(length: RefitLength, trial: TrialRecord, measured: Mapping[int, float]) -> RefitLength:
    """Settle a length by what shorter fits reached.

    Args:
        length: with lengths to measure.
        trial: whose refit it is; its own length and log-loss count as well.
        measured: validation log-loss by epochs of the fits that were to be measured.

    Returns:
        The number of epochs from which on a further minute would lower the predicted log-loss by
        less than `LEAST_GAIN`; at least the trial's, at most what fits into the minutes.
    """
    losses = {**measured, trial.n_epochs: trial.metrics[LOG_LOSS]}
    known = {epochs: max(loss, 1e-6) for epochs, loss in losses.items() if math.isfinite(loss)}
    least, epoch_min = trial.n_epochs, (length.epoch_s or 1.0) / 60
    seen = ", ".join(f"{loss:.3f} after {counted(epochs, 'epoch')}" for epochs, loss in sorted(known.items()))
    slope, factor = np.polyfit(np.log(list(known)), np.log(list(known.values())), 1) if len(known) > 1 else (0.0, 0.0)
    if slope >= 0:
        return replace(length, epochs=least, rule=f"longer fits were no better (log-loss {seen})", to_measure=())
    # loss = f n^s; a minute more gains -s f n^(s - 1) / epoch_min
    pays = math.floor((-slope * math.exp(factor) / (LEAST_GAIN * epoch_min * length.n_fits)) ** (1 / (1 - slope)))
    epochs = min(max(pays, least), length.epochs)
    why = "as many as fit" if pays > length.epochs else f"a further minute would gain less than {LEAST_GAIN} nats"
    curve = (math.exp(factor), float(slope))
    return replace(length, epochs=epochs, rule=f"{why} (log-loss {seen})", to_measure=(), curve=curve)
