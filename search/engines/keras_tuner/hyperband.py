"""KerasTuner's Hyperband, asked for one promotion at a time, so that it can be told from a new trial."""

from typing import Any

import core.networks.quiet_tensorflow  # isort: skip  # noqa: F401  # before keras_tuner, which imports TensorFlow
from keras_tuner import oracles

from core.space import Value
from search.engines.keras_tuner.projection import ProjectedOracle, quiet


class HyperbandOracle(ProjectedOracle, oracles.HyperbandOracle):
    """Brackets of rungs; the best trials of a rung go on to the next, as new trials of KerasTuner's."""

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
