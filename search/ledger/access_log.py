"""How often the sealed test pages were opened.

A score on test pages is worth less with every look at them, so that looks are counted, for each
hash of the test pages, in a small file beside the tracking store; the count goes as a tag with
every score.
"""

import json
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock

from core.crash_points import crash_point
from core.errors import RegistryError


@dataclass(frozen=True)
class TestAccess:
    """One look at the sealed test pages.

    Attributes:
        test_hash: of the test part of the split.
        timestamp_ms: when, in milliseconds since 1970.
        reason: why, such as "promote quickstart trial 7".
        git_commit: of the code that opened them; empty outside a repository.
    """

    test_hash: str
    timestamp_ms: int
    reason: str
    git_commit: str = ""


class SealedTestSet:
    """The test pages during one promotion: opened once for everything that looks at them, written
    down before.

    Args:
        access_log: where openings are counted.
        test_hash: of the test part of the split.
        reason: who opens, and why.
        git_commit: of the code that opens.
        planned_ms: when this promotion first came here, Unix time: one that was killed and is
            repeated is one access.
    """

    def __init__(
        self, access_log: Path, test_hash: str, reason: str, git_commit: str = "", planned_ms: int | None = None
    ) -> None:
        self._file = access_log
        self._opening = TestAccess(test_hash, planned_ms or 0, reason, git_commit)
        self.opened_ms = 0

    def open(self) -> int:
        """Write down that the pages are looked at, the first time that this is called.

        Returns:
            How often these test pages have been opened, this time included.

        Raises:
            RegistryError: if the file cannot be written, or is damaged.
        """
        if self.opened_ms:
            return self.count()
        self.opened_ms = self._opening.timestamp_ms or time.time_ns() // 1_000_000
        n_accesses = record_test_access(self._file, replace(self._opening, timestamp_ms=self.opened_ms))
        crash_point("test-set-opened")
        return n_accesses

    def count(self) -> int:
        """How often these test pages have been opened until now."""
        return count_test_accesses(self._file, self._opening.test_hash)


def record_test_access(access_log: Path, opening: TestAccess) -> int:
    """Write an opening down, before the pages are opened: a crash must not make it unseen, and a
    repeat counts once.

    Args:
        access_log: append-only, one JSON object a line; `mlruns/test_openings.jsonl`.
        opening: to write.

    Returns:
        How often these test pages have been opened, this one included.

    Raises:
        RegistryError: if the file cannot be written, or is damaged.
    """
    try:
        access_log.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{access_log}.lock"):
            count, line = count_test_accesses(access_log, opening.test_hash), json.dumps(asdict(opening))
            if count and line in access_log.read_text(encoding="utf-8").splitlines():
                return count
            with access_log.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
            return count + 1
    except OSError as error:
        raise RegistryError(
            f"Openings of the test pages must be counted, but {access_log} cannot be written: {error.strerror}."
        ) from error


def count_test_accesses(access_log: Path, test_hash: str) -> int:
    """How often the test pages with this hash have been opened.

    Raises:
        RegistryError: if the file is damaged.
    """
    if not access_log.exists():
        return 0
    lines = access_log.read_text(encoding="utf-8").splitlines()
    try:
        return sum(json.loads(line)["test_hash"] == test_hash for line in lines)
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"Each line of {access_log} is one opening of test pages, but one of them cannot be read ({error}). "
            "Correct or remove that line by hand; the count would be wrong without it."
        ) from error
