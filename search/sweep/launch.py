"""From an experiment to a running sweep: prepares the corpus, opens ledger, engine, workers and
tracking.
"""

import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from core.crash_points import crash_point
from core.errors import ConfigError
from core.patches.kept_offsets import keep_offsets
from core.space import in_words
from core.training.plan import Monitor, choose_precision
from search.engines import open_engine
from search.engines.base import EngineSettings
from search.experiment.changes import as_begun, differences, free_changes
from search.experiment.experiment import Experiment
from search.experiment.secret_address import advice
from search.experiment.settings import BudgetSettings
from search.experiment.workspace import Workspace, git_commit, whosehand_version
from search.ledger.ledger import LEDGER_NAME, Ledger, open_ledger
from search.objectives.starts import Start, origin_tags
from search.objectives.tasks import OwnTask, PatchTask
from search.sweep.deadline import RefitRule, refuse_past
from search.sweep.disk import check_disk_space, measure_disk
from search.sweep.loop import run_sweep
from search.sweep.own_code import Sources, checked_network, function_reference, keep_code, with_code
from search.sweep.plan import SweepOutcome, SweepPlan
from search.sweep.preparation import (
    CORPUS_REPORT_FILE,
    READER_FILE,
    SPLIT_FILE,
    UNUSABLE_FILE,
    PreparedCorpus,
    check_reader,
    prepare_corpus,
    save_split,
)
from search.sweep.progress import PREPARING, Progress
from search.sweep.start import check_agreement, prepare_start
from search.sweep.start_source import START_FOLDER
from search.sweep.unseen_writers import images_per_page, searched_pages
from search.sweep.worker_layout import with_layout
from search.sweep.workers import chosen_precision, local_executor, open_executor, worker_objective
from search.tracking.models import artifact_folder
from search.tracking.project_place import refuse_shared
from search.tracking.runs import SearchFacts, TrackedDataset
from search.tracking.store import TrackingStore, open_store
from search.tracking.tracker import MlflowTracker

_CORPUS_FILES = (SPLIT_FILE, CORPUS_REPORT_FILE, UNUSABLE_FILE)


@dataclass(frozen=True)
class LaunchedSweep:
    """How a launch ended, and where its records are."""

    outcome: SweepOutcome
    folder: Path
    store: TrackingStore


def launch_sweep(experiment: Experiment, workspace: Workspace, progress: Progress) -> LaunchedSweep:
    """Launch the experiment's sweep, or go on with it where it was left.

    Everything that can be wrong beforehand (the tracking store, the corpus, the split, the lock) is
    found before the first trial starts.

    Args:
        experiment: what to do.
        workspace: where.
        progress: shows the corpus being read, and the sweep.

    Raises:
        WhosehandError: says what is wrong and how to mend it.
    """
    folder = workspace.sweep(experiment.name)
    experiment, sources = with_code(experiment, workspace.root)
    if experiment.model is not None:
        experiment, remark = checked_network(
            experiment, sources, local_executor(experiment, worker_objective(experiment), n_workers=1)
        )
        if remark:
            progress.say(remark)
    with open_ledger(
        folder,
        name=experiment.name,
        config=experiment.snapshot(),
        version=whosehand_version(),
        git_commit=git_commit(workspace.root),
        differences=lambda earlier: differences(earlier, as_begun(experiment, earlier)),
    ) as ledger:
        experiment = as_begun(experiment, ledger.created.config)
        changes = free_changes(ledger.created.config, experiment) if ledger.state.launches else []
        if changes:
            progress.say(f"Changed since the sweep was begun, as it may: {'; '.join(changes)}.")
        if not ledger.state.launches:
            (folder / SPLIT_FILE).unlink(missing_ok=True)  # of a launch that a crash ended before it began
            shutil.rmtree(folder / START_FOLDER, ignore_errors=True)
        try:
            return _launch(experiment, sources, workspace, ledger, progress)
        except BaseException:
            if not ledger.state.launches:
                # It never began: the mistake can be mended in the file, and the next launch begins
                # with that.
                for name in (LEDGER_NAME, SPLIT_FILE, READER_FILE):
                    (folder / name).unlink(missing_ok=True)
                shutil.rmtree(folder / START_FOLDER, ignore_errors=True)
            raise


