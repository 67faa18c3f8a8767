"""Time that passes only where somebody waits for it: a clock, and threads whose calls take such
time.

A simulation of discrete events in one real thread. Where real work is done that should take time
(an engine's ask), it is done at once, measured, and its answer is there when the virtual clock has
come so far.
"""

import heapq
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import count
from typing import TypeVar

T = TypeVar("T")
BEGINNING_S = 1_577_836_800.0
"""Unix time at which simulated sweeps begin, 2020-01-01: alike ones have alike ledgers."""


class VirtualClock:
    """A clock that is set forward, and what happens on the way.

    Attributes:
        now_s: virtual Unix time, in seconds.
        aside_s: real seconds that were spent on what is no work of a sweep's driver: the engine's
            thread, and the simulation itself.
    """

    def __init__(self) -> None:
        self.now_s = BEGINNING_S
        self.aside_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()

    @property
    def next_at_s(self) -> float:
        """When the next event is due; infinite if there is none."""
        return self._events[0][0] if self._events else float("inf")

    def call_at(self, at_s: float, act: Callable[[], None]) -> None:
        """Let something happen at a time, or at once if that is past; of one time in the order of
        the calls.
        """
        heapq.heappush(self._events, (at_s, next(self._serial), act))
        if at_s <= self.now_s:
            self.advance_to(self.now_s)

    def advance_to(self, at_s: float) -> None:
        """Set the clock forward, and let all happen that is due by then."""
        while self.next_at_s <= at_s:
            due_s, _, act = heapq.heappop(self._events)
            self.now_s = max(self.now_s, due_s)
            act()
        self.now_s = max(self.now_s, at_s)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Count the real seconds of a block in `aside_s`; blocks do not contain each other."""
        started_s = time.perf_counter()
        try:
            yield
        finally:
            self.aside_s += time.perf_counter() - started_s


class VirtualThread:
    """Runs calls at once, as a thread of its own that is as fast would in virtual time. See
    `search.sweep.engine_thread.SerialCalls`.
    """

    def __init__(self, clock: VirtualClock, takes_time: bool) -> None:
        """Open the thread.

        Args:
            clock: of the simulation.
            takes_time: whether a call takes the real seconds that were measured; else none.
        """
        self._clock = clock
        self._takes_time = takes_time
        self._free_at_s = clock.now_s

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """Run a call; the future has its result or its exception when the thread would be through
        with it.
        """
        outcome: Future[T] = Future()
        before_s = self._clock.aside_s
        with self._clock.aside():
            try:
                outcome.set_result(call())
            except Exception as error:
                outcome.set_exception(error)
        took_s = self._clock.aside_s - before_s if self._takes_time else 0.0
        self._free_at_s = max(self._free_at_s, self._clock.now_s) + took_s
        return _VirtualFuture(self._clock, self._free_at_s, outcome)

    def close(self) -> None:
        """Nothing is held."""


class _VirtualFuture(Future[T]):
    """A future that the virtual clock fulfils; who waits for it sets that clock forward."""

    def __init__(self, clock: VirtualClock, ready_at_s: float, outcome: "Future[T]") -> None:
        super().__init__()
        self._clock = clock
        self._ready_at_s = ready_at_s
        self._outcome = outcome
        clock.call_at(ready_at_s, self._fulfil)

    def result(self, timeout: float | None = None) -> T:
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._wait(timeout)
        return super().exception(0)

    def _wait(self, timeout: float | None) -> None:
        if not self.done():
            gives_up_at_s = float("inf") if timeout is None else self._clock.now_s + timeout
            self._clock.advance_to(min(self._ready_at_s, gives_up_at_s))

    def _fulfil(self) -> None:
        error = self._outcome.exception()
        if error is None:
            self.set_result(self._outcome.result())
        else:
            self.set_exception(error)
