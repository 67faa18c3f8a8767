"""Draws points with Optuna's samplers, on a study in memory."""

import importlib
import importlib.util
import warnings
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, create_trial
from scipy.stats import qmc
from threadpoolctl import threadpool_limits

from core.errors import EngineError
from core.space import SearchSpace, Value
from core.space.search_space import LARGEST, is_active, list_points
from search.engines.base import EngineSettings
from search.engines.optuna.study import distributions_of, from_optuna
from search.experiment.engine_settings import OptunaSettings

_LONGEST = 100_000  # values of a dimension for a Gaussian process: Optuna lists them all at every ask


class PointSampler:
    """Draws points from a space by what a study holds.

    Every draw has a sampler of its own with a seed from (seed, trial number): nothing that was
    drawn before and is not in the study has an effect, so that a resumed sweep goes on as an
    uninterrupted one would. Optuna's samplers want a running trial to draw for; one draft serves
    all draws, and what comes of them is taken down elsewhere.

    Two are not Optuna's, whose own know no conditions and keep their place in the study: `qmc` is
    the Sobol sequence of SciPy that Optuna's uses too, with the trial's number as place in it, and
    `grid` is the list of a finite space's points, shuffled.
    """

    def __init__(
        self, choice: OptunaSettings, settings: EngineSettings, storage: InMemoryStorage, study_name: str
    ) -> None:
        """Prepare to draw.

        Raises:
            EngineError: if the sampler cannot search this space, or lacks a package.
        """
        self._choice = choice
        self._space = settings.space
        self._seed = settings.seed
        self._storage = storage
        self._study_name = study_name
        self._distributions = distributions_of(settings.space)
        self._grid = _grid_of(settings.space, settings.seed) if choice.sampler == "grid" else []
        if choice.sampler == "gp":
            _check_torch()
            _check_lengths(settings.space)
        study_id = storage.get_study_id_from_name(study_name)
        template = create_trial(state=optuna.trial.TrialState.RUNNING)
        self._draft_id = storage.create_new_trial(study_id, template_trial=template)

    def draws(self, number: int) -> Iterator[dict[str, Value]]:
        """Points for one trial, the later ones as substitutes for the first; they may repeat.

        Args:
            number: of the trial.
        """
        match self._choice.sampler:
            case "qmc":
                return self._sobol_points(number)
            case "grid":
                return self._grid_points(number)
        return self._optuna_points(number)

    def notes(self, number: int) -> Mapping[str, Any]:
        """What Optuna's sampler wants to find in the trial that was drawn for last, or would have
        been.

        CMA-ES keeps its generations in the trials themselves. Drawing again for a trial of the
        ledger, after all that came before it, finds the same.

        Args:
            number: of the trial; `draws` is called for it, unless it was called for it last.
        """
        if self._choice.sampler != "cmaes":
            return {}
        next(self._optuna_points(number))
        draft = self._storage.get_trial(self._draft_id)
        return {key: value for key, value in draft.system_attrs.items() if value is not None}

    def _sobol_points(self, number: int) -> Iterator[dict[str, Value]]:
        sequence = qmc.Sobol(len(self._space.dimensions), scramble=True, rng=np.random.default_rng(self._seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it would rather be asked for a power of two
            if number:
                sequence.fast_forward(number)
            while True:
                yield self._space.at(sequence.random(1)[0])

    def _grid_points(self, number: int) -> Iterator[dict[str, Value]]:
        for place in range(number, number + len(self._grid)):
            yield dict(self._grid[place % len(self._grid)])

    def _optuna_points(self, number: int) -> Iterator[dict[str, Value]]:
        sampler = self._fresh_sampler(int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0]))
        study = optuna.load_study(study_name=self._study_name, storage=self._storage, sampler=sampler)
        for key in self._storage.get_trial(self._draft_id).system_attrs:
            self._storage.set_trial_system_attr(self._draft_id, key, None)
        draft = self._storage.get_trial(self._draft_id)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            sampler.before_trial(study, draft)
            while True:
                yield self._draw_one(study, sampler, draft)

    def _draw_one(self, study: optuna.Study, sampler: BaseSampler, draft: FrozenTrial) -> dict[str, Value]:
        # A Gaussian process on one thread: see KerasTuner's.
        with threadpool_limits(1) if self._choice.sampler == "gp" else nullcontext():
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
        n_startup_trials = self._choice.n_startup_trials
        match self._choice.sampler:
            case "random":
                return RandomSampler(seed)
            case "cmaes":
                return CmaEsSampler(n_startup_trials=n_startup_trials, seed=seed, warn_independent_sampling=False)
            case "gp":
                return GPSampler(n_startup_trials=n_startup_trials, seed=seed, warn_independent_sampling=False)
        has_conditions = any(dimension.when is not None for dimension in self._space.dimensions)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # `group` is, since 2021
            return TPESampler(
                n_startup_trials=n_startup_trials,
                multivariate=True,
                group=has_conditions,  # without it, conditional dimensions are drawn one by one
                constant_liar=True,
                seed=seed,
            )


def _grid_of(space: SearchSpace, seed: int) -> list[dict[str, Value]]:
    """All points of a finite space, shuffled, so that a part of them says something about all."""
    points = list_points(space)
    if points is None:
        endless = [dimension.name for dimension in space.dimensions if dimension.n_values is None]
        found = f"{', '.join(endless)} can have any value" if endless else f"there are more than {LARGEST:,} points"
        raise EngineError(
            f"`engine.sampler: grid` needs a finite space of at most {LARGEST:,} points, but {found}. Give real "
            "dimensions a `step`, choose fewer values, or let KerasTuner's grid choose them "
            "(`engine: {name: keras_tuner, oracle: grid}`)."
        )
    return [points[place] for place in np.random.default_rng(seed).permutation(len(points))]


def _check_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise EngineError(
            "`engine.sampler: gp` needs PyTorch, which is not installed. Install it with "
            "`.venv/bin/python -m pip install -e '.[gp]'` (large), or choose `tpe`."
        )
    importlib.import_module("torch")  # now, and not in the middle of an ask, so that its threads can be limited


def _check_lengths(space: SearchSpace) -> None:
    too_long = [dimension.name for dimension in space.dimensions if (dimension.n_values or 0) > _LONGEST]
    if too_long:
        raise EngineError(
            f"`engine.sampler: gp` lists every value of a stepped dimension, of which there may be {_LONGEST:,}, but "
            f"{', '.join(too_long)} has more. Widen its `step`, make it real, or choose `tpe`."
        )