def _launch(
    experiment: Experiment,
    sources: Sources,
    workspace: Workspace,
    ledger: Ledger,
    progress: Progress,
) -> LaunchedSweep:
    refuse_past(experiment.budget, ledger.now_ms())
    check_disk_space(ledger.folder, int(experiment.executor.min_free_mb * 1e6))
    refuse_shared(workspace.root, experiment.name)
    store = open_store(experiment.tracking, workspace.root)
    _advise(experiment, progress)
    code_files = keep_code(experiment, sources, ledger.folder)
    corpus, warning, files = None, "", code_files
    if experiment.corpus is not None:
        with progress.working(PREPARING) as advance:
            corpus = prepare_corpus(experiment, workspace, advance, reports=ledger.folder)
        warning, files = corpus.manifest.warning, (*_CORPUS_FILES, *code_files)
        for said in (
            f"{corpus.shortcomings}; `whosehand data stats` lists them." if corpus.shortcomings else "",
            warning,
            *(pages.in_words() for pages in searched_pages(experiment, corpus)),
            check_reader(corpus.index, ledger.folder, is_begun=bool(ledger.state.launches)),
        ):
            if said:
                progress.say(said)
    if not ledger.state.launches:
        _say_what_is_searched(experiment, progress)
    start = None
    if corpus is not None:
        is_begun = bool(ledger.state.launches)
        start = prepare_start(experiment, workspace, store, corpus, ledger.folder, progress, is_begun)
    task = trial_task(experiment, corpus, ledger.folder, start=start)
    crash_point("split-saved")
    engine = open_engine(experiment.engine, engine_settings(experiment, ledger.created.sweep_id))
    tracker = MlflowTracker(
        store,
        experiment.name,
        search_facts(experiment),
        experiment.tracking,
        datasets=tracked_datasets(corpus) if corpus is not None else (),
        sweep_files={name: ledger.folder / name for name in files},
        remark=lambda: str(measure_disk(ledger.folder, artifact_folder(store, experiment.name))),
        warning=warning,
        say=progress.say,
        start_tags=partial(origin_tags, start),
    )
    plan = sweep_plan(experiment, task, experiment.training.epochs, experiment.budget)
    laid_out = with_layout(experiment, workspace, ledger.state.launches, progress)
    executor = open_executor(laid_out, task, progress.say)
    plan = replace(plan, precision=chosen_precision(experiment, executor, ledger.state))
    return LaunchedSweep(run_sweep(ledger, plan, engine, executor, tracker, progress), ledger.folder, store)


def _advise(experiment: Experiment, progress: Progress) -> None:
    """On passwords in addresses."""
    storage = getattr(experiment.engine, "storage", None)
    for key, address in (("tracking.uri", experiment.tracking.uri), ("engine.storage", storage)):
        if word := advice(key, address):
            progress.say(word)


def _say_what_is_searched(experiment: Experiment, progress: Progress) -> None:
    space = experiment.space
    if "space" not in experiment.model_fields_set and space.base == "default":
        progress.say(f"The experiment names no `space`, so the preset `{space.preset}` is searched:")
        for dimension in space.search_space().dimensions:
            if dimension.n_values != 1:
                progress.say(f"  {dimension.name}: {in_words(dimension)}")


def engine_settings(experiment: Experiment, sweep_id: str) -> EngineSettings:
    """What every engine is told of an experiment."""
    return EngineSettings(
        space=experiment.space.search_space(),
        enqueued=experiment.space.enqueued_points(experiment.complete),
        seed=experiment.seed,
        objective=experiment.objective.metric,
        direction=experiment.objective.resolved_direction,
        horizon_epochs=experiment.training.epochs,
        sweep_id=sweep_id,
        defaults=experiment.complete({}),
    )


