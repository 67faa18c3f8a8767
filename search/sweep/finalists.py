"""Finalists: the best trials of a sweep, trained again under fresh seeds, and ranked by what they do on average.

The best of many noisy trials owes a part of its score to luck, the more, the more trials there were. A fresh fit of
the same point has not been selected, so that its score tells what the point is worth.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev

from scipy.stats import t as student

from core.space import Point
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.ranking import Direction, score_name
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.sweep.known_sweeps import KnownSweep

FINALISTS_FOLDER = "finalists"
LEVEL = 0.95
LEAST_REPEATS = 2


@dataclass(frozen=True)
class Spread:
    """A mean with its 95 % interval by Student's t.

    Attributes:
        mean: of the values.
        low: of the interval; `None` for fewer than two values.
        high: likewise.
        n: how many values.
    """

    mean: float
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Summarise one value or more.

        >>> spread = Spread.of([1.0, 2.0, 3.0])
        >>> spread.mean, round(spread.low, 3), round(spread.high, 3)
        (2.0, -0.484, 4.484)
        """
        mean, n = fmean(values), len(values)
        if n < LEAST_REPEATS:
            return cls(mean, None, None, n)
        half = float(student.ppf((1 + LEVEL) / 2, n - 1)) * stdev(values) / math.sqrt(n)
        return cls(mean, mean - half, mean + half, n)

    def __str__(self) -> str:
        """The mean, and the interval where there is one."""
        interval = "" if self.low is None else f" ({self.low:.4g} to {self.high:.4g})"
        return f"{self.mean:.4g}{interval}"


@dataclass(frozen=True)
class Finalist:
    """One of a sweep's best trials, and what its point gave under fresh seeds.

    Attributes:
        trial: its number in the sweep.
        hyperparameters: of the trial.
        search_value: what the search saw, and selected.
        repeats: the objective's value of each completed fit by the number of its seed, from 0; the same number is the
            same seed for all finalists.
        n_failed: fits that failed.
        n_open: fits that are begun and not ended.
    """

    trial: int
    hyperparameters: Point
    search_value: float
    repeats: Mapping[int, float]
    n_failed: int
    n_open: int

    @cached_property
    def spread(self) -> Spread | None:
        """Over the repeats; `None` without one."""
        return Spread.of(list(self.repeats.values())) if self.repeats else None


@dataclass(frozen=True)
class FinalistRanking:
    """Finalists by their mean, the best first; those without a completed repeat are at the end.

    Attributes:
        finalists: at least one.
        metric: of the objective.
        direction: whether low or high values are better.
    """

    finalists: tuple[Finalist, ...]
    metric: str
    direction: Direction

    @property
    def chosen(self) -> Finalist | None:
        """The one with the best mean among those with two repeats or more and none failed; `None` if there is none."""
        sound = [f for f in self.finalists if len(f.repeats) >= LEAST_REPEATS and not f.n_failed]
        return sound[0] if sound else None

    @property
    def favourite(self) -> Finalist:
        """The one that the search alone would have chosen."""
        sign = 1 if self.direction == "minimize" else -1
        return min(self.finalists, key=lambda finalist: (sign * finalist.search_value, finalist.trial))

    def flattery(self, finalist: Finalist) -> Spread | None:
        """By how much the search's value was better than the repeats, in the objective's unit; negative if worse."""
        sign = 1 if self.direction == "minimize" else -1
        differences = [sign * (value - finalist.search_value) for value in finalist.repeats.values()]
        return Spread.of(differences) if differences else None

    def behind(self, finalist: Finalist, first: Finalist) -> Spread | None:
        """How far a finalist is behind another one, from the repeats with the same seeds; `None` without a pair."""
        sign = 1 if self.direction == "minimize" else -1
        pairs = [sign * (value - first.repeats[r]) for r, value in finalist.repeats.items() if r in first.repeats]
        return Spread.of(pairs) if pairs and finalist.trial != first.trial else None


@dataclass(frozen=True)
class ChosenTrial:
    """The trial that a sweep recommends.

    Attributes:
        trial: the sweep's.
        rule: why this one, in words.
    """

    trial: TrialRecord
    rule: str


def finalist_folder(sweep_folder: Path, trial: int) -> Path:
    """Where the repeats of a trial are kept."""
    return sweep_folder / FINALISTS_FOLDER / f"trial-{trial:03d}"


def read_finalists(sweep: KnownSweep) -> FinalistRanking | None:
    """Read what finalists a sweep has, from their ledgers; they may be training. `None` if it has none.

    Raises:
        LedgerError: if a ledger is damaged.
    """
    objective = sweep.experiment.objective
    folders = sorted(path.parent for path in (sweep.folder / FINALISTS_FOLDER).glob(f"trial-*/{LEDGER_NAME}"))
    numbers = [int(folder.name.removeprefix("trial-")) for folder in folders]
    finalists = [_read(sweep, number) for number in numbers if number in sweep.state.trials]
    if not finalists:
        return None
    sign = 1 if objective.resolved_direction == "minimize" else -1
    finalists.sort(key=lambda f: (f.spread is None, sign * (f.spread.mean if f.spread else f.search_value), f.trial))
    return FinalistRanking(tuple(finalists), objective.metric, objective.resolved_direction)


def choose_trial(sweep: KnownSweep) -> ChosenTrial | None:
    """The trial to promote: the finalist with the best mean, or without finalists the search's best.

    Returns:
        `None` if no trial is completed.
    """
    finalist = chosen_finalist(sweep)
    if finalist is not None:
        return finalist
    best = sweep.state.best(sweep.experiment.objective.resolved_direction)
    if best is None:
        return None
    name = score_name(sweep.experiment.objective.metric)
    value = best.result.value if best.result else None
    n_completed = sweep.state.count(TrialState.COMPLETED)
    there = "no finalists" if read_finalists(sweep) is None else "no finalist has two sound fits yet"
    return ChosenTrial(best, f"the best {name} of {n_completed} completed trials ({value:.4g}); {there}")


def chosen_finalist(sweep: KnownSweep) -> ChosenTrial | None:
    """The finalist with the best mean of two repeats or more; `None` if there is none."""
    ranking = read_finalists(sweep)
    finalist = ranking.chosen if ranking else None
    if ranking is None or finalist is None:
        return None
    n = len(ranking.finalists)
    rule = f"the best mean {score_name(ranking.metric)} of {len(finalist.repeats)} fresh fits ({finalist.spread})"
    return ChosenTrial(sweep.state.trials[finalist.trial], f"{rule} among {n} finalist{'s' if n > 1 else ''}")


def _read(sweep: KnownSweep, number: int) -> Finalist:
    trial = sweep.state.trials[number]
    repeats = read_ledger(finalist_folder(sweep.folder, number)).trials
    values = {
        repeat.number: float(repeat.result.value)
        for repeat in repeats.values()
        if repeat.state is TrialState.COMPLETED and repeat.result is not None and repeat.result.value is not None
    }
    return Finalist(
        trial=number,
        hyperparameters=trial.proposed.hyperparameters,
        search_value=float(trial.summary.value if trial.summary.value is not None else math.nan),
        repeats=values,
        n_failed=sum(repeat.state is TrialState.FAILED for repeat in repeats.values()),
        n_open=sum(not repeat.state.is_final for repeat in repeats.values()),
    )
