"""Room on the disk, and what the project takes of it."""

import shutil
from collections.abc import Iterator

from rich.filesize import decimal

from search.sweep.disk_use import measure_disk
from search.upkeep.machine_checks import Finding, Level, Subject

PROBLEM_BYTES, NOTE_BYTES = 1_000_000_000, 5_000_000_000


def check_disk(subject: Subject) -> Iterator[Finding]:
    """Compare the free space with what a sweep may need, and say what records and data take."""
    root = subject.workspace.root
    free_bytes = shutil.disk_usage(root).free
    records = measure_disk(root / "mlruns", None).total_bytes
    data = measure_disk(subject.workspace.generated, None).total_bytes
    text = f"{decimal(free_bytes)} free; mlruns takes {decimal(records)}, data {decimal(data)}"
    mend = "`whosehand gc` says what can go"
    if free_bytes < PROBLEM_BYTES:
        yield Finding(Level.PROBLEM, "disk", f"{text}; a sweep should have {decimal(PROBLEM_BYTES)}", mend)
    elif free_bytes < NOTE_BYTES:
        yield Finding(Level.NOTE, "disk", text, mend)
    else:
        yield Finding(Level.OK, "disk", text)
