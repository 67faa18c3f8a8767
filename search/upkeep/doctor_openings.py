"""The file that counts how often test pages were opened."""

import json
from collections import Counter
from collections.abc import Iterator

from search.upkeep.machine_checks import Finding, Level, Subject


def check_openings(subject: Subject) -> Iterator[Finding]:
    """Read every line: a promotion refuses to count with a damaged one."""
    path = subject.workspace.openings_file
    if not path.exists():
        yield Finding(Level.OK, "test pages", "never opened in this project")
        return
    counts: Counter[str] = Counter()
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            counts[json.loads(line)["test_hash"]] += 1
        except (ValueError, KeyError, TypeError):
            text = f"line {number} of {path} is no opening: {line[:60]!r}"
            yield Finding(
                Level.PROBLEM, "test pages", text, "mend or remove that line by hand; promotion needs the count"
            )
    most = max(counts.values(), default=0)
    text = f"{counts.total()} openings of {len(counts)} sets of test pages, at most {most} of one"
    yield Finding(Level.OK, "test pages", text)
