"""From an experiment to a running sweep: prepares the corpus, opens ledger, engine, workers and tracking."""

import os
from dataclasses import dataclass
from pathlib import Path

from core.crash_points import crash_point
from core.errors import SplitError
from core.lines.reading import ProgressCallback
from core.networks.hyperparameters import Hyperparameters
from core.space import Point
from core.training.plan import Monitor, choose_precision
from search.engines import open_engine
from search.engines.base import EngineSettings
from search.executors.local.executor import LocalExecutor, modules_to_preload
from search.executors.machine import count_cores, divide_machine, free_memory_bytes, list_gpus
from search.experiment.experiment import Experiment, differences, free_changes
from search.experiment.settings import BudgetSettings
from search.experiment.workspace import Workspace, git_commit, whosehand_version
from search.ledger.ledger import LEDGER_NAME, Ledger, open_ledger
from search.objectives.tasks import PatchTask
from search.sweep.disk import check_disk_space, measure_disk
from search.sweep.loop import run_sweep
from search.sweep.plan import SweepOutcome, SweepPlan
from search.sweep.preparation import (
    CORPUS_REPORT_FILE,
    SPLIT_FILE,
    UNUSABLE_FILE,
    PreparedCorpus,
    prepare_corpus,
    save_split,
)
from search.sweep.progress import Progress
from search.tracking.models import artifact_folder
from search.tracking.runs import TrackedDataset
from search.tracking.store import TrackingStore, open_store
from search.tracking.tracker import MlflowTracker, SearchFacts


@dataclass(frozen=True)
class LaunchedSweep:
    """How a launch ended, and where its records are."""

    outcome: SweepOutcome
    folder: Path
    store: TrackingStore


def launch_sweep(
    experiment: Experiment, workspace: Workspace, progress: Progress, on_progress: ProgressCallback | None = None
) -> LaunchedSweep:
    """Launch the experiment's sweep, or go on with it where it was left.

    Everything that can be wrong beforehand (the tracking store, the corpus, the split, the lock) is found before the
    first trial starts.

    Args:
        experiment: what to do.
        workspace: where.
        progress: shows the sweep.
        on_progress: called with (images done, images in all) while the line store is built.

    Raises:
        WhosehandError: says what is wrong and how to mend it.
    """
    folder = workspace.sweep(experiment.name)
    with open_ledger(
        folder,
        name=experiment.name,
        config=experiment.snapshot(),
        version=whosehand_version(),
        git_commit=git_commit(workspace.root),
        differences=lambda earlier: differences(earlier, experiment),
    ) as ledger:
        changes = free_changes(ledger.created.config, experiment) if ledger.state.launches else []
        if changes:
            progress.say(f"Changed since the sweep was begun, as it may: {'; '.join(changes)}.")
        if not ledger.state.launches:
            (folder / SPLIT_FILE).unlink(missing_ok=True)  # of a launch that a crash ended before it began
        try:
            return _launch(experiment, workspace, ledger, progress, on_progress)
        except BaseException:
            if not ledger.state.launches:
                # It never began: the mistake can be mended in the file, and the next launch begins with that.
                for name in (LEDGER_NAME, SPLIT_FILE):
                    (folder / name).unlink(missing_ok=True)
            raise


def _launch(
    experiment: Experiment,
    workspace: Workspace,
    ledger: Ledger,
    progress: Progress,
    on_progress: ProgressCallback | None,
) -> LaunchedSweep:
    check_can_train(experiment)
    check_disk_space(ledger.folder, int(experiment.executor.min_free_mb * 1e6))
    store = open_store(experiment.tracking, workspace.root)
    corpus = prepare_corpus(experiment, workspace, on_progress, reports=ledger.folder)
    if corpus.shortcomings:
        progress.say(f"{corpus.shortcomings}; `whosehand data stats` lists them.")
    if corpus.manifest.warning:
        progress.say(corpus.manifest.warning)
    task = patch_task(experiment, corpus, ledger.folder)
    crash_point("split-saved")
    engine = open_engine(experiment.engine, engine_settings(experiment, ledger.created.sweep_id))
    tracker = MlflowTracker(
        store,
        experiment.name,
        search_facts(experiment),
        experiment.tracking,
        datasets=tracked_datasets(corpus),
        sweep_files={name: ledger.folder / name for name in (SPLIT_FILE, CORPUS_REPORT_FILE, UNUSABLE_FILE)},
        remark=lambda: str(measure_disk(ledger.folder, artifact_folder(store, experiment.name))),
        warning=corpus.manifest.warning,
    )
    plan = sweep_plan(experiment, task, experiment.training.epochs, experiment.budget)
    executor = local_executor(experiment, experiment.objective.run)
    return LaunchedSweep(run_sweep(ledger, plan, engine, executor, tracker, progress), ledger.folder, store)


