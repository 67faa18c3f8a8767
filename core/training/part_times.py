"""Where a trial's time goes: seconds by part, measured with one clock and without gaps."""

import time


class PartTimes:
    """Divides the time since its making among named parts.

    Example:
        >>> times = PartTimes()
        >>> times.end("steps")
        >>> times.end("validation")
        >>> list(times.seconds)
        ['steps', 'validation']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        """By part, those that have ended."""
        self._began_s = time.perf_counter()

    def end(self, part: str) -> None:
        """Count what passed since the last part's end, or since the beginning, to `part`."""
        now_s = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now_s - self._began_s
        self._began_s = now_s

    @property
    def total_s(self) -> float:
        """Of all parts together."""
        return sum(self.seconds.values())
