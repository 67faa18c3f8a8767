"""KerasTuner's oracles as projections of a ledger: quiet, without files, seeded for each proposal.

An oracle is never saved and reloaded (`reload` queues finished trials again and breaks the grid). It is built anew and
takes up, in the ledger's order, the trials that were proposed. All that it proposes is a function of those, of their
scores and of the seed that it is given with each proposal. What KerasTuner's classes keep to themselves is touched
by subclasses only.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import core.networks.quiet_tensorflow  # isort: skip  # noqa: F401  # before keras_tuner, which imports TensorFlow
import keras_tuner
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from core.space import SearchSpace, Value
from core.space.finite_space import list_points
from search.engines.keras_tuner.space import KerasTunerSpace

_DRAWS = 8  # tries to get a new point


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back KerasTuner's use of what Python deprecates, and what its Gaussian process says of its kernel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


class ProjectedOracle(keras_tuner.Oracle):
    """What the four have in common; this class comes first among the bases, before KerasTuner's own.

    Attributes:
        form: translates points.
    """

    trials: dict[str, Any]
    ongoing_trials: dict[str, Any]

    def become_projection(self, space: SearchSpace, form: KerasTunerSpace) -> None:
        """Take what KerasTuner's constructors have no place for; to be called once, at the beginning."""
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

        It stays among KerasTuner's as a failed one, which no oracle looks at: names of trials come from their count.
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
