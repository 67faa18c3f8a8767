"""The engine in a thread of its own: one caller at a time, and no worker waits long for a
decision.
"""

import concurrent.futures
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol, TypeVar

from core.errors import EngineError
from core.space import Point
from search.engines.base import Engine, Proposal
from search.ledger.events import EngineEvent
from search.ledger.trial import EpochReport, PruningDecision, TrialResult

T = TypeVar("T")


class SerialCalls(Protocol):
    """Runs calls one at a time, in the order in which they were submitted."""

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """Queue a call; the future gets its result or its exception."""
        ...

    def close(self) -> None:
        """Take no more calls; does not wait for those that are queued."""
        ...


class SerialExecutor:
    """Runs calls one at a time, in the order in which they were submitted.

    Unlike `ThreadPoolExecutor(1)` its thread is a daemon: a call that takes minutes does not hold
    up the end of the program after Ctrl-C.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """Queue a call; the future gets its result or its exception."""
        future: Future[T] = Future()

        def fulfil() -> None:
            try:
                result = call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self._calls.put(fulfil)
        return future

    def close(self) -> None:
        """Let the thread end after what is queued; does not wait for it."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


_STRICTNESS = (PruningDecision.GO, PruningDecision.PAUSE, PruningDecision.STOP)


class EngineThread:
    """Calls an engine from one thread of its own, in order.

    An ask may take many seconds (a Gaussian process over hundreds of trials); meanwhile a report is
    answered GO after `patience_s`, and the engine's decision on it, when it comes, counts at the
    trial's next report. With one worker this never happens, because nothing is asked while the
    worker is busy.
    """

    def __init__(
        self,
        engine: Engine,
        on_answer: Callable[[], None],
        patience_s: float = 0.25,
        open_thread: Callable[[str], SerialCalls] = SerialExecutor,
    ) -> None:
        """Start the thread.

        Args:
            engine: not touched by anyone else from now on.
            on_answer: called, from the engine's thread, when an ask is answered.
            patience_s: how long a report waits for its decision.
            open_thread: gives what calls run in, by its name.
        """
        self._engine = engine
        self._on_answer = on_answer
        self._patience_s = patience_s
        self._serial_executor = open_thread("engine")
        self._asked: Future[Proposal] | None = None
        self._late: dict[int, list[Future[PruningDecision]]] = {}
        self._told: list[Future[None]] = []
        self._ask_s = 0.0

    @property
    def is_asking(self) -> bool:
        """Whether an ask was not yet taken by `take_proposal`."""
        return self._asked is not None

    def restore(self, history: Sequence[EngineEvent]) -> None:
        """Bring the engine to where the ledger is.

        Raises:
            EngineError: if it cannot be.
        """
        _result_of("restore", self._serial_executor.submit(lambda: self._engine.restore(history)))

    def ask(self, number: int, enqueued: Point | None = None) -> None:
        """Ask for what to do next; `take_proposal` has the answer when `on_answer` was called.

        Args:
            number: of the trial, if it is a new one.
            enqueued: a point that the engine has to take up instead of proposing one.
        """
        self._asked = self._serial_executor.submit(lambda: self._ask(number, enqueued))
        self._asked.add_done_callback(lambda _: self._on_answer())

    def take_proposal(self) -> Proposal | None:
        """Return the answer to the ask, once, or `None` while there is none.

        Raises:
            EngineError: if the engine failed.
        """
        self.check()
        if self._asked is None or not self._asked.done():
            return None
        answered, self._asked = self._asked, None
        return _result_of("ask", answered)

    def take_ask_s(self) -> float:
        """Seconds that the engine worked on asks since this was called last; waiting for its thread
        is not counted.

        Call it while `is_asking` is False.
        """
        ask_s, self._ask_s = self._ask_s, 0.0
        return round(ask_s, 6)

    def judge(self, number: int, report: EpochReport) -> PruningDecision:
        """Return the engine's decision on a report, or GO if it takes too long.

        Raises:
            EngineError: if the engine failed.
        """
        decision = self._serial_executor.submit(lambda: self._engine.report(number, report))
        decisions = [*self._late.pop(number, []), decision]
        try:
            decision.exception(self._patience_s)
        except concurrent.futures.TimeoutError:
            self._late[number] = decisions
            return PruningDecision.GO
        return max((_result_of("report", each) for each in decisions), key=_STRICTNESS.index)

    def tell(self, number: int, result: TrialResult) -> None:
        """Tell the engine how a trial, or a part of it, ended; does not wait."""
        self._late.pop(number, None)
        self._told.append(self._serial_executor.submit(lambda: self._engine.tell(number, result)))

    def check(self) -> None:
        """Raise what a tell left behind.

        Raises:
            EngineError: if the engine failed.
        """
        done = [told for told in self._told if told.done()]
        self._told = [told for told in self._told if told not in done]
        for told in done:
            _result_of("tell", told)

    def close(self) -> None:
        """Let the engine's thread end when it is through with what it has."""
        self._serial_executor.close()

    def _ask(self, number: int, enqueued: Point | None) -> Proposal:
        started_s = time.perf_counter()
        try:
            return self._engine.ask(number) if enqueued is None else self._engine.enqueue(number, enqueued)
        finally:
            self._ask_s += time.perf_counter() - started_s


def _result_of(verb: str, future: "Future[T]") -> T:
    try:
        return future.result()
    except EngineError:
        raise
    except Exception as error:  # an engine is somebody else's code as much as a trial is
        raise EngineError(
            f"The engine must answer `{verb}`, but it failed with {type(error).__name__}: {error}. "
            "The ledger is whole; run the sweep again to go on from it."
        ) from error
