"""Finalists: the best trials of a sweep, trained again under fresh seeds, and ranked by what they
do on average.

The best of many noisy trials owes a part of its score to luck, the more, the more trials there
were. A fresh fit of the same point has not been selected, so that its score tells what the point is
worth. All finalists have the same fresh seeds, and their fits are runs beside the sweep's own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from scipy.stats import t as student

from core.errors import ComparisonError, SpaceError
from core.networks.hyperparameters import Hyperparameters
from core.networks.presets import seed_recipe
from core.space import Point, Value
from search.experiment.workspace import Workspace
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.ranking import Direction, rank, score_name
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.objectives.starts import origin_tags
from search.objectives.tasks import OwnTask, PatchTask
from search.sweep.given_points import GivenPoints, fit_given_points
from search.sweep.known_sweeps import KnownSweep, read_sweep
from search.sweep.launch import search_facts, tracked_datasets, trial_task
from search.sweep.preparation import PreparedCorpus, prepare_corpus
from search.sweep.progress import PREPARING, Progress
from search.sweep.start import prepare_start
from search.tracking.project_place import refuse_shared
from search.tracking.runs import BesideTrial
from search.tracking.store import TrackingStore, open_store
from search.tracking.tracker import MlflowTracker

FINALISTS_FOLDER = "finalists"
LEVEL = 0.95
LEAST_REPEATS = 2
_SEED_STREAM = 6  # keeps the seeds of repeats apart from those of the sweep's trials


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
class FinalistChoice:
    """Which trials to repeat, and how often.

    Attributes:
        n_finalists: how many of the best completed trials.
        n_repeats: fits of each, over all calls together.
        with_seed_recipe: whether the trial of the seed recipe is among them even if it is not among
            the best.
    """

    n_finalists: int
    n_repeats: int
    with_seed_recipe: bool = False

    def __post_init__(self) -> None:
        """Check the rules."""
        if self.n_finalists < 1 or self.n_repeats < 1:
            raise ComparisonError(
                "`finalists >= 1` and `repeats >= 1` must hold, but got "
                f"finalists={self.n_finalists}, repeats={self.n_repeats}."
            )


@dataclass(frozen=True)
class Finalist:
    """One of a sweep's best trials, and what its point gave under fresh seeds.

    Attributes:
        trial: its number in the sweep.
        hyperparameters: of the trial.
        search_value: what the search saw, and selected.
        repeats: the objective's value of each completed fit by the number of its seed, from 0; the
            same number is the same seed for all finalists.
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
        """The one with the best mean among those with two repeats or more and none failed; `None`
        if there is none.
        """
        sound = [f for f in self.finalists if len(f.repeats) >= LEAST_REPEATS and not f.n_failed]
        return sound[0] if sound else None

    @property
    def favourite(self) -> Finalist:
        """The one that the search alone would have chosen."""
        sign = 1 if self.direction == "minimize" else -1
        return min(self.finalists, key=lambda finalist: (sign * finalist.search_value, finalist.trial))

    def flattery(self, finalist: Finalist) -> Spread | None:
        """By how much the search's value was better than the repeats, in the objective's unit;
        negative if worse.
        """
        sign = 1 if self.direction == "minimize" else -1
        differences = [sign * (value - finalist.search_value) for value in finalist.repeats.values()]
        return Spread.of(differences) if differences else None

    def behind(self, finalist: Finalist, first: Finalist) -> Spread | None:
        """How far a finalist is behind another one, from the repeats with the same seeds; `None`
        without a pair.
        """
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
    """Read what finalists a sweep has, from their ledgers; they may be training. `None` if it has
    none.

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
    """The trial to promote: the finalist with the best mean, or without finalists the search's
    best.

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


def train_finalists(name: str, workspace: Workspace, choice: FinalistChoice, progress: Progress) -> FinalistRanking:
    """Fit the sweep's best trials under fresh seeds, or go on with that, and rank them.

    Every fit is as long as the sweep's trials and scored on the same validation pages, so that its
    value can be compared with the search's. Fits that are there already are not done again.

    Args:
        name: of a sweep in this workspace.
        workspace: where.
        choice: of trials and repeats.
        progress: shows the corpus being read, and the fits.

    Raises:
        LedgerError: if there is no such sweep.
        ComparisonError: if no trial is completed, the seed recipe is wanted and was not tried, or
            the fits are interrupted.
    """
    sweep = read_sweep(name, workspace)
    trials = choose_finalists(sweep, choice)
    refuse_shared(workspace.root, sweep.created.name)
    store = open_store(sweep.experiment.tracking, workspace.root)
    with progress.working(PREPARING) as advance:
        corpus = prepare_corpus(sweep.experiment, workspace, advance)
    start = prepare_start(sweep.experiment, workspace, store, corpus, sweep.folder, progress)
    task = trial_task(sweep.experiment, corpus, sweep.folder, keeps_model=False, start=start)
    for trial in trials:
        _train(sweep, workspace, trial, choice.n_repeats, task, corpus, store, progress)
    ranking = read_finalists(sweep)
    if ranking is None or not any(finalist.repeats for finalist in ranking.finalists):
        raise ComparisonError(f"A finalist's fit must complete, but of {name!r} none did; see the runs in MLflow.")
    return ranking


