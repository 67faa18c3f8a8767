"""How the user steers a running sweep: Ctrl-C and SIGTERM, as a request that the loop looks at."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """How urgently the user wants the sweep to stop."""

    def __init__(self) -> None:
        self.n_signals = 0

    @property
    def is_made(self) -> bool:
        """Whether to stop when the running epochs are done."""
        return self.n_signals >= 1

    @property
    def is_urgent(self) -> bool:
        """Whether to stop at once."""
        return self.n_signals >= 2


@contextmanager
def stop_signals(on_signal: Callable[[], None]) -> Iterator[StopRequest]:
    """Turn Ctrl-C and SIGTERM into a `StopRequest` for the block; the handlers of before come back after it.

    An exception could come in the middle of a write. Outside the main thread, where Python allows no handlers, the
    request is never made.

    Args:
        on_signal: called at each signal, to wake who waits.
    """
    request = StopRequest()

    def take(_number: int, _frame: FrameType | None) -> None:
        request.n_signals += 1
        on_signal()

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, take) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
