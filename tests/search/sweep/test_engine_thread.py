import threading
import time

import pytest

from core.errors import EngineError
from search.engines.base import Proposal, Start
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialState
from search.sweep.engine_thread import EngineThread
from tests.search.cheap_sweep import ScriptedEngine

REPORT = EpochReport(1, {"val/loss": 1.0}, 1, 1.0)


def wait_for_proposal(engine_thread: EngineThread) -> Proposal:
    while (proposal := engine_thread.take_proposal()) is None:
        time.sleep(0.005)
    return proposal


def test_an_ask_is_answered_once() -> None:
    answered = threading.Event()
    engine_thread = EngineThread(ScriptedEngine(), answered.set)
    engine_thread.ask(0)
    assert answered.wait(5)
    assert wait_for_proposal(engine_thread) == Start({"x": 0.5})
    assert engine_thread.take_proposal() is None
    assert not engine_thread.is_asking


def test_the_time_of_asks_is_taken_once_and_waiting_is_not_in_it() -> None:
    def slow(number: int) -> Proposal:
        time.sleep(0.2)
        return Start({"x": 0.5})

    def slow_decision(number: int, report: EpochReport) -> PruningDecision:
        time.sleep(0.5)
        return PruningDecision.GO

    engine_thread = EngineThread(ScriptedEngine(on_ask=slow, on_report=slow_decision), lambda: None, patience_s=0.01)
    engine_thread.judge(3, REPORT)
    for number in range(2):
        engine_thread.ask(number)
        wait_for_proposal(engine_thread)
    assert 0.4 <= engine_thread.take_ask_s() < 0.8
    assert engine_thread.take_ask_s() == 0


def test_the_strictest_of_late_and_new_verdicts_counts() -> None:
    go_on = threading.Event()
    decisions = iter([PruningDecision.STOP, PruningDecision.GO, PruningDecision.GO])
    engine = ScriptedEngine(
        on_ask=lambda number: Start({"waited": go_on.wait(10)}),
        on_report=lambda number, report: next(decisions),
    )
    engine_thread = EngineThread(engine, lambda: None, patience_s=0.05)
    engine_thread.ask(0)
    assert engine_thread.judge(3, REPORT) is PruningDecision.GO
    go_on.set()
    wait_for_proposal(engine_thread)
    assert engine_thread.judge(3, REPORT) is PruningDecision.STOP
    assert engine_thread.judge(3, REPORT) is PruningDecision.GO


def test_a_tell_that_fails_is_raised_at_the_next_look() -> None:
    class Forgetful(ScriptedEngine):
        def tell(self, number: int, result: TrialResult) -> None:
            raise ValueError("never heard of it")

    engine_thread = EngineThread(Forgetful(), lambda: None)
    engine_thread.tell(0, TrialResult(TrialState.COMPLETED, 1.0))
    engine_thread.ask(1)
    with pytest.raises(EngineError, match=r"`tell`.*never heard of it"):
        wait_for_proposal(engine_thread)


def test_an_engine_s_own_error_keeps_its_words() -> None:
    def refuse(number: int) -> Proposal:
        raise EngineError("No more than 3 is allowed, but got 4.")

    engine_thread = EngineThread(ScriptedEngine(on_ask=refuse), lambda: None)
    engine_thread.ask(0)
    with pytest.raises(EngineError, match=r"^No more than 3 is allowed, but got 4\.$"):
        wait_for_proposal(engine_thread)
