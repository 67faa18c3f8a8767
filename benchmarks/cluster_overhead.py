"""What it costs to train through Ray instead of on local workers, a trial and a report.

    python -m benchmarks.cluster_overhead [--trials 12] [--epochs 10] [--megabytes 1] [--rounds 3]

1, 2 and 3 agents on Ray nodes of this machine, one worker of one thread each, against as many local
workers, in turns. An epoch is a pause, so that workers do not wait for processors, and what is
measured beyond it is the way of a report: from the worker to the driver, its checkpoint on the
driver's disk, and the answer back.
"""

import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from benchmarks.report import notes, print_report
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
_N_NODES = 3


Work = tuple[float, int]
"""What an epoch is: a pause in seconds, and bytes of its checkpoint. No class of this file: as
`__main__` it is another module on the nodes.
"""


@dataclass
class Waits:
    """Seconds, pauses not counted: from the start of a trial to its first report, from an answer to
    the next report, and those of whole runs.
    """

    starts: list[float] = field(default_factory=list)
    reports: list[float] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)


def report_only(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """An objective that trains nothing: it waits, writes a checkpoint and reports it."""
    pause_s, n_bytes = spec.settings
    for epoch in range(1, spec.horizon_epochs + 1):
        time.sleep(pause_s)
        path = spec.work_dir / CHECKPOINT_FOLDER / f"epoch-{epoch}"
        write_atomically(path, json.dumps(epoch).encode() + bytes(n_bytes))
        report_epoch(EpochReport(epoch, {"val/loss": 1.0}, 0, 0.0, reference_file(path)))
    return TrialResult(TrialState.COMPLETED, 1.0)


class FirstNodes(RayCluster):
    """The first nodes of a cluster that this program has joined."""

    def __init__(self, n_nodes: int) -> None:
        super().__init__("auto")
        self._n_nodes = n_nodes

    def node_ids(self) -> Sequence[str]:
        """Always the same ones."""
        return sorted(super().node_ids())[: self._n_nodes]


def main(
    trials: Annotated[int, typer.Option(min=1, help="Of each worker, in a round.")] = 12,
    epochs: Annotated[int, typer.Option(min=2)] = 10,
    megabytes: Annotated[float, typer.Option(min=0, help="Of each checkpoint.")] = 1.0,
    pause: Annotated[float, typer.Option(min=0, help="Seconds of an epoch.")] = 0.2,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Measure both, in turns."""
    preload, work = modules_to_preload(OBJECTIVE), (pause, int(1e6 * megabytes))
    measured = {(name, n): Waits() for n in range(1, _N_NODES + 1) for name in ("local", "ray")}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        setup = AgentSetup("", place / "node", 1, 1, preload)
        ways: dict[str, Callable[[int], Executor]] = {
            "local": lambda n: LocalExecutor(n, 1, preload=preload),
            "ray": lambda n: ClusterExecutor(FirstNodes(n), setup),
        }
        stop = _start_nodes()
        try:
            for number in range(rounds):
                for (name, n), waits in measured.items():
                    with closing(ways[name](n)) as executor:
                        _await_workers(executor, n)
                        _time_trials(executor, place / f"{number}-{name}-{n}", work, n * trials, epochs, waits)
                    notes.print(f"round {number + 1} of {rounds}: {name}, {n} workers: {waits.runs[-1]:.0f} s")
        finally:
            stop()
    rows = [_row(name, n, waits, measured["local", n], n * trials) for (name, n), waits in measured.items()]
    columns = ("workers", "executor", "start, ms", "report, ms", "trials a minute", "of local workers'")
    remark = (
        f"medians of {rounds} rounds of {trials} trials a worker; {epochs} epochs of {pause:g} s, "
        f"checkpoints of {megabytes:g} MB; pauses are not in the times"
    )
    print_report("Ray against local workers", columns, rows, (remark,))


def _row(name: str, n: int, waits: Waits, local: Waits, n_trials: int) -> tuple[str, ...]:
    return (
        str(n),
        name,
        f"{1000 * median(waits.starts):.0f}",
        f"{1000 * median(waits.reports):.0f}",
        f"{60 * n_trials / median(waits.runs):.0f}",
        f"{100 * median(local.runs) / median(waits.runs):.0f} %",
    )


def _start_nodes() -> Callable[[], None]:
    """Ray with three nodes on this machine, joined; returns what ends it."""
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN=secrets.token_hex(32),
        RAY_memory_monitor_refresh_ms="0",
        RAY_worker_niceness="0",
    )
    import ray  # reads the variables above
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    for _ in range(_N_NODES - 1):
        cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False)

    def stop() -> None:
        ray.shutdown()
        cluster.shutdown()

    return stop


def _await_workers(executor: Executor, n_workers: int) -> None:
    while executor.n_workers < n_workers:
        executor.poll(0.1)


def _time_trials(executor: Executor, folder: Path, work: Work, n_trials: int, n_epochs: int, waits: Waits) -> None:
    """Keep all workers busy until so many trials have ended."""
    asked_s: dict[int, float] = {}
    waiting, n_ended, began_s = list(range(n_trials)), 0, time.perf_counter()
    while n_ended < n_trials:
        while waiting and len(asked_s) < executor.n_workers:
            number = waiting.pop(0)
            asked_s[number] = time.perf_counter()
            place = folder / str(number)
            executor.start(
                TrialSpec("s", number, 1, OBJECTIVE, {}, 1, 0, n_epochs, n_epochs, 1, "float32", None, place, work)
            )
        for message in executor.poll(1.0):
            number, now_s = message.number, time.perf_counter()
            if isinstance(message, WorkerReported):
                waited = waits.starts if message.report.epoch == 1 else waits.reports
                waited.append(now_s - asked_s[number] - work[0])
                asked_s[number] = now_s
                executor.answer(number, PruningDecision.GO)
            elif isinstance(message, WorkerEnded) and message.result.state is TrialState.COMPLETED:
                del asked_s[number]
                n_ended += 1
            else:
                raise RuntimeError(f"A trial that only reports must complete, but: {message}")
    waits.runs.append(time.perf_counter() - began_s)


if __name__ == "__main__":
    typer.run(main)
