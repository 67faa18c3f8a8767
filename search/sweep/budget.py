"""How much of a sweep's budget is used."""

from dataclasses import dataclass

from search.experiment.settings import BudgetSettings
from search.ledger.state import SweepState


@dataclass(frozen=True)
class BudgetUse:
    """A budget and what a sweep has used of it, over all its launches.

    When a limit is reached no new trial starts; those that are running are finished. Under a limit on trials alone,
    paused trials may still go on, for they were counted when they started.
    """

    limits: BudgetSettings
    n_trials: int
    minutes: float
    n_patches: int
    trials_done: float

    @classmethod
    def of(cls, limits: BudgetSettings, state: SweepState, now_ms: int) -> "BudgetUse":
        """Measure a sweep; a running or paused trial counts in `trials_done` by its share of epochs."""
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
            parts.append(f"{self.n_trials} of {self.limits.trials} trials")
        if self.limits.minutes is not None:
            parts.append(f"{self.minutes:.1f} of {self.limits.minutes:g} minutes")
        if self.limits.patches is not None:
            parts.append(f"{self.n_patches:,} of {self.limits.patches:,} patches")
        return ", ".join(parts)


def _trials_done(state: SweepState) -> float:
    unfinished = [state.trials[number] for number in state.unfinished]
    shares = sum(trial.n_epochs / trial.proposed.horizon_epochs for trial in unfinished)
    return len(state.trials) - len(unfinished) + shares
