"""Does something again and again while other work goes on, such as saying that it does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Call a function from a thread of its own, again and again while the block runs.

    Args:
        seconds: between two calls, and before the first one.
        act: what is done.
    """
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.wait(seconds):
            act()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
