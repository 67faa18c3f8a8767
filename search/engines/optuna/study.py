"""A sweep's ledger as an Optuna study, whichever engine searched: its values, its states, its
trials.

`StudyRecord` is written while the engine runs, in memory and in a database of the user's.
`study_from_ledger` converts a whole ledger at once, for figures and importances. `study_states`
reads back what the user's database holds, for those who compare it with the ledger.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage, get_storage
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState
from sqlalchemy.exc import SQLAlchemyError

from core.addresses import sqlite_path
from core.errors import EngineError, SpaceError
from core.space import Categorical, Dimension, Integer, Point, SearchSpace, Value
from core.space.adapters import on_grid, words_of
from search.engines.base import EngineSettings
from search.experiment.engine_settings import OptunaSettings
from search.experiment.experiment import Experiment
from search.experiment.secret_address import reveal
from search.ledger.state import SweepState, TrialRecord
from search.ledger.trial import TrialState

_LARGEST_INTEGER = 2**53  # Optuna keeps integers as floats, which are exact up to here


def distributions_of(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Optuna's distribution of each dimension.

    Raises:
        EngineError: if an integer is too large for Optuna.
    """
    return {dimension.name: _distribution_of(dimension) for dimension in space.dimensions}


def to_optuna(dimension: Dimension, value: Value) -> Any:
    """A value as Optuna's distribution of that dimension holds it."""
    return words_of(dimension)[_place_of(dimension, value)] if isinstance(dimension, Categorical) else value


def from_optuna(dimension: Dimension, value: Any) -> Value:
    """A value of that dimension, with the exact type, from one of Optuna's."""
    if isinstance(dimension, Categorical):
        words = words_of(dimension)
        return dimension.choices[next(place for place, word in enumerate(words) if word == value)]
    return on_grid(dimension, value)


def _distribution_of(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Categorical):
        return CategoricalDistribution(words_of(dimension))
    if isinstance(dimension, Integer):
        if max(abs(dimension.low), abs(dimension.high)) > _LARGEST_INTEGER:
            raise EngineError(
                f"{dimension.name}: Optuna's integers must lie within +-2**53, but got "
                f"[{dimension.low}, {dimension.high}]. Search its logarithm, or make it a real dimension."
            )
        return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _place_of(dimension: Categorical, value: Value) -> int:
    return next(
        place for place, choice in enumerate(dimension.choices) if type(choice) is type(value) and choice == value
    )


TRIAL_KEY = "whosehand_trial"
SEGMENT_KEY = "whosehand_part"
LEFT_OVER = "left over"


class Segment(NamedTuple):
    """What Optuna counts as one trial: one of ours, or a part of it if it was paused.

    Attributes:
        number: of our trial.
        place: 0 for the first part.
    """

    number: int
    place: int


