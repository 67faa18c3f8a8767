"""The protocol between a sweep and whatever proposes its trials.

The sweep owns the trial numbers and the ledger; an engine is a projection of the ledger that can be
thrown away and built again from it. An engine keeps its own ids, several for one of our trials if
it must.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from core.space import Point, SearchSpace
from search.ledger.events import EngineEvent
from search.ledger.trial import EpochReport, PruningDecision, TrialResult


@dataclass(frozen=True)
class Start:
    """Start a new trial; it gets the number that was given to `ask`."""

    point: Point
    until_epoch: int | None = None  # None: the horizon


@dataclass(frozen=True)
class Continue:
    """Let a paused trial go on from its checkpoint."""

    number: int
    until_epoch: int | None = None  # None: the horizon


@dataclass(frozen=True)
class Wait:
    """Nothing to start before one of the running trials reports or ends."""


@dataclass(frozen=True)
class Exhausted:
    """Nothing more to start, ever: the space is covered or the plan is done."""


Proposal = Start | Continue | Wait | Exhausted


@dataclass(frozen=True)
class EngineSettings:
    """What every engine is given.

    Attributes:
        space: what to search.
        enqueued: points to try first, in order; a point may lie outside `space` (the engine then
            only counts it).
        seed: of the sweep; an engine derives what it needs from (seed, trial number).
        objective: name of the metric in the epochs' reports by which a running trial is judged.
        direction: whether low or high values are better.
        horizon_epochs: the full length of a trial.
        sweep_id: names the study where an engine keeps one.
        defaults: all hyperparameters as they are without a search, as far as that is known; `None`
            for nothing.
    """

    space: SearchSpace
    enqueued: tuple[Point, ...]
    seed: int
    objective: str
    direction: Literal["minimize", "maximize"]
    horizon_epochs: int
    sweep_id: str
    defaults: Point | None = None


class Engine(Protocol):
    """Proposes trials, judges running ones, learns from finished ones."""

    def restore(self, history: Sequence[EngineEvent]) -> None:
        """Bring a fresh engine to where the ledger is. Called once, before anything else.

        Trials that were proposed and did not end are pending: they will be reported and told as if
        nothing had happened.

        Args:
            history: the ledger's events that concern an engine, in order.
        """
        ...

    def ask(self, number: int) -> Proposal:
        """Say what to do with a free worker; a Start will be trial `number`.

        `number` counts up from 0 without gaps. Same seed and same history, same answer. The same
        number is asked for again when its Start came too late to be used: the budget was used up,
        or the sweep was being stopped. A Continue is allowed for trials that were told PAUSED, a
        Wait only while a trial is running.
        """
        ...

    def enqueue(self, number: int, point: Point) -> Start:
        """Take up a point that the user enqueued while the sweep ran, as trial `number`.

        Instead of an ask, and like one: the same number may come again when the Start was not used.
        The point may lie outside of the space; it is then only counted.

        Returns:
            A Start of this very point.
        """
        ...

    def report(self, number: int, report: EpochReport) -> PruningDecision:
        """Judge a running trial by its latest epoch.

        It is given the worker's report: the decision that it returns is part of the ledger's event.
        While an ask takes long, the trial is answered GO without this decision, which then counts
        at its next report.
        """
        ...

    def tell(self, number: int, result: TrialResult) -> None:
        """Learn how a trial, or a segment of it, ended: the same result that the ledger has."""
        ...
