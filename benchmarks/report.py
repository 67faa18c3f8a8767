"""How a benchmark prints: a Markdown table under one line about the machine, on standard output.

Progress goes to standard error, so that the tables can be sent to a file.
"""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich.console import Console

from core.training.plan import choose_precision
from search.executors.machine import count_cores
from search.experiment.workspace import git_commit, whosehand_version

DISTRIBUTIONS = ("tensorflow", "keras", "mlflow", "numpy")

notes = Console(stderr=True, highlight=False)
"""For progress."""


def machine_line() -> str:
    """Say on what and with what was measured."""
    versions = ", ".join(f"{name} {version(name)}" for name in DISTRIBUTIONS)
    commit = git_commit(Path.cwd())
    return (
        f"{_cpu_model()}, {count_cores()} cores; precision auto is {choose_precision()}; "
        f"Python {platform.python_version()}, {versions}; whosehand {whosehand_version()}"
        + (f" at {commit[:7]}{'+' if commit.endswith('+') else ''}" if commit else "")
    )


def print_report(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], remarks: Sequence[str] = ()
) -> None:
    """Print a heading, the machine, a table, and remarks as a list."""
    print(f"\n### {title}\n\n{machine_line()}\n")
    print(markdown_table(columns, rows))
    if remarks:
        print("\n" + "\n".join(f"- {remark}" for remark in remarks))
    print(flush=True)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table; the first column is aligned left, the others right.

    Raises:
        ValueError: if a row has not as many cells as there are columns.

    Example:
        >>> print(markdown_table(("what", "s"), [("start", "0.3")]))
        | what  |   s |
        | ----- | --: |
        | start | 0.3 |
    """
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"Every row must have {len(columns)} cells, but got {[len(row) for row in rows]}.")
    widths = [max(3, *(len(line[k]) for line in (columns, *rows))) for k in range(len(columns))]
    rule = ["-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    return "\n".join(_line(cells, widths) for cells in (columns, rule, *rows))


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """The median, with the lowest and the highest in brackets."""
    low, middle, high = (f"{value:{form}}" for value in (min(values), float(np.median(values)), max(values)))
    return f"{middle} ({low} to {high})"


def median(values: Sequence[float], form: str = ",.0f") -> str:
    """The median alone."""
    return f"{float(np.median(values)):{form}}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    others = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join((cells[0].ljust(widths[0]), *others))} |"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
