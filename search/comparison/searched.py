"""What a search found out about its space: a study rebuilt from the ledger, whichever engine proposed the trials."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from core.errors import SpaceError
from core.space import Dimension, Point, SearchSpace
from search.engines.optuna.study import distributions_of, to_optuna
from search.ledger.ranking import Direction
from search.ledger.trial import TrialState
from search.sweep.known_sweeps import KnownSweep

LEAST_TRIALS = 4
_N_RESAMPLES = 60
_N_TREES = 32
_TARGET_SHARE = 0.1
_LEAST_TARGETS = 2


@dataclass(frozen=True)
class SearchedTrial:
    """A completed trial that lies in the space.

    Attributes:
        number: of the trial.
        point: values of the active dimensions.
        value: the objective's.
    """

    number: int
    point: Point
    value: float


@dataclass(frozen=True)
class Searched:
    """The completed trials of a sweep as points of its space.

    Attributes:
        space: with fixed values as dimensions of one choice.
        direction: whether low or high values are better.
        trials: by number; those whose point lies in the space.
        outside: numbers of completed trials whose point does not, such as an enqueued recipe.
    """

    space: SearchSpace
    direction: Direction
    trials: tuple[SearchedTrial, ...]
    outside: tuple[int, ...]

    @property
    def varied(self) -> tuple[Dimension, ...]:
        """The dimensions that have different values among the trials."""
        return tuple(
            dimension
            for dimension in self.space.dimensions
            if len({repr(t.point[dimension.name]) for t in self.trials if dimension.name in t.point}) > 1
        )


@dataclass(frozen=True)
class Importance:
    """How much one hyperparameter decides, as shares that sum to 1 over all of them.

    Attributes:
        name: of the hyperparameter.
        ped_anova: share in reaching the best trials (Watanabe, Bansal and Hutter 2023).
        low: 5 % quantile of that over trials drawn again.
        high: 95 % quantile.
        fanova: share of the variance over the whole space (Hutter, Hoos and Leyton-Brown 2014); `None` for a
            hyperparameter that some trials do not have.
    """

    name: str
    ped_anova: float
    low: float
    high: float
    fanova: float | None


def read_searched(sweep: KnownSweep) -> Searched:
    """Take the completed trials from the ledger."""
    space = sweep.experiment.space.search_space()
    inside, outside = [], []
    for trial in sweep.state.trials.values():
        value = trial.result.value if trial.result and trial.state is TrialState.COMPLETED else None
        if value is None:
            continue
        try:
            inside.append(SearchedTrial(trial.number, space.restrict(trial.proposed.point), float(value)))
        except SpaceError:
            outside.append(trial.number)
    return Searched(space, sweep.experiment.objective.resolved_direction, tuple(inside), tuple(outside))


def measure_importance(searched: Searched, seed: int = 0) -> tuple[Importance, ...]:
    """Rank the hyperparameters that vary, the most important first.

    Empty for fewer than `LEAST_TRIALS` trials, and for trials that are all equally good.
    """
    names = [dimension.name for dimension in searched.varied]
    if len(searched.trials) < LEAST_TRIALS or not names or len({trial.value for trial in searched.trials}) < 2:
        return ()
    trials = _as_optuna(searched, names)
    ped = _evaluate(trials, searched.direction, _ped_anova(len(trials)), names)
    everywhere = [name for name in names if all(name in trial.params for trial in trials)]
    fanova = _evaluate(trials, searched.direction, FanovaImportanceEvaluator(n_trees=_N_TREES, seed=seed), everywhere)
    generator, drawn = np.random.default_rng(seed), []
    for _ in range(_N_RESAMPLES):
        chosen = [trials[k] for k in generator.integers(0, len(trials), len(trials))]
        drawn.append(_evaluate(chosen, searched.direction, _ped_anova(len(trials)), names))
    found = []
    for name in names:
        low, high = np.quantile([shares.get(name, 0.0) for shares in drawn], (0.05, 0.95))
        found.append(Importance(name, ped.get(name, 0.0), float(low), float(high), fanova.get(name)))
    return tuple(sorted(found, key=lambda importance: (-importance.ped_anova, importance.name)))


def _as_optuna(searched: Searched, names: Sequence[str]) -> list[FrozenTrial]:
    distributions = {name: kind for name, kind in distributions_of(searched.space).items() if name in names}
    return [
        create_trial(
            state=OptunaState.COMPLETE,
            value=trial.value,
            params={name: to_optuna(searched.space[name], trial.point[name]) for name in names if name in trial.point},
            distributions={name: kind for name, kind in distributions.items() if name in trial.point},
        )
        for trial in searched.trials
    ]


def _ped_anova(n_trials: int) -> PedAnovaImportanceEvaluator:
    # The best tenth, but two trials at least: from one alone nothing can be told.
    return PedAnovaImportanceEvaluator(target_quantile=min(0.5, max(_TARGET_SHARE, _LEAST_TARGETS / n_trials)))


def _evaluate(
    trials: Sequence[FrozenTrial], direction: Direction, evaluator: BaseImportanceEvaluator, names: Sequence[str]
) -> Mapping[str, float]:
    """Shares that sum to 1; empty where the evaluator has nothing to go by."""
    if not names:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would print a line for each study
    study = optuna.create_study(direction=direction, sampler=optuna.samplers.RandomSampler(seed=0))
    study.add_trials(trials)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of constant values and of experimental parts
        raw = evaluator.evaluate(study, params=list(names))
    total = sum(max(0.0, value) for value in raw.values())
    return {name: max(0.0, value) / total for name, value in raw.items()} if total > 0 else {}
