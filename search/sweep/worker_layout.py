"""How the cores are divided among workers: measured once on this machine, before a long sweep's
first launch.

One worker with all threads trains fewer patches a second than several with fewer threads each,
because parts of every step have one thread; how many fewer hangs on processor and network.
"""

import json
import os
import socket
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from statistics import median

from core.durable_files import write_atomically
from core.training.plan import choose_precision
from search.executors.base import Executor, ExecutorError, WorkerEnded, WorkerLost, WorkerReported
from search.executors.local.executor import LocalExecutor, modules_to_preload
from search.executors.machine import (
    MEMORY_PER_WORKER_BYTES,
    count_cores,
    free_memory_bytes,
    list_gpus,
    name_processor,
)
from search.experiment.experiment import Experiment
from search.experiment.objective_settings import TRAIN_PATCH_CNN
from search.experiment.workspace import Workspace
from search.ledger.events import Launched
from search.ledger.trial import EpochReport, PruningDecision, TrialSpec
from search.objectives.tasks import SPEED_METRIC, SpeedTask
from search.sweep.progress import Progress
from search.sweep.workers import worker_objective

Layout = tuple[int, int]
"""Workers, and threads of each."""

LAYOUT_FILE = "worker_layout.json"
WORTH_IT = 1.1
"""So many times as fast must several workers be together: with one, a sweep repeats bit by bit."""
_MEASURE_SPEED = "search.objectives.speed:measure_speed"
_SECONDS, _N_ROUNDS, _N_WRITERS, _MOST_WORKERS = 1.0, 5, 50, 8
_FEWEST_MINUTES, _FEWEST_TRIALS = 10.0, 20  # of a sweep that is worth measuring for


def with_layout(
    experiment: Experiment, workspace: Workspace, launches: Sequence[Launched], progress: Progress
) -> Experiment:
    """The experiment with the workers and threads that are fastest here, where it leaves them open.

    What was measured is kept in the project, by processor, cores, precision and network.

    Args:
        experiment: says `executor: {workers: auto, threads: auto}`, or is given back as it is.
        workspace: of the sweep.
        launches: that the sweep has had; it keeps the layout that it began with on this machine.
        progress: is told what is measured, and what came out.

    Returns:
        The experiment itself, too, where there is one core or a graphics card, where a measurement
        would take a large part of the budget, and where none came off.
    """
    layouts = layouts_of(count_cores(), free_memory_bytes())
    if len(layouts) < 2 or not _is_open(experiment):
        return experiment
    if launches:
        begun = launches[-1].n_workers, launches[-1].threads
        layout = begun if launches[-1].host == socket.gethostname() and begun in layouts else None
    else:
        layout = _choose(experiment, layouts, workspace, progress)
    if layout is None:
        return experiment
    executor = experiment.executor.model_copy(update={"workers": layout[0], "threads": layout[1]})
    return experiment.model_copy(update={"executor": executor})


def _choose(
    experiment: Experiment, layouts: Sequence[Layout], workspace: Workspace, progress: Progress
) -> Layout | None:
    path, key = workspace.root / "mlruns" / LAYOUT_FILE, _key(experiment)
    kept = _read(path)
    speeds = kept.get(key, {})
    if not all(_name(layout) in speeds for layout in layouts):
        progress.say("Measuring how to divide the cores among workers (once on this machine) ...")
        measured = measure_layouts(experiment, layouts)
        if measured is None:
            return None
        speeds = {_name(layout): round(speed, 1) for layout, speed in measured.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({**kept, key: speeds}, indent=2).encode())
    return _fastest(layouts, speeds, progress)


