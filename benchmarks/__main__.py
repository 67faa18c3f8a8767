"""All short benchmarks one after the other, each in a process of its own: `make bench`.

    python -m benchmarks [NAME...]

`hands_difficulty`, `levers`, `ink_shape_forest`, `bench_pages`, `worker_layout`, `driver_scale` and
`scale` take longer and are started by themselves, and so are `curves` and `race`, which belong
together.
"""

import subprocess
import sys
import time
from typing import Annotated

import typer

from benchmarks.report import notes

SHORT = (
    "feed_speed",
    "fit_speed",
    "network_speed",
    "tracking_cost",
    "worker_memory",
    "engine_cost",
    "thousand_trials",
    "line_store",
    "index_speed",
    "safety_cost",
    "identify_speed",
    "retrieval_index",
)


def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help=f"Of {', '.join(SHORT)}.")] = None,
) -> None:
    """Run the short benchmarks and print a Markdown table of each; nothing else should run
    meanwhile.
    """
    unknown = sorted(set(names or ()) - set(SHORT))
    if unknown:
        raise typer.BadParameter(f"A short benchmark is one of {', '.join(SHORT)}, but got {', '.join(unknown)}.")
    failed = [name for name in names or SHORT if not _run(name)]
    if failed:
        notes.print(f"[bold red]failed:[/] {', '.join(failed)}")
        raise typer.Exit(1)


def _run(name: str) -> bool:
    started = time.perf_counter()
    run = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False)
    notes.print(f"{name}: {time.perf_counter() - started:.0f} s")
    return run.returncode == 0


if __name__ == "__main__":
    typer.run(main)
