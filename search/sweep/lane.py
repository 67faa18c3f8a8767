"""One thread that does one thing after the other, for someone who must not wait."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Lane:
    """Runs calls one at a time, in the order in which they were submitted.

    Unlike `ThreadPoolExecutor(1)` its thread is a daemon: a call that takes minutes does not hold up the end of the
    program after Ctrl-C.
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
