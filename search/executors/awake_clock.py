"""A clock that stands still while its process does: a laptop's sleep, SIGSTOP."""

import time
from collections.abc import Callable

LONGEST_TURN_S = 60.0
"""A loop that turns twice a second and has not turned for so long was not awake."""


class AwakeClock:
    """Seconds in which a loop was turning.

    The monotonic clock stands still while Linux is suspended, but not while a process is stopped; the clock on the wall
    does neither. A gap between two turns that no turn of a working loop takes is neither's work.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, longest_turn_s: float = LONGEST_TURN_S) -> None:
        """Start at 0.

        Args:
            clock: what time is read from, in seconds.
            longest_turn_s: a longer gap does not count.
        """
        self._clock = clock
        self._longest_turn_s = longest_turn_s
        self._turned_at_s = clock()
        self.now_s = 0.0

    def turn(self) -> float:
        """Note that the loop turned; return the seconds since the last turn if it was not awake, else 0."""
        before_s, self._turned_at_s = self._turned_at_s, self._clock()
        gap_s = max(0.0, self._turned_at_s - before_s)
        if gap_s > self._longest_turn_s:
            return gap_s
        self.now_s += gap_s
        return 0.0
