"""Judges running trials with Optuna's pruners, on a study in memory."""

import binascii
import warnings
from types import SimpleNamespace

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
)
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial

from search.engines.base import EngineSettings
from search.engines.optuna.study import TRIAL_KEY
from search.engines.rungs import rung_epochs
from search.experiment.engine_settings import OptunaSettings


class TrialPruner:
    """Says whether a running trial is worth its further epochs.

    Attributes:
        keeps_notes: whether the pruner takes down in the trials where they stand; so that they
            stand in the same place after a restart, it has to be asked again about every report of
            the ledger, in its order.
    """

    def __init__(
        self, choice: OptunaSettings, settings: EngineSettings, storage: InMemoryStorage, study_name: str
    ) -> None:
        """Make the pruner.

        Raises:
            EngineError: if its first rung is not before the horizon.
        """
        self._storage = storage
        self._study_name = study_name
        self._pruner = _pruner_of(choice, settings)
        self.keeps_notes = choice.pruner in ("successive_halving", "hyperband")

    def should_prune(self, trial: FrozenTrial) -> bool:
        """Whether the trial should end, judged at its latest score."""
        if self._pruner is None:
            return False
        study = optuna.load_study(study_name=self._study_name, storage=self._storage, pruner=self._pruner)
        return self._pruner.prune(study, trial)


def _pruner_of(choice: OptunaSettings, settings: EngineSettings) -> BasePruner | None:
    # Optuna counts steps from 0 where it speaks of warm-up, we count epochs from 1.
    n_warmup_steps = choice.n_warmup_epochs(settings.horizon_epochs) + 1
    first_rung = choice.first_rung(settings.horizon_epochs)
    match choice.pruner:
        case "median":
            return MedianPruner(choice.pruner_startup_trials, n_warmup_steps)
        case "patient":
            median = MedianPruner(choice.pruner_startup_trials, n_warmup_steps)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # it is, since 2021
                return PatientPruner(median, choice.pruner_patience, choice.pruner_min_delta)
        case "threshold":
            return ThresholdPruner(choice.pruner_lower, choice.pruner_upper, n_warmup_steps)
        case "successive_halving":
            rung_epochs(first_rung, choice.rung_factor, settings.horizon_epochs)  # refuses what has none
            return SuccessiveHalvingPruner(first_rung, choice.rung_factor)
        case "hyperband":
            rung_epochs(first_rung, choice.rung_factor, settings.horizon_epochs)
            return _Hyperband(choice, settings)
    return None  # `asha` does not end trials


class _Hyperband(HyperbandPruner):
    """Optuna deals trials to brackets by study name and its own trial number; here by seed and our
    number.

    Both of Optuna's differ from one launch to the next: a sweep's id is drawn, and a trial that
    went on after a pause has a second number. Where the last bracket's first rung would lie at the
    horizon, its trials are never judged.
    """

    def __init__(self, choice: OptunaSettings, settings: EngineSettings) -> None:
        super().__init__(choice.first_rung(settings.horizon_epochs), settings.horizon_epochs, choice.rung_factor)
        self._seed = settings.seed

    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        number = binascii.crc32(f"{trial.user_attrs.get(TRIAL_KEY)}".encode())
        named, numbered = SimpleNamespace(study_name=f"seed {self._seed}"), SimpleNamespace(number=number)
        return super()._get_bracket_id(named, numbered)  # type: ignore[arg-type]  # it reads these two alone
