"""The KerasTuner engine: random search, Bayesian optimization, grid search or Hyperband, by
KerasTuner's oracles.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.errors import EngineError
from core.space import Point
from core.space.search_space import key_of
from search.engines.base import Continue, EngineSettings, Exhausted, Proposal, Start, Wait
from search.engines.keras_tuner.oracles import HyperbandOracle, open_oracle
from search.experiment.engine_settings import KerasTunerSettings
from search.ledger.events import EngineEvent, EpochReported, SegmentEnded, TrialContinued, TrialProposed
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialState


class KerasTunerEngine:
    """Proposes with KerasTuner's oracles, which are rebuilt from the ledger.

    What it proposes is a function of seed, trial number and history. With every oracle, a sweep
    that was interrupted goes on exactly as one that was not, so long as trials start and end in the
    ledger's order; with several workers an ask can be answered while a trial ends, and then the
    ledger's order counts after a restart.

    Hyperband's promotions, new trials to KerasTuner, are `Continue` here: the trial goes on from
    its checkpoint and stays one trial. A failed trial counts in all oracles as finished with the
    worst score of the sweep, so that no bracket waits for it and no Gaussian process meets what is
    no number; should it be promoted all the same, its next rung ends at once. The same holds for a
    trial that completed early, with its own score. Where a budget cuts off the last bracket, its
    paused trials stay paused: KerasTuner fills a first rung before it promotes from it.

    Enqueued points within the space take part like any other (in Hyperband they begin in a first
    rung), except in the grid, which leaves them out when it comes to them. Points outside of the
    space are counted and not told.
    """

    def __init__(self, choice: KerasTunerSettings, settings: EngineSettings) -> None:
        self._settings = settings
        self._oracle = open_oracle(choice, settings)
        self._has_grid = choice.oracle == "grid"
        self._enqueued = {key_of(point) for point in settings.enqueued}
        self._trials: dict[int, _Trial] = {}
        self._owners: dict[str, int] = {}
        self._scoreless: list[Any] = []
        self._worst: float | None = None

    def restore(self, history: Sequence[EngineEvent]) -> None:
        """Replay the ledger.

        Raises:
            EngineError: if the ledger has another rung for a trial than the oracle.
        """
        for event in history:
            match event:
                case TrialProposed():
                    self._check_rung(event, self._take_up(event.number, event.point, event.is_enqueued))
                case TrialContinued():
                    self._check_rung(event, self._go_on(event.number))
                case EpochReported():
                    self._take_down(event.number, event.report)
                case SegmentEnded():
                    self._end(event.number, event.result)

    def ask(self, number: int) -> Proposal:
        """Let a paused trial go on, or propose the next point: the enqueued ones first.

        Raises:
            EngineError: if the trial of this number is there and has reported or ended.
        """
        self._forget_unused(number)
        paused = self._next_to_go_on()
        if paused is not None:
            return Continue(paused, self._go_on(paused))
        if number < len(self._settings.enqueued):
            point = self._settings.enqueued[number]
            return Start(point, self._take_up(number, point))
        return self._propose(number)

    def enqueue(self, number: int, point: Point) -> Start:
        """Take up a point that the user enqueued; in Hyperband it begins in a first rung.

        Raises:
            EngineError: if the trial of this number is there and has reported or ended.
        """
        self._forget_unused(number)
        return Start(point, self._take_up(number, point, is_enqueued=True))

    def report(self, number: int, report: EpochReport) -> PruningDecision:
        """Let every trial go on to the end of its rung.

        Raises:
            EngineError: if the trial is not running, or the objective is not among the epoch's
                scores.
        """
        self._take_down(number, report)
        return PruningDecision.GO

    def tell(self, number: int, result: TrialResult) -> None:
        """Learn how a trial, or a part of it, ended.

        Raises:
            EngineError: if the trial is not running.
        """
        self._end(number, result)

    # Proposals.

    def _propose(self, number: int) -> Proposal:
        seed = 1 + int(np.random.SeedSequence([self._settings.seed, number]).generate_state(1)[0]) % (2**31 - 1)
        while True:
            proposed = self._oracle.propose(seed)
            if proposed.status == "IDLE":
                return Wait()
            if proposed.status == "STOPPED":
                return Exhausted()
            point = self._oracle.form.from_keras(proposed.hyperparameters.values)
            if not (self._has_grid and key_of(point) in self._enqueued):
                return Start(point, self._start(number, point, proposed))
            self._finish(proposed, None)  # the grid cannot be told what to leave out; its scores count for nothing

    def _take_up(self, number: int, point: Point, is_enqueued: bool = False) -> int | None:
        """Start a trial whose point is not the oracle's choice, or no longer; return the epoch of
        its rung's end.
        """
        is_for_oracle = self._settings.space.contains(point)
        if self._has_grid and (is_enqueued or number < len(self._settings.enqueued)):
            is_for_oracle = False
            self._enqueued.add(key_of(point))
        taken = self._oracle.take_up(self._oracle.form.to_keras(point)) if is_for_oracle else None
        return self._start(number, point, taken)

    def _start(self, number: int, point: Point, segment: Any) -> int | None:
        trial = self._trials[number] = _Trial(point)
        self._begin(number, trial, segment)
        return trial.until_epoch

    def _go_on(self, number: int) -> int | None:
        """Let a paused trial go on in its rung, or in the next; return the epoch of the rung's
        end.
        """
        trial = self._trials[number]
        if trial.is_between_rungs and isinstance(self._oracle, HyperbandOracle):
            self._begin(number, trial, self._oracle.promote(trial.segment.trial_id))
        trial.state = TrialState.RUNNING
        self._settle()
        return trial.until_epoch

    def _check_rung(self, event: TrialProposed | TrialContinued, until_epoch: int | None) -> None:
        """See that a trial of the ledger has the rung that the oracle gives it.

        With several workers an ask can be answered just before a trial ends and be written down
        just after, so that the oracle, if it were asked again here, might say something else. Rungs
        do not depend on that.
        """
        if until_epoch != event.until_epoch:
            raise EngineError(
                f"In the ledger trial {event.number} must run until epoch {until_epoch}, as KerasTuner has it, but it "
                f"runs until {event.until_epoch}. It was begun with another version of KerasTuner; start a new sweep."
            )

    def _begin(self, number: int, trial: "_Trial", segment: Any) -> None:
        trial.segment = segment
        if segment is not None:
            self._owners[segment.trial_id] = number
            trial.until_epoch = segment.hyperparameters.values.get("tuner/epochs")

    def _next_to_go_on(self) -> int | None:
        paused = [number for number, trial in self._trials.items() if trial.state is TrialState.PAUSED]
        early = [number for number in paused if not self._trials[number].is_between_rungs]
        if early:
            return min(early)
        promoted = self._oracle.next_promotion() if isinstance(self._oracle, HyperbandOracle) else None
        return None if promoted is None else self._owners[promoted]

    def _forget_unused(self, number: int) -> None:
        """Undo a Start that came too late: its number is asked for again."""
        trial = self._trials.get(number)
        if trial is None:
            return
        if trial.state is not TrialState.RUNNING or trial.n_epochs:
            raise EngineError(f"A new trial must have a new number, but {number} was proposed and used already.")
        if trial.segment is not None:
            del self._owners[trial.segment.trial_id]
            self._oracle.forget(trial.segment)
        del self._trials[number]

    # What became of them.

    def _take_down(self, number: int, report: EpochReport) -> None:
        trial = self._running_trial(number)
        if self._settings.objective not in report.metrics:
            raise EngineError(
                f"`objective.metric` must be one of the scores of an epoch, but trial {number} reports "
                f"{', '.join(report.metrics) or 'none'}, not {self._settings.objective!r}."
            )
        trial.n_epochs = max(trial.n_epochs, report.epoch)
        trial.best = self._better(trial.best, report.metrics[self._settings.objective])

    def _end(self, number: int, result: TrialResult) -> None:
        trial, state = self._running_trial(number), result.state
        if state is TrialState.RUNNING:
            raise EngineError(f"A trial must end as completed, paused, pruned or failed, but {number} ends as {state}.")
        trial.state = state
        if trial.segment is None or (state is TrialState.PAUSED and not trial.is_between_rungs):
            return
        match state:
            case TrialState.COMPLETED:
                score = self._better(None, result.value)
            case TrialState.FAILED:
                score = None
            case _:
                score = (
                    trial.best
                    if trial.best is not None
                    else self._better(None, result.metrics.get(self._settings.objective))
                )
        self._finish(trial.segment, score)
        self._settle()

    def _settle(self) -> None:
        """End at once what is promoted and cannot go on: trials that failed, or ended before their
        rung did.
        """
        if not isinstance(self._oracle, HyperbandOracle):
            return
        while (parent_id := self._oracle.next_promotion()) is not None:
            number = self._owners[parent_id]
            trial = self._trials[number]
            if trial.state is TrialState.PAUSED:
                return
            score = None if trial.segment in self._scoreless else trial.segment.score
            self._begin(number, trial, self._oracle.promote(parent_id))
            self._finish(trial.segment, score)

    def _finish(self, segment: Any, score: float | None) -> None:
        """End KerasTuner's trial with its score, or with the sweep's worst one, which is kept up to
        date.
        """
        if score is None:
            self._scoreless.append(segment)
        elif self._worst is None or self._better(self._worst, score) == self._worst:
            self._worst = score
        self._oracle.finish(segment, score if score is not None else self._worst or 0.0)
        for scoreless in self._scoreless:
            scoreless.score = self._worst or 0.0

    def _better(self, one: float | None, other: float | None) -> float | None:
        """The better of two scores; what is no finite number is none."""
        scores = [score for score in (one, other) if score is not None and math.isfinite(score)]
        choose = min if self._settings.direction == "minimize" else max
        return choose(scores, default=None)

    def _running_trial(self, number: int) -> "_Trial":
        trial = self._trials.get(number)
        if trial is None or trial.state is not TrialState.RUNNING:
            raise EngineError(f"A trial must run to report or end, but {number} does not.")
        return trial


@dataclass
class _Trial:
    """What the engine keeps of one trial of ours.

    Attributes:
        point: as it was proposed.
        segment: KerasTuner's trial for the rung that it is in; `None` if KerasTuner does not know
            of it.
        until_epoch: where that rung ends; `None` for the horizon.
        state: ours.
        n_epochs: done.
        best: the best score of an epoch.
    """

    point: Point
    segment: Any = field(default=None, repr=False)
    until_epoch: int | None = None
    state: TrialState = TrialState.RUNNING
    n_epochs: int = 0
    best: float | None = None

    @property
    def is_between_rungs(self) -> bool:
        """Whether it has come to the end of its rung."""
        return self.until_epoch is not None and self.n_epochs >= self.until_epoch