def choose_finalists(sweep: KnownSweep, choice: FinalistChoice) -> list[TrialRecord]:
    """The best trials, the best first, and the seed recipe's if it is wanted.

    Raises:
        ComparisonError: if no trial is completed, or the seed recipe is wanted and no completed
            trial has it.
    """
    direction = sweep.experiment.objective.resolved_direction
    ranked = rank(sweep.state.trials.values(), direction)
    if not ranked:
        raise ComparisonError(
            f"Finalists are completed trials, but none of the {len(sweep.state.trials)} trials of "
            f"{sweep.created.name!r} is. Run `whosehand sweep` on it first."
        )
    numbers = [trial.number for trial in ranked[: choice.n_finalists]]
    if choice.with_seed_recipe:
        seed = baseline_trial(sweep)
        if seed is None:
            raise ComparisonError(
                f"The seed recipe can be a finalist if it was tried, but no completed trial of {sweep.created.name!r} "
                "has its values. Put `seed_recipe` under `space.enqueue` in a sweep of another name."
            )
        numbers += [] if seed.number in numbers else [seed.number]
    return [sweep.state.trials[number] for number in numbers]


def baseline_trial(sweep: KnownSweep) -> TrialRecord | None:
    """The sweep's completed trial of the published seed recipe, if there is one."""
    recipe = seed_recipe().as_identity()
    for trial in sweep.state.trials.values():
        if trial.state is TrialState.COMPLETED and _identity(trial.proposed.hyperparameters) == recipe:
            return trial
    return None


def _identity(point: Point) -> dict[str, Value]:
    """What tells the point apart, whatever hyperparameters there were when it was recorded."""
    try:
        return Hyperparameters.from_point(point).as_identity()
    except SpaceError:  # names of the user's own
        return dict(point)


def finalist_seed(sweep_seed: int) -> int:
    """What the seeds of all repeats derive from; repeat r has the same seed for every finalist."""
    return int(np.random.SeedSequence(sweep_seed, spawn_key=(_SEED_STREAM,)).generate_state(1)[0])


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
        search_value=float(trial.value if trial.value is not None else math.nan),
        repeats=values,
        n_failed=sum(repeat.state is TrialState.FAILED for repeat in repeats.values()),
        n_open=sum(not repeat.state.is_final for repeat in repeats.values()),
    )


def _train(
    sweep: KnownSweep,
    workspace: Workspace,
    trial: TrialRecord,
    n_repeats: int,
    task: PatchTask | OwnTask,
    corpus: PreparedCorpus,
    store: TrackingStore,
    progress: Progress,
) -> None:
    experiment, created = sweep.experiment, sweep.created
    epochs, seed = trial.proposed.horizon_epochs, finalist_seed(experiment.seed)
    folder = finalist_folder(sweep.folder, trial.number)
    n_before = len(read_ledger(folder).trials) if (folder / LEDGER_NAME).exists() else 0
    repeats = max(n_repeats, n_before)
    given = GivenPoints(
        folder,
        name=f"{created.name} repeats of trial {trial.number}",
        config={"sweep_id": created.sweep_id, "trial": trial.number, "epochs": epochs, "seed": seed},
        points=[trial.proposed.hyperparameters] * repeats,
        epochs=epochs,
        title=f"Repeats of trial {trial.number}",
        announcement=f"Finalist: trial {trial.number} of {created.name}, {n_repeats} fits of {epochs} epochs under "
        "fresh seeds (they are trials 0, 1, ... of a record of their own).",
        seed=seed,
    )
    tracker = _tracker(sweep, trial, corpus, store, repeats, task)
    fitted = fit_given_points(given, experiment, workspace, task, progress, tracker)
    if fitted.is_interrupted:
        raise ComparisonError(f"The repeats of trial {trial.number} were interrupted; the same command resumes them.")
    failures = [repeat for repeat in fitted.state.trials.values() if repeat.state is TrialState.FAILED]
    if failures and failures[0].result is not None:
        progress.say(f"Trial {trial.number}: {len(failures)} of {repeats} fits failed: {failures[0].result.reason}")


def _tracker(
    sweep: KnownSweep,
    trial: TrialRecord,
    corpus: PreparedCorpus,
    store: TrackingStore,
    n_repeats: int,
    task: PatchTask | OwnTask,
) -> MlflowTracker:
    """Records each fit beside the sweep's trial, as a run of a kind of its own."""
    experiment, created = sweep.experiment, sweep.created
    kinds = tuple(f"finalist-{repeat + 1}" for repeat in range(n_repeats))
    return MlflowTracker(
        store,
        experiment.name,
        replace(search_facts(experiment), seed=finalist_seed(experiment.seed), engine="none"),
        datasets=tracked_datasets(corpus),
        beside=BesideTrial(created.sweep_id, created.name, trial.number, kinds),
        warning=corpus.manifest.warning,
        command="whosehand compare",
        start_tags=partial(origin_tags, task.start if isinstance(task, PatchTask) else None),
    )
