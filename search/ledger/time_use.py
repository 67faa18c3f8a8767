"""Where a sweep's time went: each trial's worker time by what it went into, and that of workers
without a trial.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from search.ledger.state import SweepState, TrialRecord

STEPS = "steps"
UNDIVIDED, OTHER, NO_TRIAL = "epochs, not divided", "other", "no trial"
PARTS: Mapping[str, str] = {
    "start": "process, TensorFlow, network, graph: until the first epoch",
    STEPS: "training steps",
    "validation": "scores after each epoch",
    "checkpoint": "the state after each epoch, written",
    UNDIVIDED: "epochs of an objective, or a ledger, that does not say what they went into",
    "waiting": "for the driver's answers to reports",
    "scores": "scores of the best epoch, with intervals",
    "pictures": "pictures and tables",
    "saving": "the model",
    OTHER: "what is left: the worker's end, lost work, and in older ledgers all around the epochs",
    NO_TRIAL: "workers that had no trial: asking, starting, the sweep's beginning and end",
}
"""What worker time goes into, in the order of a trial."""


@dataclass(frozen=True)
class TimeUse:
    """Worker time by what it went into.

    Attributes:
        trials: by number, those on which a worker was, in seconds by part.
        total: of all trials, and of workers without one, in seconds by part.
        is_recorded: whether the ledger says what went into an epoch and what came around it; one of
            version 0.1 does not.
    """

    trials: Mapping[int, Mapping[str, float]]
    total: Mapping[str, float]
    is_recorded: bool

    @property
    def shares(self) -> Mapping[str, float]:
        """Of all worker time, by part, in its order; empty before there was any."""
        whole = sum(self.total.values())
        return {part: seconds / whole for part, seconds in self.total.items()} if whole else {}

    def as_json(self) -> dict[str, object]:
        """Plain values, in seconds."""
        rounded = {number: {part: round(s, 3) for part, s in parts.items()} for number, parts in self.trials.items()}
        return {
            "is_recorded": self.is_recorded,
            "total_s": {part: round(seconds, 3) for part, seconds in self.total.items()},
            "trials_s": {str(number): parts for number, parts in rounded.items()},
        }

    def __str__(self) -> str:
        """The largest parts in a line, such as `steps 91 %, validation 5 %, start 2 %`."""
        ranked = sorted(self.shares.items(), key=lambda each: -each[1])
        text = ", ".join(
            f"{part} {100 * share:.{0 if share >= 0.095 else 1}f} %" for part, share in ranked if share > 0
        )
        return text if self.is_recorded or not text else f"{text} (what epochs went into is not recorded)"


def read_time_use(state: SweepState) -> TimeUse:
    """Divide the time of all workers, from each launch's beginning to its end.

    Without sleep of the machine, as far as workers had no trial then.
    """
    trials = {trial.number: parts_of(trial) for trial in state.trials.values() if trial.worker_s > 0}
    found = {part: sum(parts.get(part, 0.0) for parts in trials.values()) for part in PARTS}
    found[NO_TRIAL] = max(0.0, _offered_s(state) - sum(trial.worker_s for trial in state.trials.values()))
    is_recorded = any(STEPS in event.report.seconds for trial in state.trials.values() for event in trial.reports)
    return TimeUse(trials, {part: seconds for part, seconds in found.items() if seconds > 0}, is_recorded)


def trial_time(trial: TrialRecord) -> TimeUse:
    """One trial's worker time alone."""
    parts = parts_of(trial)
    is_recorded = any(STEPS in event.report.seconds for event in trial.reports)
    return TimeUse({trial.number: parts} if parts else {}, parts, is_recorded)


def parts_of(trial: TrialRecord) -> dict[str, float]:
    """A trial's worker time by part; what nothing was said of is `other`."""
    said = {part: seconds for part, seconds in trial.seconds.items() if part in PARTS}
    divided_s = sum(said.get(part, 0.0) for part in (STEPS, "validation", "checkpoint"))
    undivided_s = trial.duration_s - divided_s
    if undivided_s > 0.001:
        said[UNDIVIDED] = undivided_s
    other_s = trial.worker_s - sum(said.values())
    if other_s > 0.001:
        said[OTHER] = other_s
    return {part: said[part] for part in PARTS if part in said}


def _offered_s(state: SweepState) -> float:
    """Seconds of all workers of all launches together."""
    ends_ms = (*state.launch_ends_ms, state.last_ms)
    spans = [
        launch.n_workers * max(0, end_ms - launch.at_ms) / 1000
        for launch, end_ms in zip(state.launches, ends_ms, strict=False)
    ]
    slept_s = state.slept_s * (state.launches[-1].n_workers if state.launches else 0)
    return sum(spans) - slept_s