def layouts_of(n_cores: int, free_bytes: int) -> list[Layout]:
    """One worker with all cores, then those that divide the cores evenly, as far as memory reaches.

    >>> layouts_of(2, 10**10), layouts_of(8, 10**11), layouts_of(8, 4 * 10**9)
    ([(1, 2), (2, 1)], [(1, 8), (2, 4), (4, 2), (8, 1)], [(1, 8), (2, 4)])
    """
    most = min(n_cores, _MOST_WORKERS, max(1, free_bytes // MEMORY_PER_WORKER_BYTES))
    return [(workers, n_cores // workers) for workers in range(1, most + 1) if n_cores % workers == 0]


def measure_layouts(experiment: Experiment, layouts: Sequence[Layout]) -> dict[Layout, float] | None:
    """Patches a second of all workers together, by layout; `None` if a worker failed.

    Layouts take turns in short rounds, of which the median counts: one round is a matter of luck
    where others use the machine, too.
    """
    speeds: dict[Layout, list[float]] = {layout: [] for layout in layouts}
    # One server forks all workers of a driver: it must have imported what trials need, too.
    preload = (*modules_to_preload(worker_objective(experiment)), *modules_to_preload(_MEASURE_SPEED))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        executors: dict[Layout, Executor] = {}
        for workers, threads in layouts:
            executor = LocalExecutor(workers, threads, preload=preload)
            executors[workers, threads] = stack.enter_context(closing(executor))
            spec = _spec(experiment, threads, Path(folder) / _name((workers, threads)))
            try:
                for number in range(workers):
                    executor.start(replace(spec, number=number))
            except ExecutorError:
                return None
        if any(_round_of(each, workers) is None for (workers, _), each in executors.items()):
            return None  # else all are ready
        for _ in range(_N_ROUNDS):
            for layout, each in executors.items():
                for number in range(layout[0]):
                    each.answer(number, PruningDecision.GO)
                reports = _round_of(each, layout[0])
                if reports is None:
                    return None
                speeds[layout].append(sum(report.metrics[SPEED_METRIC] for report in reports))
    return {layout: median(each) for layout, each in speeds.items()}


def _is_open(experiment: Experiment) -> bool:
    executor, budget = experiment.executor, experiment.budget
    is_long = (budget.minutes or _FEWEST_MINUTES) >= _FEWEST_MINUTES and (
        budget.trials or _FEWEST_TRIALS
    ) >= _FEWEST_TRIALS
    is_ours = experiment.objective.run == TRAIN_PATCH_CNN and experiment.model is None
    is_auto = executor.name == "local" and executor.workers == executor.threads == "auto"
    return is_auto and is_ours and is_long and not list_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))


def _spec(experiment: Experiment, threads: int, folder: Path) -> TrialSpec:
    task = SpeedTask(experiment.patches.size_px, _N_WRITERS, _SECONDS, _N_ROUNDS)
    precision = choose_precision(experiment.training.precision)
    spec = TrialSpec.of_task(_MEASURE_SPEED, task, folder, precision=precision, seed=0, threads=threads)
    return replace(spec, hyperparameters=experiment.complete({}))


def _round_of(executor: Executor, n_workers: int) -> list[EpochReport] | None:
    """What each worker reports next, when all have; `None` if one ended."""
    reports: list[EpochReport] = []
    while len(reports) < n_workers:
        for message in executor.poll(1.0):
            match message:
                case WorkerReported(report=report):
                    reports.append(report)
                case WorkerEnded() | WorkerLost():
                    return None
    return reports


def _fastest(layouts: Sequence[Layout], speeds: Mapping[str, float], progress: Progress) -> Layout:
    alone = layouts[0]
    best = max(layouts, key=lambda layout: speeds[_name(layout)])
    ratio = speeds[_name(best)] / speeds[_name(alone)]
    if ratio < WORTH_IT:
        return alone
    progress.say(
        f"{best[0]} workers: together {ratio:.2f} times as fast as one, as measured here. With `executor: {{workers: "
        "1}` a sweep repeats bit by bit."
    )
    return best


def _key(experiment: Experiment) -> str:
    precision = choose_precision(experiment.training.precision)
    network = json.dumps(experiment.complete({}), sort_keys=True)
    return f"{name_processor()}, {count_cores()} cores, {precision}, {experiment.patches.size_px} px, {network}"


def _name(layout: Layout) -> str:
    return f"{layout[0]}x{layout[1]}"


def _read(path: Path) -> dict[str, dict[str, float]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there, or nothing that was written here
        return {}
    return found if isinstance(found, dict) else {}
