"""The Optuna engine: its samplers and pruners, and successive halving that goes on."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import numpy as np
import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from core.errors import EngineError
from core.space import Point, Value
from core.space.search_space import PointKey, key_of, list_points
from search.engines.base import Continue, EngineSettings, Exhausted, Proposal, Start
from search.engines.optuna.priorband import PriorBand
from search.engines.optuna.pruning import TrialPruner
from search.engines.optuna.sampling import PointSampler
from search.engines.optuna.study import (
    OPTUNA_STATES,
    Segment,
    StudyRecord,
    distributions_of,
    open_storage,
    storage_errors,
    to_optuna,
)
from search.engines.rungs import RungLadder, rung_epochs
from search.experiment.engine_settings import OptunaSettings
from search.ledger.events import EngineEvent, EpochReported, SegmentEnded, TrialContinued, TrialProposed
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialState

_DRAWS = 8  # tries to get a new point from the sampler, and as many at random


class OptunaEngine:
    """Proposes with Optuna's samplers, judges with its pruners.

    The study that they look at is in memory and rebuilt from the ledger; a database of the user's
    is a second copy, written and not read, so that it changes no proposal. A paused trial is PRUNED
    in Optuna, which else counts it among the bad ones; when it goes on, a new Optuna trial stands
    for its next part, with the scores so far. Points outside of the space are counted and not told.
    Optuna itself never pauses a trial; `asha` does, and lets it go on when it is among the best of
    its rung. A trial that is paused for other reasons goes on before a new one starts.
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
        self._sampler = PointSampler(choice, settings, storage, settings.sweep_id)
        self._judge = TrialPruner(choice, settings, storage, settings.sweep_id)
        self._choice = choice
        self._ladder = _ladder_of(choice, settings)
        self._prior = (
            PriorBand(settings, choice.rung_factor, choice.n_startup_trials) if choice.sampler == "priorband" else None
        )
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

    def restore(self, history: Sequence[EngineEvent]) -> None:
        """Replay the ledger.

        Raises:
            EngineError: if the user's database holds something else than the ledger says.
        """
        for event in history:
            match event:
                case TrialProposed():
                    self._start(event.number, event.point, is_enqueued=event.is_enqueued)
                case TrialContinued():
                    self._go_on(event.number)
                case EpochReported():
                    self._judge_report(event.number, event.report, is_replay=True)
                case SegmentEnded():
                    self._end(event.number, event.result)
        if self._mirror is not None:
            with storage_errors():
                self._mirror.close_leftovers()

    def ask(self, number: int) -> Proposal:
        """Propose the next point: the enqueued ones first, then one that was not there yet.

        Raises:
            EngineError: if the trial of this number is there and has reported or ended.
        """
        self._forget_unused(number)
        paused = self._next_to_go_on()
        if paused is not None:
            self._go_on(paused)
            return Continue(paused)
        enqueued = self._settings.enqueued
        point = enqueued[number] if number < len(enqueued) else self._new_point(number)
        if point is None:
            return Exhausted()
        self._start(number, point)
        return Start(point)

    def enqueue(self, number: int, point: Point) -> Start:
        """Take up a point that the user enqueued.

        Raises:
            EngineError: if the trial of this number is there and has reported or ended.
        """
        self._forget_unused(number)
        self._start(number, point, is_enqueued=True)
        return Start(point)

    def report(self, number: int, report: EpochReport) -> PruningDecision:
        """Judge a trial by its latest epoch.

        Raises:
            EngineError: if the trial is not running, or the objective is not among the epoch's
                scores.
        """
        return self._judge_report(number, report)

    def tell(self, number: int, result: TrialResult) -> None:
        """Learn how a trial, or a part of it, ended.

        Raises:
            EngineError: if the trial is not running.
        """
        self._end(number, result)

    def _new_point(self, number: int) -> Point | None:
        """A point that was not proposed yet; `None` if there is none left; an old one only where
        all tries gave one.
        """
        if self._left is not None and not self._left:
            return None
        for drawn in islice(self._draws(number), _DRAWS):
            if key_of(drawn) not in self._proposed:
                return drawn
        generator = np.random.default_rng([self._settings.seed, number])
        if self._left is not None:
            return list(self._left.values())[generator.integers(len(self._left))]
        elsewhere = [self._settings.space.sample(generator) for _ in range(_DRAWS)]
        return next((point for point in elsewhere if key_of(point) not in self._proposed), elsewhere[0])

    def _start(self, number: int, point: Point, is_enqueued: bool = False) -> None:
        key = key_of(point)
        self._proposed.add(key)
        if self._left is not None:
            self._left.pop(key, None)
        is_given = is_enqueued or number < len(self._settings.enqueued)
        trial = self._trials[number] = _Trial(point, self._settings.space.contains(point), is_given)
        if not is_given:
            trial.notes = dict(self._sampler.notes(number))
        self._begin_part(number)

    def _draws(self, number: int) -> Iterator[dict[str, Value]]:
        if self._prior is None or self._ladder is None:
            return self._sampler.draws(number)
        best = [self._trials[each].point for each in self._ladder.best_at_the_top()]
        return self._prior.draws(number, best, self._ladder.n_at_last, lambda: self._sampler.draws(number))

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
        if self._ladder is not None:
            self._ladder.forget(number)
        if not trial.is_in_space:
            return
        segment = Segment(number, 0)
        self._memory.forget(segment)
        if self._mirror is not None:
            with storage_errors():
                self._mirror.forget(segment)

    def _list_left(self, proposed: Collection[PointKey]) -> dict[PointKey, Point] | None:
        """The points of a small space that were not proposed, in its order; `None` if the space is
        large.
        """
        if self._points is None:
            return None
        return {key_of(point): point for point in self._points if key_of(point) not in proposed}

    def _next_to_go_on(self) -> int | None:
        if self._ladder is None:
            return min(self._paused, default=None)
        elsewhere = [number for number in self._paused if not self._ladder.is_at_a_rung(number)]
        return min(elsewhere, default=self._ladder.next_to_go_on(self._paused))

    def _go_on(self, number: int) -> None:
        self._paused.remove(number)
        if self._ladder is not None:
            self._ladder.let_go_on(number)
        self._trials[number].n_parts += 1
        self._begin_part(number)

    def _begin_part(self, number: int) -> None:
        trial = self._trials[number]
        self._running.add(number)
        if not trial.is_in_space:
            return
        params = {name: to_optuna(self._settings.space[name], value) for name, value in trial.point.items()}
        distributions = {name: self._distributions[name] for name in params}
        segment = Segment(number, trial.n_parts - 1)
        self._memory.start(segment, params, distributions, trial.scores, trial.notes)
        if self._mirror is not None:
            with storage_errors():
                self._mirror.start(segment, params, distributions, trial.scores)

    def _judge_report(self, number: int, report: EpochReport, is_replay: bool = False) -> PruningDecision:
        """Take a report down and judge it; in a replay only so far as what follows depends on
        it.
        """
        frozen, trial = self._take_down(number, report), self._trials[number]
        is_judged = self._ladder is not None and trial.scores and report.epoch < self._settings.horizon_epochs
        if self._ladder is not None and is_judged:
            best = trial.best(self._settings.direction)
            place = trial.seconds if self._choice.has_rungs_by_seconds else report.epoch
            if trial.is_given:  # a baseline, or what the user believes in
                self._ladder.pass_by(number, place, best)
                return PruningDecision.GO
            return PruningDecision.GO if self._ladder.may_go_on(number, place, best) else PruningDecision.PAUSE
        if frozen is None or (is_replay and not self._judge.keeps_notes):
            return PruningDecision.GO
        return PruningDecision.STOP if self._judge.should_prune(frozen) else PruningDecision.GO

    def _take_down(self, number: int, report: EpochReport) -> FrozenTrial | None:
        """Take a report down; return Optuna's trial, if it can be judged."""
        trial = self._running_trial(number)
        if self._settings.objective not in report.metrics:
            raise EngineError(
                f"`objective.metric` must be one of the scores of an epoch, but trial {number} reports "
                f"{', '.join(report.metrics) or 'none'}, not {self._settings.objective!r}."
            )
        value = report.metrics[self._settings.objective]
        trial.seconds += report.duration_s
        # What is no number is not judged: the trial will end as failed, with its reason, by itself.
        if not math.isfinite(value):
            return None
        trial.scores[report.epoch] = value
        if self._ladder is not None and not self._ladder.is_laid:
            self._lay_rungs(self._ladder, trial.seconds / report.epoch)
        if not trial.is_in_space:
            return None
        segment = Segment(number, trial.n_parts - 1)
        if self._mirror is not None:
            with storage_errors():
                self._mirror.report(segment, report.epoch, value)
        return self._memory.report(segment, report.epoch, value)

    def _lay_rungs(self, ladder: RungLadder, epoch_s: float) -> None:
        """By the speed of the first trial that reports."""
        n_epochs = self._settings.horizon_epochs
        ladder.lay_in_seconds(self._choice.first_rung(n_epochs), n_epochs, epoch_s)

    def _end(self, number: int, result: TrialResult) -> None:
        trial, state, value = self._running_trial(number), result.state, result.value
        if state is TrialState.RUNNING:
            raise EngineError(f"A trial must end as completed, paused, pruned or failed, but {number} ends as {state}.")
        self._running.remove(number)
        if state is TrialState.PAUSED:
            self._paused.append(number)
        elif self._ladder is not None and state is TrialState.COMPLETED and trial.scores:
            self._ladder.end(number, trial.best(self._settings.direction))
        if not trial.is_in_space:
            return
        is_scored = state is TrialState.COMPLETED and value is not None and math.isfinite(value)
        optuna_state = OPTUNA_STATES[state] if is_scored or state is not TrialState.COMPLETED else OptunaState.FAIL
        segment = Segment(number, trial.n_parts - 1)
        trial.notes = self._memory.notes(segment)  # if it goes on, its next part is judged where this one was
        self._memory.end(segment, optuna_state, value if is_scored else None)
        if self._mirror is not None:
            with storage_errors():
                self._mirror.end(segment, optuna_state, value if is_scored else None)

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
        is_given: whether it was enqueued: it waits at no rung.
        scores: the objective by epoch.
        n_parts: Optuna trials that stand for it.
        seconds: of its epochs so far.
        notes: what samplers and pruners keep in it.
    """

    point: Point
    is_in_space: bool
    is_given: bool
    scores: dict[int, float] = field(default_factory=dict)
    n_parts: int = 1
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)

    def best(self, direction: Literal["minimize", "maximize"]) -> float:
        """The best score of an epoch; there must be one."""
        return min(self.scores.values()) if direction == "minimize" else max(self.scores.values())


def _ladder_of(choice: OptunaSettings, settings: EngineSettings) -> RungLadder | None:
    if not choice.pauses:
        return None
    n_epochs = settings.horizon_epochs
    epochs = rung_epochs(choice.first_rung(n_epochs), choice.rung_factor, n_epochs)
    return RungLadder(None if choice.has_rungs_by_seconds else epochs, choice.rung_factor, settings.direction)
