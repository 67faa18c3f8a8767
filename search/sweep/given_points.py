"""An engine that searches nothing: it starts given points in order and lets each train to its end."""

from collections.abc import Sequence

from core.space import Point
from search.engines.base import Exhausted, Proposal, Start
from search.ledger.events import EngineEvent
from search.ledger.trial import EpochReport, PruningDecision, TrialResult


class FixedEngine:
    """Trains a list of points, such as the one point of a refit. See `search.engines.base.Engine`."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = tuple(points)

    def restore(self, history: Sequence[EngineEvent]) -> None:
        """Nothing to restore: which point is next follows from the trial's number."""

    def ask(self, number: int) -> Proposal:
        """Start the point with this number."""
        return Start(self._points[number]) if number < len(self._points) else Exhausted()

    def enqueue(self, number: int, point: Point) -> Start:
        """Start it; the list is not changed by it."""
        return Start(point)

    def report(self, number: int, report: EpochReport) -> PruningDecision:
        """Let every trial go on."""
        return PruningDecision.GO

    def tell(self, number: int, result: TrialResult) -> None:
        """Nothing to learn."""
