"""What it costs to train through Ray instead of on local workers, a trial and a report.

    python -m benchmarks.cluster_overhead [--trials 40] [--epochs 10] [--megabytes 1]

The objective costs next to nothing, so that what is left is the way of a report: from the worker to
the driver, its checkpoint on the driver's disk, and the answer back. One worker of one thread in
both cases, on this machine, in turns.
"""

import json
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from benchmarks.report import print_report
from core.durable_files import write_atomically
from search.executors.base import Executor, WorkerEnded, WorkerReported
from search.executors.local.executor import LocalExecutor, modules_to_preload
from search.executors.ray.cluster import RayCluster
from search.executors.ray.executor import ClusterExecutor
from search.executors.ray.parcels import AgentSetup
from search.ledger.files import reference_file
from search.ledger.trial import (
    CHECKPOINT_FOLDER,
    EpochReport,
    PruningDecision,
    ReportEpoch,
    TrialResult,
    TrialSpec,
    TrialState,
)

OBJECTIVE = "benchmarks.cluster_overhead:report_only"


@dataclass(frozen=True)
class Waits:
    """Seconds: from the start of a trial to its first report, and from an answer to the next."""

    starts: list[float]
    reports: list[float]


def report_only(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """An objective that writes a checkpoint of `spec.settings` bytes an epoch, and reports it."""
    for epoch in range(1, spec.horizon_epochs + 1):
        path = spec.work_dir / CHECKPOINT_FOLDER / f"epoch-{epoch}"
        write_atomically(path, json.dumps(epoch).encode() + bytes(spec.settings))
        report_epoch(EpochReport(epoch, {"val/loss": 1.0}, 0, 0.0, reference_file(path)))
    return TrialResult(TrialState.COMPLETED, 1.0)


def main(
    trials: Annotated[int, typer.Option(min=1)] = 40,
    epochs: Annotated[int, typer.Option(min=2)] = 10,
    megabytes: Annotated[float, typer.Option(min=0, help="Of each checkpoint.")] = 1.0,
    rounds: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Measure both, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        place, n_bytes = Path(folder), int(1e6 * megabytes)
        preload = modules_to_preload(OBJECTIVE)
        setup = AgentSetup("", place / "node", 1, 1, preload)
        ways: dict[str, Callable[[], Executor]] = {
            "local": lambda: LocalExecutor(1, 1, preload=preload),
            "ray": lambda: ClusterExecutor(RayCluster("local"), setup),
        }
        measured = {name: Waits([], []) for name in ways}
        for number in range(rounds):
            for name, make in ways.items():
                with closing(make()) as executor:
                    for trial in range(trials):
                        _time_trial(executor, place / f"{number}-{name}-{trial}", n_bytes, epochs, measured[name])
        local = measured["local"]
        rows = [
            (
                name,
                f"{1000 * median(waits.starts):.0f}",
                f"{1000 * median(waits.reports):.1f}",
                f"{median(waits.starts) / median(local.starts):.1f}",
                f"{median(waits.reports) / median(local.reports):.1f}",
            )
            for name, waits in measured.items()
        ]
        columns = ("executor", "start, ms", "report, ms", "start, ratio", "report, ratio")
        remark = f"medians of {rounds * trials} trials of {epochs} epochs, checkpoints of {megabytes:g} MB"
        print_report("Ray against local workers", columns, rows, (remark,))


def _time_trial(executor: Executor, folder: Path, n_bytes: int, n_epochs: int, waits: Waits) -> None:
    spec = TrialSpec("s", 0, 1, OBJECTIVE, {}, 1, 0, n_epochs, n_epochs, 1, "float32", None, folder, n_bytes)
    asked_s = time.perf_counter()
    executor.start(spec)
    while True:
        for message in executor.poll(1.0):
            if isinstance(message, WorkerReported):
                waited = waits.starts if message.report.epoch == 1 else waits.reports
                waited.append(time.perf_counter() - asked_s)
                asked_s = time.perf_counter()
                executor.answer(0, PruningDecision.GO)
            elif isinstance(message, WorkerEnded) and message.result.state is TrialState.COMPLETED:
                return
            else:
                raise RuntimeError(f"A trial that only reports must complete, but: {message}")


if __name__ == "__main__":
    typer.run(main)