def search_facts(experiment: Experiment) -> SearchFacts:
    """What a tracker is told of an experiment."""
    objective = experiment.objective
    return SearchFacts(objective.metric, objective.resolved_direction, experiment.seed, experiment.engine.label)


def trial_task(
    experiment: Experiment,
    corpus: PreparedCorpus | None,
    folder: Path,
    keeps_model: bool | None = None,
    start: Start | None = None,
) -> PatchTask | OwnTask:
    """What a worker must know to run a trial, whosehand's or of the user's own objective.

    Args:
        experiment: with its code.
        corpus: `None` where the experiment has none.
        folder: the sweep's.
        keeps_model: whether a trial saves its model; `None` for what the experiment says.
        start: the weights that fits begin with; see `prepare_start`.

    Raises:
        SplitError: as `patch_task`.
        ConfigError: as `patch_task`.
        OwnCodeError: if a function of the user's own is not there any more.
    """
    patches = patch_task(experiment, corpus, folder, start) if corpus is not None else None
    if patches is not None and keeps_model is not None:
        patches = replace(patches, keeps_model=keeps_model)
    if not experiment.objective.is_own:
        if patches is None:
            raise ConfigError(f"{experiment.objective.run} needs a `corpus`, but the experiment has none.")
        return patches
    function = function_reference(experiment, experiment.objective.run, folder)
    return OwnTask(function, experiment.objective.metric, experiment.objective.checkpoints, patches)


def patch_task(experiment: Experiment, corpus: PreparedCorpus, folder: Path, start: Start | None = None) -> PatchTask:
    """Write the split into the sweep's folder, keep where patches may lie for all trials, and say
    what a worker must know of corpus and settings.

    Raises:
        SplitError: if the sweep was begun with another split: the corpus has changed since.
        ConfigError: if `start` is not what `training.start_from` asks for; see `prepare_start`.
    """
    check_agreement(experiment, start)
    keep_offsets(corpus.store, experiment.patches)
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
        network=function_reference(experiment, experiment.model, folder) if experiment.model is not None else None,
        images_per_page=images_per_page(experiment, corpus),
        start=start,
    )


def sweep_plan(experiment: Experiment, task: PatchTask | OwnTask, epochs: int, budget: BudgetSettings) -> SweepPlan:
    """What the loop must know, for the sweep itself and for a refit of `epochs` epochs."""
    return SweepPlan(
        objective=worker_objective(experiment),
        settings=task,
        metric=experiment.objective.metric,
        direction=experiment.objective.resolved_direction,
        horizon_epochs=epochs,
        seed=experiment.seed,
        precision=choose_precision(experiment.training.precision),
        budget=budget,
        complete=experiment.complete,
        max_attempts=experiment.executor.max_attempts,
        min_free_bytes=int(experiment.executor.min_free_mb * 1e6),
        fixed=frozenset(experiment.space.fixed),
        refit=RefitRule.of(experiment.promotion, epochs),
    )


def tracked_datasets(corpus: PreparedCorpus, with_test: bool = False) -> tuple[TrackedDataset, ...]:
    """Training and validation subset (and the test subset, where it was opened) with the split's
    hash.
    """
    manifest = corpus.manifest
    writer_of = {image.image_id: image.writer_id for image in corpus.index.images}
    return tuple(
        TrackedDataset(
            name=f"{manifest.corpus} {subset}",
            context=subset,
            digest=manifest.test_hash if subset == "test" else manifest.hash,
            source=str(corpus.index.root),
            profile={
                "images": len(manifest.image_ids(subset)),
                "writers": len({writer_of[image_id] for image_id in manifest.image_ids(subset)}),
                "split by": manifest.divided_by,
            },
        )
        for subset in (("train", "validation", "test") if with_test else ("train", "validation"))
        if subset == "train" or manifest.image_ids(subset)
    )