def open_storage(url: str) -> BaseStorage:
    """Connect to a database of the user's.

    Raises:
        EngineError: says what is wrong with the address, without its password.
    """
    try:
        return get_storage(reveal(url))
    except RuntimeError as error:  # tables of another Optuna, or of another program, such as MLflow
        raise EngineError(
            f"`engine.storage` must be a database of Optuna's own, but {url} holds tables of another program or "
            f"version: {str(error).splitlines()[0]} Name a database for the study alone."
        ) from error
    except (ImportError, ValueError, OSError, SQLAlchemyError, OptunaError) as error:
        raise EngineError(
            f"`engine.storage` must be the address of a database that can be reached and written, such as "
            f"sqlite:///optuna.db, but got {str(url)!r}: {str(error).splitlines()[0].rstrip('.')}. "
            "Mend it, or leave it out: the study is then kept in memory."
        ) from error


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what a database raises in the middle of a sweep into an EngineError."""
    try:
        yield
    except (SQLAlchemyError, OptunaError) as error:
        raise EngineError(
            f"The study in `engine.storage` cannot be written: {str(error).splitlines()[0]} Nothing of the sweep is "
            "lost: its ledger has it all. Mend the database and run the same command again."
        ) from error


class StudyRecord:
    """Writes starts, reports and ends into one study; what is there already is not written
    again.
    """

    def __init__(self, storage: BaseStorage, settings: EngineSettings) -> None:
        """Open the sweep's study in `storage`, or make it.

        Raises:
            EngineError: if there is a study of this name that was made for something else.
        """
        self._storage = storage
        self._study = optuna.create_study(
            storage=storage,
            study_name=settings.sweep_id,
            direction=settings.direction,
            sampler=optuna.samplers.RandomSampler(seed=0),  # never asked
            pruner=optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        if self._study.direction.name.lower() != settings.direction:
            raise EngineError(
                f"The study {settings.sweep_id!r} must {settings.direction}, but it is there already and does not. "
                "Name another database in `engine.storage`, or delete the study."
            )
        self._study_id = storage.get_study_id_from_name(settings.sweep_id)
        self._found = self._study.get_trials(deepcopy=False)
        self._ids: dict[Segment, int] = {}

    def start(
        self,
        segment: Segment,
        params: Point,
        distributions: Mapping[str, BaseDistribution],
        values: Mapping[int, float],
        notes: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Take down that a part runs.

        Args:
            segment: ours.
            params: the point in Optuna's values.
            distributions: of the names in `params`.
            values: the trial's scores so far, by epoch.
            notes: what samplers and pruners look for in the trial.

        Raises:
            EngineError: if the study has this part with other parameters.
        """
        known = next((trial for trial in self._found if _segment_of(trial) == segment), None)
        if known is None:
            template = create_trial(
                state=OptunaState.RUNNING,
                params=dict(params),
                distributions=dict(distributions),
                intermediate_values=dict(values),
                user_attrs={TRIAL_KEY: segment.number, SEGMENT_KEY: segment.place},
                system_attrs=dict(notes),
            )
            self._ids[segment] = self._storage.create_new_trial(self._study_id, template_trial=template)
            return
        if known.params != dict(params):
            raise EngineError(
                f"Trial {segment.number} in the study {self._study.study_name!r} must have the ledger's parameters "
                f"{dict(params)}, but it has {known.params}. Name another database in `engine.storage`."
            )
        self._found.remove(known)
        self._ids[segment] = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, known.number)

    def report(self, segment: Segment, epoch: int, value: float) -> FrozenTrial:
        """Take down a score; return the trial with all of its scores."""
        trial_id = self._ids[segment]
        trial = self._storage.get_trial(trial_id)
        if epoch in trial.intermediate_values or trial.state.is_finished():
            return trial
        self._storage.set_trial_intermediate_value(trial_id, epoch, value)
        return self._storage.get_trial(trial_id)

    def end(self, segment: Segment, state: OptunaState, value: float | None) -> None:
        """Take down how a part ended."""
        trial = self._storage.get_trial(self._ids.pop(segment))
        if not trial.state.is_finished():
            self._study.tell(trial.number, value, state)

    def notes(self, segment: Segment) -> dict[str, Any]:
        """What samplers and pruners have written into a part that runs."""
        return dict(self._storage.get_trial(self._ids[segment]).system_attrs)

    def forget(self, segment: Segment) -> None:
        """Take back a part that was never used: Optuna deletes no trials, but looks at no failed
        ones.
        """
        trial_id = self._ids.pop(segment)
        self._storage.set_trial_user_attr(trial_id, SEGMENT_KEY, LEFT_OVER)
        self._study.tell(self._storage.get_trial(trial_id).number, state=OptunaState.FAIL)

    def close_leftovers(self) -> None:
        """End what runs in the study and not in the ledger: a crash can fall between the two.

        Raises:
            EngineError: if the study holds finished trials of a sweep that the ledger does not
                know.
        """
        for trial in self._found:
            if not trial.state.is_finished():
                trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)
                self._storage.set_trial_user_attr(trial_id, SEGMENT_KEY, LEFT_OVER)
                self._study.tell(trial.number, state=OptunaState.FAIL)
            elif _segment_of(trial) is not None:
                raise EngineError(
                    f"The study {self._study.study_name!r} must hold no finished trials of a sweep but the ledger's, "
                    f"but trial {trial.number} is none of them. Name another database in `engine.storage`."
                )
        self._found = []


def _segment_of(trial: FrozenTrial) -> Segment | None:
    """The part that a trial in the study stands for; `None` for left-overs and trials of somebody
    else's.
    """
    number, place = trial.user_attrs.get(TRIAL_KEY), trial.user_attrs.get(SEGMENT_KEY)
    return Segment(number, place) if isinstance(number, int) and isinstance(place, int) else None


