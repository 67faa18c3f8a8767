"""Given points are started in order, and each is trained to its end."""

from search.engines.base import Exhausted, Start
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialState
from search.sweep.given_points import FixedEngine


def test_points_are_started_in_order_and_then_there_is_nothing_more() -> None:
    engine = FixedEngine([{"x": 1}, {"x": 2}])
    assert [engine.ask(number) for number in range(3)] == [Start({"x": 1}), Start({"x": 2}), Exhausted()]


def test_every_trial_trains_to_its_end() -> None:
    engine = FixedEngine([{"x": 1}])
    assert engine.report(0, EpochReport(1, {"val/loss": float("inf")}, 10, 1.0)) is PruningDecision.GO
    engine.tell(0, TrialResult(TrialState.FAILED))
    assert isinstance(engine.ask(1), Exhausted)


def test_a_restored_engine_goes_on_by_the_trials_number_alone() -> None:
    engine = FixedEngine([{"x": 1}, {"x": 2}])
    engine.restore(())
    assert engine.ask(1) == Start({"x": 2})
