"""The Optuna engine: random search or TPE, with or without median pruning."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from core.errors import EngineError
from search.engines.base import Asked, Continue, EngineSettings, Event, Exhausted, Proposal, Reported, Start, Told
from search.engines.finite_space import PointKey, key_of, list_points
from search.engines.optuna_sampling import Judge, PointSampler
from search.engines.optuna_settings import OptunaSettings
from search.engines.optuna_space import distributions_of, to_optuna
from search.engines.optuna_study import Part, StudyRecord, open_storage, storage_errors
from search.trial import EpochReport, Point, TrialResult, TrialState, Verdict

_DRAWS = 8  # tries to get a new point from the sampler, and as many at random
_OPTUNA_STATES = {
    TrialState.COMPLETED: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.PAUSED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}


class OptunaEngine:
    """Proposes with Optuna's samplers, judges with its pruners.

    The study that they look at is in memory and rebuilt from the ledger; a database of the user's is a second
    copy, written and not read, so that it changes no proposal. A paused trial is PRUNED in Optuna, which else counts
    it among the bad ones; when it goes on, a new Optuna trial stands for its next part, with the scores so far. Points
    outside of the space are counted and not told. Optuna itself never pauses a trial: one that is paused for other
    reasons goes on before a new one starts.
    """

    def __init__(self, choice: OptunaSettings, settings: EngineSettings) -> None:
        """Open the studies.

        Raises:
            EngineError: if Optuna cannot hold the space, or its storage cannot be reached.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._settings = settings
        self._distributions = distributions_of(settings.space)
        storage = InMemoryStorage()
        self._memory = StudyRecord(storage, settings)
        self._sampler = PointSampler(choice, settings.space, storage, settings.sweep_id)
        self._judge = Judge(choice, storage, settings.sweep_id)
        self._mirror: StudyRecord | None = None
        if choice.storage is not None:
            user_storage = open_storage(choice.storage)
            with storage_errors():
                self._mirror = StudyRecord(user_storage, settings)
        self._points = list_points(settings.space)
        self._left = self._list_left(())
        self._proposed: set[PointKey] = set()
        self._trials: dict[int, _Trial] = {}
        self._running: set[int] = set()
        self._paused: list[int] = []

    def restore(self, history: Sequence[Event]) -> None:
        """Replay the ledger.

        Raises:
            EngineError: if the user's database holds something else than the ledger says.
        """
        for event in history:
            match event:
                case Asked(point=None):
                    self._go_on(event.number)
                case Asked(point=point) if point is not None:
                    self._start(event.number, point)
                case Reported():
                    self._take_down(event.number, event.report)
                case Told():
                    self._end(event.number, event.state, event.value)
        if self._mirror is not None:
            with storage_errors():
                self._mirror.close_leftovers()

    def ask(self, number: int) -> Proposal:
        """Propose the next point: the enqueued ones first, then one that was not there yet.

        Raises:
            EngineError: if the trial of this number is there and has reported or ended.
        """
        self._forget_unused(number)
        if self._paused:
            paused = min(self._paused)
            self._go_on(paused)
            return Continue(paused)
        enqueued = self._settings.enqueued
        point = enqueued[number] if number < len(enqueued) else self._new_point(number)
        if point is None:
            return Exhausted()
        self._start(number, point)
        return Start(point)

    def report(self, number: int, report: EpochReport) -> Verdict:
        """Judge a trial by its latest epoch.

        Raises:
            EngineError: if the trial is not running, or the objective is not among the epoch's scores.
        """
        trial = self._take_down(number, report)
        return Verdict.STOP if trial is not None and self._judge.is_hopeless(trial) else Verdict.GO

    def tell(self, number: int, result: TrialResult) -> None:
        """Learn how a trial, or a part of it, ended.

        Raises:
            EngineError: if the trial is not running.
        """
        self._end(number, result.state, result.value)

    def _new_point(self, number: int) -> Point | None:
        """A point that was not proposed yet; `None` if there is none left; an old one only where all tries gave one."""
        if self._left is not None and not self._left:
            return None
        for drawn in islice(self._sampler.draws(self._settings.seed, number), _DRAWS):
            if key_of(drawn) not in self._proposed:
                return drawn
        generator = np.random.default_rng([self._settings.seed, number])
        if self._left is not None:
            return list(self._left.values())[generator.integers(len(self._left))]
        elsewhere = [self._settings.space.sample(generator) for _ in range(_DRAWS)]
        return next((point for point in elsewhere if key_of(point) not in self._proposed), elsewhere[0])

    def _start(self, number: int, point: Point) -> None:
        key = key_of(point)
        self._proposed.add(key)
        if self._left is not None:
            self._left.pop(key, None)
        self._trials[number] = _Trial(point, is_in_space=self._settings.space.contains(point))
        self._begin_part(number)

    def _forget_unused(self, number: int) -> None:
        """Undo a Start that came too late: its number is asked for again."""
        trial = self._trials.get(number)
        if trial is None:
            return
        if number not in self._running or trial.scores or trial.n_parts > 1:
            raise EngineError(f"A new trial must have a new number, but {number} was proposed and used already.")
        self._running.remove(number)
        del self._trials[number]
        self._proposed = {key_of(other.point) for other in self._trials.values()}
        self._left = self._list_left(self._proposed)
        if not trial.is_in_space:
            return
        part = Part(number, 0)
        self._memory.forget(part)
        if self._mirror is not None:
            with storage_errors():
                self._mirror.forget(part)

    def _list_left(self, proposed: Collection[PointKey]) -> dict[PointKey, Point] | None:
        """The points of a small space that were not proposed, in its order; `None` if the space is large."""
        if self._points is None:
            return None
        return {key_of(point): point for point in self._points if key_of(point) not in proposed}

    def _go_on(self, number: int) -> None:
        self._paused.remove(number)
        self._trials[number].n_parts += 1
        self._begin_part(number)

    def _begin_part(self, number: int) -> None:
        trial = self._trials[number]
        self._running.add(number)
        if not trial.is_in_space:
            return
        params = {name: to_optuna(self._settings.space[name], value) for name, value in trial.point.items()}
        distributions = {name: self._distributions[name] for name in params}
        part = Part(number, trial.n_parts - 1)
        self._memory.start(part, params, distributions, trial.scores)
        if self._mirror is not None:
            with storage_errors():
                self._mirror.start(part, params, distributions, trial.scores)

    def _take_down(self, number: int, report: EpochReport) -> FrozenTrial | None:
        """Take a report down; return Optuna's trial, if it can be judged."""
        trial = self._running_trial(number)
        if self._settings.objective not in report.metrics:
            raise EngineError(
                f"`objective.metric` must be one of the scores of an epoch, but trial {number} reports "
                f"{', '.join(report.metrics) or 'none'}, not {self._settings.objective!r}."
            )
        value = report.metrics[self._settings.objective]
        # What is no number is not judged: the trial will end as failed, with its reason, by itself.
        if not math.isfinite(value):
            return None
        trial.scores[report.epoch] = value
        if not trial.is_in_space:
            return None
        part = Part(number, trial.n_parts - 1)
        if self._mirror is not None:
            with storage_errors():
                self._mirror.report(part, report.epoch, value)
        return self._memory.report(part, report.epoch, value)

    def _end(self, number: int, state: TrialState, value: float | None) -> None:
        trial = self._running_trial(number)
        if state is TrialState.RUNNING:
            raise EngineError(f"A trial must end as completed, paused, pruned or failed, but {number} ends as {state}.")
        self._running.remove(number)
        if state is TrialState.PAUSED:
            self._paused.append(number)
        if not trial.is_in_space:
            return
        is_scored = state is TrialState.COMPLETED and value is not None and math.isfinite(value)
        optuna_state = _OPTUNA_STATES[state] if is_scored or state is not TrialState.COMPLETED else OptunaState.FAIL
        part = Part(number, trial.n_parts - 1)
        self._memory.end(part, optuna_state, value if is_scored else None)
        if self._mirror is not None:
            with storage_errors():
                self._mirror.end(part, optuna_state, value if is_scored else None)

    def _running_trial(self, number: int) -> "_Trial":
        if number not in self._running:
            raise EngineError(f"A trial must run to report or end, but {number} does not.")
        return self._trials[number]


@dataclass
class _Trial:
    """What the engine keeps of one trial of ours.

    Attributes:
        point: as it was proposed.
        is_in_space: whether Optuna knows of it.
        scores: the objective by epoch.
        n_parts: Optuna trials that stand for it.
    """

    point: Point
    is_in_space: bool
    scores: dict[int, float] = field(default_factory=dict)
    n_parts: int = 1
