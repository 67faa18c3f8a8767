"""KerasTuner's random search, Gaussian process and grid, and which oracle an experiment means.

KerasTuner's oracles as projections of a ledger: quiet, without files, seeded for each proposal.

An oracle is never saved and reloaded (`reload` queues finished trials again and breaks the grid).
It is built anew and takes up, in the ledger's order, the trials that were proposed. All that it
proposes is a function of those, of their scores and of the seed that it is given with each
proposal. What KerasTuner's classes keep to themselves is touched by subclasses only.

KerasTuner's Hyperband, asked for one promotion at a time, so that it can be told from a new trial.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import core.networks.quiet_tensorflow  # isort: skip  # noqa: F401  # before keras_tuner, which imports TensorFlow
import keras_tuner
import numpy as np
from keras_tuner import oracles
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from core.errors import EngineError
from core.space import SearchSpace, Value
from core.space.search_space import list_points
from search.engines.base import EngineSettings
from search.engines.keras_tuner.space import KerasTunerSpace
from search.experiment.engine_settings import KerasTunerSettings

_DRAWS = 8  # tries to get a new point


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back KerasTuner's use of what Python deprecates, and what its Gaussian process says of
    its kernel.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


class ProjectedOracle(keras_tuner.Oracle):
    """What the four have in common; this class comes first among the bases, before KerasTuner's
    own.

    Attributes:
        form: translates points.
    """

    trials: dict[str, Any]
    ongoing_trials: dict[str, Any]

    def become_projection(self, space: SearchSpace, form: KerasTunerSpace) -> None:
        """Take what KerasTuner's constructors have no place for; to be called once, at the
        beginning.
        """
        self.form = form
        self.verbose = 0
        self._whole = space
        self._known: dict[str, Value] | None = None
        self._all_values: dict[str, dict[str, Value]] | None = None

    def save(self) -> None:
        """Write no file."""

    def _save_trial(self, trial: Any) -> None:
        """Write no file."""

    def propose(self, seed: int) -> Any:
        """KerasTuner's trial that should be next; its `status` may be IDLE or STOPPED.

        Args:
            seed: of this proposal; positive, since KerasTuner takes 0 for none.
        """
        self.reseed(seed)
        with quiet():
            return self.create_trial(self._next_id)

    def take_up(self, values: Mapping[str, Value]) -> Any:
        """KerasTuner's trial for values that are known, from the ledger or the user."""
        self._known = dict(values)
        try:
            with quiet():
                return self.create_trial(self._next_id)
        finally:
            self._known = None

    def finish(self, trial: Any, score: float) -> None:
        """End a trial, always as COMPLETED: a failed one would starve a bracket of Hyperband."""
        with quiet():
            self.update_trial(trial.trial_id, {self.objective.name: score})
            trial.status = "COMPLETED"
            self.end_trial(trial)

    def forget(self, trial: Any) -> None:
        """Make the start of the last trial undone.

        It stays among KerasTuner's as a failed one, which no oracle looks at: names of trials come
        from their count.
        """
        trial.status = "FAILED"
        self.ongoing_trials = {key: other for key, other in self.ongoing_trials.items() if other is not trial}
        self.start_order.remove(trial.trial_id)
        values_hash = self._id_to_hash.pop(trial.trial_id)
        if values_hash not in self._id_to_hash.values():
            self._tried_so_far.discard(values_hash)

    def reseed(self, seed: int) -> None:
        """Let all that is random follow from `seed`."""
        self.seed = seed
        self._seed_state = seed

    @property
    def _next_id(self) -> str:
        """A name for who asks; KerasTuner returns the pending trial to one that has one."""
        return f"worker of {len(self.trials)}"

    def _random_values(self) -> dict[str, Value] | None:
        """Values that are known, or drawn and new; `None` if there are no new ones."""
        if self._known is not None:
            return dict(self._known)
        drawn = super()._random_values()
        values = None if drawn is None else self._in_space(drawn)
        # KerasTuner gives up after twenty repetitions, also where something is left
        return self._untried() if values is None or self._duplicate(values) else values

    def _in_space(self, values: Mapping[str, Any]) -> dict[str, Value]:
        return self.form.to_keras(self.form.from_keras(values))

    def _untried(self) -> dict[str, Value] | None:
        generator = np.random.default_rng(self.seed)
        if self._all_values is None:
            points = [self.form.to_keras(point) for point in list_points(self._whole) or ()]
            self._all_values = {self._compute_values_hash(values): values for values in points}
        if self._all_values:
            left = [values for key, values in self._all_values.items() if key not in self._tried_so_far]
            return left[generator.integers(len(left))] if left else None
        elsewhere = [self.form.to_keras(self._whole.sample(generator)) for _ in range(_DRAWS)]
        return next((values for values in elsewhere if not self._duplicate(values)), elsewhere[0])


