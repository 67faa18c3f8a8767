"""What was done to the sweeps, and what became of them."""

from dataclasses import dataclass, field


@dataclass
class Count:
    """Of one kind of fault."""

    injected: int = 0
    survived: int = 0

    @property
    def lost(self) -> int:
        return self.injected - self.survived


@dataclass
class Tally:
    """Counts by kind of fault, in the order of their first appearance, and what went wrong."""

    counts: dict[str, Count] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    n_sweeps: int = 0
    n_launches: int = 0

    def add(self, sweep: str, faults: dict[str, int], problems: list[str]) -> None:
        """Take a finished sweep in: its faults are survived if nothing is wrong with it."""
        self.n_sweeps += 1
        for fault, n in faults.items():
            count = self.counts.setdefault(fault, Count())
            count.injected += n
            count.survived += 0 if problems else n
        self.problems += [f"{sweep} ({', '.join(faults)}): {problem}" for problem in problems]

    def total(self, *, kills_only: bool = False) -> Count:
        """All kinds together."""
        counted = [count for name, count in self.counts.items() if not kills_only or "KILL" in name or "TERM" in name]
        return Count(sum(count.injected for count in counted), sum(count.survived for count in counted))