def check_can_train(experiment: Experiment) -> None:
    """See that a network that names writers can be judged on the split.

    Raises:
        SplitError: if it is by writer.
    """
    if experiment.split.kind == "writer":
        raise SplitError(
            "A sweep trains networks that name the writers they were trained on, but with `split.kind: writer` none of "
            "those in validation and test is among them: every answer would be wrong. Take `split.kind: page` or "
            "`text`; `whosehand data split` writes the division by writer for other uses, such as verification."
        )


def engine_settings(experiment: Experiment, sweep_id: str) -> EngineSettings:
    """What every engine is told of an experiment."""
    return EngineSettings(
        space=experiment.space.search_space(),
        enqueued=experiment.space.enqueued_points(),
        seed=experiment.seed,
        objective=experiment.objective.metric,
        direction=experiment.objective.resolved_direction,
        horizon_epochs=experiment.training.epochs,
        sweep_id=sweep_id,
    )


def search_facts(experiment: Experiment) -> SearchFacts:
    """What a tracker is told of an experiment."""
    objective = experiment.objective
    return SearchFacts(objective.metric, objective.resolved_direction, experiment.seed, experiment.engine.label)


def patch_task(experiment: Experiment, corpus: PreparedCorpus, folder: Path) -> PatchTask:
    """Write the split into the sweep's folder, and say what a worker must know of corpus and settings.

    Raises:
        SplitError: if the sweep was begun with another split: the corpus has changed since.
    """
    return PatchTask(
        line_store=corpus.store.folder,
        split=save_split(corpus.manifest, folder),
        ink=experiment.ink,
        patches=experiment.patches,
        monitor=Monitor(
            experiment.objective.metric,
            experiment.objective.resolved_direction,
            experiment.training.early_stopping_patience,
        ),
        keeps_model=experiment.tracking.keep_models != 0,
    )


def sweep_plan(experiment: Experiment, task: PatchTask, epochs: int, budget: BudgetSettings) -> SweepPlan:
    """What the loop must know, for the sweep itself and for a refit of `epochs` epochs."""
    return SweepPlan(
        objective=experiment.objective.run,
        settings=task,
        metric=experiment.objective.metric,
        direction=experiment.objective.resolved_direction,
        horizon_epochs=epochs,
        seed=experiment.seed,
        precision=choose_precision(experiment.training.precision),
        budget=budget,
        complete=lambda point: _complete(experiment, point),
        max_attempts=experiment.executor.max_attempts,
        min_free_bytes=int(experiment.executor.min_free_mb * 1e6),
    )


def local_executor(experiment: Experiment, objective: str, n_workers: int | None = None) -> LocalExecutor:
    """Workers on this machine, as the experiment says.

    Args:
        experiment: its `executor` part counts.
        objective: what the workers will run; its imports are done beforehand.
        n_workers: where there is less to do than the experiment allows.
    """
    gpus = list_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))
    workers, threads = divide_machine(
        n_workers or experiment.executor.workers,
        experiment.executor.threads,
        n_cores=count_cores(),
        free_bytes=free_memory_bytes(),
        n_gpus=len(gpus),
    )
    silent_minutes = experiment.executor.silent_minutes
    return LocalExecutor(
        workers,
        threads,
        preload=modules_to_preload(objective),
        gpus=gpus,
        silent_s=None if silent_minutes is None else 60 * silent_minutes,
    )


def tracked_datasets(corpus: PreparedCorpus, with_test: bool = False) -> tuple[TrackedDataset, ...]:
    """Training and validation part (and the test part, where it was opened) with the split's hash."""
    manifest = corpus.manifest
    return tuple(
        TrackedDataset(
            name=f"{manifest.corpus} {part}",
            context=part,
            digest=manifest.test_hash if part == "test" else manifest.hash,
            source=str(corpus.index.root),
            profile={
                "images": len(manifest.image_ids(part)),
                "writers": len(manifest.writer_ids),
                "split by": manifest.divided_by,
            },
        )
        for part in (("train", "validation", "test") if with_test else ("train", "validation"))
    )


def _complete(experiment: Experiment, point: Point) -> Point:
    return Hyperparameters.from_point({**experiment.space.fixed, **point}).as_dict()
