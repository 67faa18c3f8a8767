"""What a sweep's engine holds in a database of the user's, for those who compare it with the ledger."""

from collections.abc import Mapping
from pathlib import Path

from search.experiment.engine_settings import OptunaSettings
from search.experiment.experiment import Experiment
from search.ledger.trial import TrialState

STATES: Mapping[TrialState, str] = {
    TrialState.RUNNING: "running",
    TrialState.PAUSED: "pruned",  # a trial that is left RUNNING would count among TPE's bad ones
    TrialState.COMPLETED: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAILED: "fail",
}
"""Optuna's word for each state of ours."""


def study_states(experiment: Experiment, sweep_id: str) -> Mapping[int, str] | None:
    """Optuna's word for each trial, by our number; `None` where the study is kept in memory.

    Raises:
        EngineError: if the database cannot be reached.
    """
    settings = experiment.engine
    if not isinstance(settings, OptunaSettings) or settings.storage is None:
        return None
    if settings.storage.startswith("sqlite:///") and not Path(settings.storage.removeprefix("sqlite:///")).exists():
        return {}
    from search.engines.optuna.study import PART_KEY, TRIAL_KEY, open_storage, storage_errors

    storage = open_storage(settings.storage)
    with storage_errors():
        studies = {study.study_name: study._study_id for study in storage.get_all_studies()}
        trials = storage.get_all_trials(studies[sweep_id], deepcopy=False) if sweep_id in studies else []
    # Of the parts of a paused trial the last one counts; what was left over and closed has a text for its part.
    parts = [
        (trial.user_attrs[TRIAL_KEY], trial.user_attrs[PART_KEY], trial.state.name.lower())
        for trial in trials
        if isinstance(trial.user_attrs.get(PART_KEY), int)
    ]
    return {number: state for number, _, state in sorted(parts)}