OPTUNA_STATES: Mapping[TrialState, OptunaState] = {
    TrialState.RUNNING: OptunaState.RUNNING,
    TrialState.PAUSED: OptunaState.PRUNED,  # left RUNNING, it would count among TPE's bad ones
    TrialState.COMPLETED: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}
"""Optuna's state for each state of ours."""
STATES: Mapping[TrialState, str] = {state: optuna_state.name.lower() for state, optuna_state in OPTUNA_STATES.items()}
"""Optuna's word for each state of ours."""


def study_from_ledger(
    state: SweepState, space: SearchSpace, metric: str, direction: Literal["minimize", "maximize"]
) -> optuna.Study:
    """Convert a ledger to a study in memory, whichever engine proposed its trials.

    Each trial of the ledger is one trial of the study under the same number, also one that was
    paused and went on. It has its point, its scores by epoch, its final value and its times.
    A trial whose point lies outside of the space, such as an enqueued recipe, has no parameters;
    Optuna's own figures of parameters leave such a trial out.

    Args:
        state: of the sweep; it may be running.
        space: with fixed values as dimensions of one choice.
        metric: name of the score in the epochs' reports.
        direction: whether low or high values are better.

    Raises:
        EngineError: if Optuna cannot hold the space.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would print a line for each study
    distributions = distributions_of(space)
    study = optuna.create_study(
        study_name=state.created.sweep_id if state.created else None,
        direction=direction,
        sampler=optuna.samplers.RandomSampler(seed=0),  # never asked
        pruner=optuna.pruners.NopPruner(),
    )
    study.add_trials([_frozen(trial, space, distributions, metric) for trial in state.trials.values()])
    return study


def study_states(experiment: Experiment, sweep_id: str) -> Mapping[int, str] | None:
    """Optuna's word for each trial, by our number; `None` where the study is kept in memory.

    Raises:
        EngineError: if the database cannot be reached.
    """
    settings = experiment.engine
    if not isinstance(settings, OptunaSettings) or settings.storage is None:
        return None
    database = sqlite_path(settings.storage)
    if database is not None and not database.exists():
        return {}
    storage = open_storage(settings.storage)
    with storage_errors():
        studies = {study.study_name: study._study_id for study in storage.get_all_studies()}
        trials = storage.get_all_trials(studies[sweep_id], deepcopy=False) if sweep_id in studies else []
    # Of the segments of a paused trial the last one counts; what was left over has a text for its
    # segment.
    segments = [
        (trial.user_attrs[TRIAL_KEY], trial.user_attrs[SEGMENT_KEY], trial.state.name.lower())
        for trial in trials
        if isinstance(trial.user_attrs.get(SEGMENT_KEY), int)
    ]
    return {number: state for number, _, state in sorted(segments)}


def _frozen(
    trial: TrialRecord, space: SearchSpace, distributions: Mapping[str, BaseDistribution], metric: str
) -> FrozenTrial:
    """One trial of the ledger as Optuna keeps it."""
    try:
        point = space.restrict(trial.proposed.point)
    except SpaceError:
        point = {}
    value = trial.result.value if trial.result is not None and trial.state is TrialState.COMPLETED else None
    is_scored = value is not None and math.isfinite(value)
    state = OPTUNA_STATES[trial.state] if is_scored or trial.state is not TrialState.COMPLETED else OptunaState.FAIL
    scores = {event.report.epoch: event.report.metrics.get(metric, math.nan) for event in trial.reports}
    frozen = create_trial(
        state=state,
        value=value if is_scored else None,
        params={name: to_optuna(space[name], each) for name, each in point.items()},
        distributions={name: distributions[name] for name in point},
        user_attrs={TRIAL_KEY: trial.number},
        intermediate_values={epoch: score for epoch, score in scores.items() if math.isfinite(score)},
    )
    began_ms = trial.starts[0].at_ms if trial.starts else trial.proposed.at_ms
    frozen.datetime_start = datetime.fromtimestamp(began_ms / 1000)  # without a zone, as Optuna's own
    if state.is_finished():
        frozen.datetime_complete = datetime.fromtimestamp((trial.ended.at_ms if trial.ended else began_ms) / 1000)
    return frozen