class HyperbandOracle(ProjectedOracle, oracles.HyperbandOracle):
    """Brackets of rungs; the best trials of a rung go on to the next, as new trials of
    KerasTuner's.
    """

    _promoted: str | None = None
    _is_looking = False

    def next_promotion(self) -> str | None:
        """The trial that would be promoted if this was asked now; nothing is changed."""
        self._is_looking = True
        try:
            response = self.populate_space("looking")
        finally:
            self._is_looking = False
        self._drop_from_rungs("looking")
        parent = response.get("values", {}).get("tuner/trial_id")
        return None if parent is None else str(parent)

    def promote(self, parent_id: str) -> Any:
        """KerasTuner's trial for the next rung of one that is in a rung.

        Raises:
            LookupError: if there is no such rung.
        """
        self._promoted = parent_id
        try:
            with quiet():
                return self.create_trial(self._next_id)
        finally:
            self._promoted = None

    def forget(self, trial: Any) -> None:
        """Make the start of the last trial undone."""
        super().forget(trial)
        self._drop_from_rungs(trial.trial_id)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Propose what KerasTuner would, or put what is known where it belongs."""
        if self._promoted is not None:
            return {"status": "RUNNING", "values": self._put_in_next_rung(trial_id, self._promoted)}
        if self._known is not None:
            return dict(self._random_trial(trial_id, self._open_bracket()))
        return dict(super().populate_space(trial_id))

    def _random_values(self) -> dict[str, Value] | None:
        return {"looking": 0} if self._is_looking else super()._random_values()

    def _open_bracket(self) -> dict[str, Any]:
        """The bracket whose first rung has room; there is one at most, the last."""
        self._remove_completed_brackets()
        for bracket in self._brackets:
            if len(bracket["rounds"][0]) < self._get_size(bracket["bracket_num"], 0):
                return bracket
        self._increment_bracket_num()
        self._start_new_bracket()
        return self._brackets[-1]

    def _put_in_next_rung(self, trial_id: str, parent_id: str) -> dict[str, Value]:
        for bracket in self._brackets:
            rounds, n_bracket = bracket["rounds"], bracket["bracket_num"]
            for n_round in range(1, len(rounds)):
                if not any(entry["id"] == parent_id for entry in rounds[n_round - 1]):
                    continue
                rounds[n_round].append({"past_id": parent_id, "id": trial_id})
                return {
                    **self.trials[parent_id].hyperparameters.values,
                    "tuner/trial_id": parent_id,
                    "tuner/epochs": self._get_epochs(n_bracket, n_round),
                    "tuner/initial_epoch": self._get_epochs(n_bracket, n_round - 1),
                    "tuner/bracket": n_bracket,
                    "tuner/round": n_round,
                }
        raise LookupError(parent_id)

    def _drop_from_rungs(self, trial_id: str) -> None:
        for bracket in self._brackets:
            bracket["rounds"] = [[entry for entry in rung if entry["id"] != trial_id] for rung in bracket["rounds"]]


class RandomOracle(ProjectedOracle, oracles.RandomSearchOracle):
    """Random search."""


class BayesianOracle(ProjectedOracle, oracles.BayesianOptimizationOracle):
    """A Gaussian process over the finished trials.

    It is computed on one thread: what it proposes then does not hang on the number of cores, and
    threads that spin while they wait for each other over small matrices do not take the cores from
    the workers that train.
    """

    def reseed(self, seed: int) -> None:
        """Let all that is random follow from `seed`."""
        super().reseed(seed)
        self._random_state = np.random.RandomState(seed)
        self.gpr = self._make_gpr()

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Propose values that were not there; KerasTuner itself repeats its optimum once the
        process is sure of it.
        """
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

        It takes the one of the ask before, which a resumed sweep does not have. Without the
        kernel's twenty restarts this costs a twentieth of the fit that follows.
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

    KerasTuner goes on from trials that ended, because building a model may reveal new dimensions,
    and so has one or two workers busy. Ours are all known: it goes on from the trial that was
    started last.
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

    Its own limits are off: the budget is the sweep's (`max_trials`), and after three failures in a
    row every call would raise with a lock held (`max_consecutive_failed_trials`).

    Raises:
        EngineError: if Hyperband had no rung before the last epoch, so that it would be random
            search.
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
