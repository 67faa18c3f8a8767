"""Draws points with Optuna's samplers, and judges running trials with its pruners, on a study in memory."""

import warnings
from collections.abc import Iterator

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, create_trial

from core.space import SearchSpace, Value
from search.engines.finite_space import is_active
from search.engines.optuna_settings import OptunaSettings
from search.engines.optuna_space import distributions_of, from_optuna


class PointSampler:
    """Draws points from a space by what a study holds.

    Every draw has a sampler of its own with a seed from (seed, trial number): nothing that was drawn before and is not
    in the study has an effect, so that a resumed sweep goes on as an uninterrupted one would. Optuna's samplers want
    a running trial to draw for; one draft serves all draws, and what comes of them is taken down elsewhere.
    """

    def __init__(self, choice: OptunaSettings, space: SearchSpace, storage: InMemoryStorage, study_name: str) -> None:
        self._choice = choice
        self._space = space
        self._storage = storage
        self._study_name = study_name
        self._distributions = distributions_of(space)
        study_id = storage.get_study_id_from_name(study_name)
        template = create_trial(state=optuna.trial.TrialState.RUNNING)
        self._draft_id = storage.create_new_trial(study_id, template_trial=template)

    def draws(self, seed: int, number: int) -> Iterator[dict[str, Value]]:
        """Points for one trial, the later ones as substitutes for the first; they may repeat.

        Args:
            seed: of the sweep.
            number: of the trial.
        """
        sampler = self._fresh_sampler(int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
        study = optuna.load_study(study_name=self._study_name, storage=self._storage, sampler=sampler)
        draft = self._storage.get_trial(self._draft_id)
        sampler.before_trial(study, draft)
        while True:
            yield self._draw_one(study, sampler, draft)

    def _draw_one(self, study: optuna.Study, sampler: BaseSampler, draft: FrozenTrial) -> dict[str, Value]:
        together = sampler.sample_relative(study, draft, sampler.infer_relative_search_space(study, draft))
        point: dict[str, Value] = {}
        for dimension in self._space.dimensions:
            if not is_active(dimension, point):
                continue
            name, distribution = dimension.name, self._distributions[dimension.name]
            if distribution.single():
                point[name] = dimension.at(0.0)
            elif name in together:
                point[name] = from_optuna(dimension, together[name])
            else:
                point[name] = from_optuna(dimension, sampler.sample_independent(study, draft, name, distribution))
        return point

    def _fresh_sampler(self, seed: int) -> BaseSampler:
        if self._choice.sampler == "random":
            return RandomSampler(seed)
        has_conditions = any(dimension.when is not None for dimension in self._space.dimensions)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # `group` is, since 2021
            return TPESampler(
                n_startup_trials=self._choice.n_startup_trials,
                multivariate=True,
                group=has_conditions,  # without it, conditional dimensions are drawn one by one
                constant_liar=True,
                seed=seed,
            )


class Judge:
    """Says whether a running trial is worth its further epochs."""

    def __init__(self, choice: OptunaSettings, storage: InMemoryStorage, study_name: str) -> None:
        self._storage = storage
        self._study_name = study_name
        self._pruner = optuna.pruners.MedianPruner(
            n_startup_trials=choice.pruner_startup_trials,
            n_warmup_steps=choice.pruner_warmup_epochs + 1,  # Optuna counts steps from 0, we count epochs from 1
        )
        self._is_on = choice.pruner == "median"

    def is_hopeless(self, trial: FrozenTrial) -> bool:
        """Whether the trial should end, judged at its latest score."""
        if not self._is_on:
            return False
        study = optuna.load_study(study_name=self._study_name, storage=self._storage, pruner=self._pruner)
        return self._pruner.prune(study, trial)
