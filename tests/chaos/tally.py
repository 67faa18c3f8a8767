"""What was done, and what became of it; kept on the disk, so that a stopped run can go on."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """Faults of one kind: how many, and what was lost, doubled or left RUNNING, a line each."""

    tried: int
    problems: list[str]


@dataclass(frozen=True)
class Part:
    """Faults of one kind that are tried together.

    Attributes:
        name: by which a later run skips it.
        promise: what must hold.
        fault: what is done.
        how: a real signal, or an exception in its stead.
        work: tries them.
    """

    name: str
    promise: str
    fault: str
    how: str
    work: Callable[[], Outcome]


@dataclass
class Count:
    """Of one kind of fault."""

    tried: int = 0
    lost: int = 0


@dataclass
class Tally:
    """Counts by promise and fault, in the order of their first appearance, and what went wrong.

    Attributes:
        path: a line of JSON for each part that was finished.
    """

    path: Path
    counts: dict[tuple[str, str, str], Count] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Take up what an earlier run has finished."""
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            self._take(json.loads(line))

    def add(self, part: str, promise: str, how: str, faults: dict[str, int], problems: Iterable[str]) -> None:
        """Take a finished part in.

        Args:
            part: its name, by which a later run skips it.
            promise: what must hold.
            how: see `Part`.
            faults: how many of each kind.
            problems: found afterwards; then all faults of the part count as lost.
        """
        entry = {"part": part, "promise": promise, "how": how, "faults": faults, "problems": list(problems)}
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        self._take(entry)

    def run(self, part: Part) -> None:
        """Do a part, and take it in."""
        outcome = part.work()
        self.add(part.name, part.promise, part.how, {part.fault: outcome.tried}, outcome.problems)

    def n_kills_of_sweeps(self) -> int:
        """Signals sent to drivers and workers."""
        return sum(found.tried for (_, fault, how), found in self.counts.items() if how == "signal" and "SIG" in fault)

    def total(self) -> Count:
        """All kinds together."""
        return Count(sum(found.tried for found in self.counts.values()), sum(f.lost for f in self.counts.values()))

    def _take(self, entry: dict[str, Any]) -> None:
        self.done.add(entry["part"])
        faults, problems = entry["faults"], entry["problems"]
        for fault, n in faults.items():
            count = self.counts.setdefault((entry["promise"], fault, entry["how"]), Count())
            count.tried += n
            count.lost += min(n, len(problems)) if problems else 0
        self.problems += [f"{entry['part']}: {problem}" for problem in problems]
