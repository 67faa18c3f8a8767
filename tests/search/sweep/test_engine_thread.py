"""TODO."""

import threading
import time

import pytest

from core.errors import EngineError
from search.engines.base import Proposal, Start
from search.ledger.trial import EpochReport, TrialResult, TrialState, Verdict
from search.sweep.engine_thread import EngineDesk
from tests.search.cheap_sweep import ScriptedEngine

REPORT = EpochReport(1, {"val/loss": 1.0}, 1, 1.0)


def wait_for_proposal(desk: EngineDesk) -> Proposal:
    while (proposal := desk.take_proposal()) is None:
        time.sleep(0.005)
    return proposal


def test_an_ask_is_answered_once() -> None:
    answered = threading.Event()
    desk = EngineDesk(ScriptedEngine(), answered.set)
    desk.ask(0)
    assert answered.wait(5)
    assert wait_for_proposal(desk) == Start({"x": 0.5})
    assert desk.take_proposal() is None
    assert not desk.is_asking


def test_the_time_of_asks_is_taken_once_and_waiting_is_not_in_it() -> None:
    def slow(number: int) -> Proposal:
        time.sleep(0.2)
        return Start({"x": 0.5})

    def slow_verdict(number: int, report: EpochReport) -> Verdict:
        time.sleep(0.5)
        return Verdict.GO

    desk = EngineDesk(ScriptedEngine(on_ask=slow, on_report=slow_verdict), lambda: None, patience_s=0.01)
    desk.judge(3, REPORT)
    for number in range(2):
        desk.ask(number)
        wait_for_proposal(desk)
    assert 0.4 <= desk.take_ask_s() < 0.8
    assert desk.take_ask_s() == 0


def test_the_strictest_of_late_and_new_verdicts_counts() -> None:
    go_on = threading.Event()
    verdicts = iter([Verdict.STOP, Verdict.GO, Verdict.GO])
    engine = ScriptedEngine(
        on_ask=lambda number: Start({"waited": go_on.wait(10)}),
        on_report=lambda number, report: next(verdicts),
    )
    desk = EngineDesk(engine, lambda: None, patience_s=0.05)
    desk.ask(0)
    assert desk.judge(3, REPORT) is Verdict.GO
    go_on.set()
    wait_for_proposal(desk)
    assert desk.judge(3, REPORT) is Verdict.STOP
    assert desk.judge(3, REPORT) is Verdict.GO


def test_a_tell_that_fails_is_raised_at_the_next_look() -> None:
    class Forgetful(ScriptedEngine):
        def tell(self, number: int, result: TrialResult) -> None:
            raise ValueError("never heard of it")

    desk = EngineDesk(Forgetful(), lambda: None)
    desk.tell(0, TrialResult(TrialState.COMPLETED, 1.0))
    desk.ask(1)
    with pytest.raises(EngineError, match=r"`tell`.*never heard of it"):
        wait_for_proposal(desk)


def test_an_engine_s_own_error_keeps_its_words() -> None:
    def refuse(number: int) -> Proposal:
        raise EngineError("No more than 3 is allowed, but got 4.")

    desk = EngineDesk(ScriptedEngine(on_ask=refuse), lambda: None)
    desk.ask(0)
    with pytest.raises(EngineError, match=r"^No more than 3 is allowed, but got 4\.$"):
        wait_for_proposal(desk)
