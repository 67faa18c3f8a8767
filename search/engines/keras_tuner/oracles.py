"""KerasTuner's random search, Gaussian process and grid, and which oracle an experiment means."""

from typing import Any

import core.networks.quiet_tensorflow  # isort: skip  # noqa: F401  # before keras_tuner, which imports TensorFlow
import keras_tuner
import numpy as np
from keras_tuner import oracles
from threadpoolctl import threadpool_limits

from core.errors import EngineError
from search.engines.base import EngineSettings
from search.engines.keras_tuner.hyperband import HyperbandOracle
from search.engines.keras_tuner.projection import ProjectedOracle
from search.engines.keras_tuner.space import KerasTunerSpace
from search.experiment.keras_tuner_settings import KerasTunerSettings


class RandomOracle(ProjectedOracle, oracles.RandomSearchOracle):
    """Random search."""


class BayesianOracle(ProjectedOracle, oracles.BayesianOptimizationOracle):
    """A Gaussian process over the finished trials.

    It is computed on one thread: what it proposes then does not hang on the number of cores, and threads that spin
    while they wait for each other over small matrices do not take the cores from the workers that train.
    """

    def reseed(self, seed: int) -> None:
        """Let all that is random follow from `seed`."""
        super().reseed(seed)
        self._random_state = np.random.RandomState(seed)
        self.gpr = self._make_gpr()

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Propose values that were not there; KerasTuner itself repeats its optimum once the process is sure of it."""
        if self._known is not None:
            return self._random_populate_space()
        with threadpool_limits(1):
            if self.ongoing_trials:
                self._fit_to_finished()
            response = super().populate_space(trial_id)
        if response["values"] is None:
            return response
        values = self._in_space(response["values"])
        return self._random_populate_space() if self._duplicate(values) else {**response, "values": values}

    def _fit_to_finished(self) -> None:
        """Fit the process by which KerasTuner guesses the scores of pending trials.

        It takes the one of the ask before, which a resumed sweep does not have. Without the kernel's twenty restarts
        this costs a twentieth of the fit that follows.
        """
        every = self.trials
        finished = {key: trial for key, trial in every.items() if trial.status == "COMPLETED"}
        if len(finished) < self.num_initial_points:
            return
        n_restarts = self.gpr.n_restarts_optimizer
        self.trials = finished
        try:
            self.gpr.set_params(n_restarts_optimizer=0).fit(*self._vectorize_trials())
        finally:
            self.trials = every
            self.gpr.set_params(n_restarts_optimizer=n_restarts)


class GridOracle(ProjectedOracle, oracles.GridSearchOracle):
    """All combinations in a fixed order, whatever the seed.

    KerasTuner goes on from trials that ended, because building a model may reveal new dimensions, and so has one or
    two workers busy. Ours are all known: it goes on from the trial that was started last.
    """

    _ordered_ids: Any

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Propose the combination after the last one."""
        if self._known is not None:
            self._ordered_ids.insert(trial_id)
            return {"status": "RUNNING", "values": dict(self._known)}
        self._populate_next = self.start_order[-1:]
        return dict(super().populate_space(trial_id))

    def forget(self, trial: Any) -> None:
        """Make the start of the last trial undone."""
        super().forget(trial)
        self._ordered_ids = type(self._ordered_ids)()
        for trial_id in self.start_order:
            self._ordered_ids.insert(trial_id)


def open_oracle(choice: KerasTunerSettings, settings: EngineSettings) -> ProjectedOracle:
    """Make the oracle that an experiment names.

    Its own limits are off: the budget is the sweep's (`max_trials`), and after three failures in a row every call
    would raise with a lock held (`max_consecutive_failed_trials`).

    Raises:
        EngineError: if Hyperband had no rung before the last epoch, so that it would be random search.
    """
    if choice.oracle == "hyperband" and choice.factor > settings.horizon_epochs:
        raise EngineError(
            f"The first rung must lie before the last epoch, but `engine.factor` is {choice.factor} and trials have "
            f"{settings.horizon_epochs} epochs. Make the trials longer, or choose another oracle."
        )
    form = KerasTunerSpace(settings.space, choice.grid_values if choice.oracle == "grid" else None)
    common: dict[str, Any] = {
        "objective": keras_tuner.Objective(settings.objective, settings.direction[:3]),
        "hyperparameters": form.hyperparameters(),
        "seed": 1,  # each proposal has its own
        "max_consecutive_failed_trials": None,
    }
    oracle: ProjectedOracle
    match choice.oracle:
        case "random":
            oracle = RandomOracle(max_trials=None, **common)
        case "bayesian":
            oracle = BayesianOracle(
                max_trials=None,
                num_initial_points=choice.num_initial_points,
                alpha=choice.alpha,
                beta=choice.beta,
                **common,
            )
        case "grid":
            oracle = GridOracle(max_trials=None, **common)
        case "hyperband":
            oracle = HyperbandOracle(
                max_epochs=settings.horizon_epochs,
                factor=choice.factor,
                hyperband_iterations=choice.hyperband_iterations,
                **common,
            )
    oracle.become_projection(settings.space, form)
    return oracle
