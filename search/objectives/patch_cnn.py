"""The objective of whosehand's sweeps: train one patch CNN, score it on the validation pages, save
it.

The network is whosehand's, or the user's own. All here runs in a worker process. What a trial
leaves behind are files, among them pictures and tables for people to look at; the driver gets
references to them. Saved models are scored and asked here, too.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from core.identification.model_record import OWN_CODE_FOLDER, ModelRecord
from core.lines.store import LineStore
from core.networks.committee import join_networks
from core.networks.hyperparameters import TRAINING_HYPERPARAMETERS, Hyperparameters
from core.networks.inference import Predictor
from core.networks.model import build_model
from core.networks.origin import Origin
from core.patches.augmentation import Augmentation
from core.patches.feed import TrainingFeed, evaluation_batches
from core.patches.plan import PatchPlan, PatchSampler, read_patches
from core.scoring.answers import PatchAnswers, dense_plan
from core.scoring.pictures import learning_curves, patch_collage
from core.splits.manifest import SplitManifest
from core.training.fit import configure_tensorflow, fit
from core.training.part_times import PartTimes
from core.training.plan import EpochRecord, FitEnd, FitPlan
from search.executors.base import task_progress
from search.experiment.workspace import whosehand_version
from search.ledger.files import reference_file
from search.ledger.trial import (
    CHECKPOINT_FOLDER,
    EpochReport,
    FileReference,
    PruningDecision,
    ReportEpoch,
    TrialResult,
    TrialSpec,
    TrialState,
)
from search.objectives.first_network import give_start
from search.objectives.judges import open_judge
from search.objectives.own_function import build_own, load_function
from search.objectives.saved_model import load_model, save_model
from search.objectives.tasks import AnsweringTask, JoiningTask, PatchTask, ScoringTask

PRELOAD = (
    "search.objectives.before_fork",
    "tensorflow",
    "keras",
    "mlflow.pyfunc",
    "mlflow.tensorflow",
    "matplotlib.backends.backend_agg",
    "pandas.io.formats.csvs",
    "pyarrow.pandas_compat",
    "sklearn.metrics",
)
"""Imported once by the server that workers are forked from."""
_MODEL_FOLDER = "model"
_BATCH_SIZE = 256
_KNOWS_TRAINING_ALONE = (
    "This model was made to find pages by hands that it has not seen: `whosehand find`. It names only the writers of "
    "its training, and its probabilities are not calibrated."
)


def train_patch_cnn(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Train the network of `spec.hyperparameters`; `spec.settings` is a `PatchTask`.

    The value is the monitored validation score of the best epoch, whose weights are the model that
    is saved.

    Raises:
        WhosehandError: if the network cannot be built, the loss is not finite, or the line store is
            damaged.
    """
    task: PatchTask = spec.settings
    configure_tensorflow(spec.threads, spec.precision, spec.seed)
    hyperparameters = _training_of(spec)
    store, manifest = LineStore.open(task.line_store), SplitManifest.load(task.split)
    sampler = PatchSampler(store, manifest.train, manifest.writer_ids, task.patches, spec.seed, manifest.leak("train"))
    augmentation = Augmentation(**hyperparameters.augmentation_parts)
    feed = TrainingFeed(sampler, hyperparameters.batch_size, augmentation, spec.seed)
    size_px = task.patches.size_px
    model = _build(spec, (size_px, size_px, 1), len(manifest.writer_ids))
    if task.start is not None and spec.checkpoint is None:
        give_start(model, task.start, hyperparameters)
    per_image = task.of_validation_image(len(manifest.validation))
    judge = open_judge(model, store, manifest, task, "validation", per_image)
    record = _FitRecord.of(spec, report_epoch)
    result = fit(model, feed, lambda _: _named("val", judge.metrics()), _plan(spec, record), record.add)
    if not result.end.is_complete:
        state = TrialState.PRUNED if record.decision is PruningDecision.STOP else TrialState.PAUSED
        return TrialResult(state, metrics=record.history[-1] if record.history else {})
    times = PartTimes()
    judged = judge.judge(is_unchanged=result.best_epoch == result.n_epochs)
    metrics = _named("val", judged.metrics)
    times.end("scores")
    plan = sampler.plan_epoch(0)
    artifacts = judged.write(spec.work_dir) | write_fit_files(
        model, record.history, store, plan, manifest.writer_ids, spec.work_dir
    )
    times.end("pictures")
    example = read_patches(store, plan[:1])[..., None]
    saved = save_network(model, spec, task, manifest, metrics, example, _origin(spec)) if task.keeps_model else None
    times.end("saving")
    return TrialResult(
        TrialState.COMPLETED,
        value=result.best_metrics[task.monitor.metric],
        metrics=metrics | {"best_epoch": float(result.best_epoch)},
        artifacts=artifacts,
        model=saved,
        n_parameters=model.count_params(),
        reason=f"no better epoch since {result.best_epoch}" if result.end is FitEnd.EARLY_STOP else "",
        seconds=times.seconds,
    )


def score_patch_cnn(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Score a saved model on one subset of the split; `spec.settings` is a `ScoringTask`. There are
    no epochs; what is reported is how many patches are done.

    Raises:
        WhosehandError: if the model cannot be loaded, or the line store is damaged.
    """
    scoring: ScoringTask = spec.settings
    configure_tensorflow(spec.threads, spec.precision, spec.seed)
    store, manifest = LineStore.open(scoring.task.line_store), SplitManifest.load(scoring.task.split)
    model = load_model(scoring.model)
    per_image = scoring.task.patches.per_image_at_test
    judge = open_judge(model, store, manifest, scoring.task, scoring.subset, per_image)
    judged = judge.judge(task_progress(report_epoch))
    return TrialResult(
        TrialState.COMPLETED,
        metrics=_named(scoring.subset, judged.metrics),
        artifacts={f"{scoring.subset}/{name}": reference for name, reference in judged.write(spec.work_dir).items()},
        n_parameters=model.count_params(),
    )


def join_patch_cnns(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Make one network of several, score it on the validation pages and save it; `spec.settings` is
    a `JoiningTask`.

    Raises:
        WhosehandError: if a model cannot be loaded, or the line store is damaged.
    """
    joining: JoiningTask = spec.settings
    task = joining.task
    configure_tensorflow(spec.threads, spec.precision, spec.seed)
    store, manifest = LineStore.open(task.line_store), SplitManifest.load(task.split)
    model = join_networks([load_model(folder) for folder in joining.models])
    per_image = task.of_validation_image(len(manifest.validation))
    judge = open_judge(model, store, manifest, task, "validation", per_image)
    metrics = _named("val", judge.judge(task_progress(report_epoch)).metrics)
    sampler = PatchSampler(store, manifest.train, manifest.writer_ids, task.patches, spec.seed, manifest.leak("train"))
    example = read_patches(store, sampler.plan_epoch(0)[:1])[..., None]
    origin = ModelRecord.load(joining.models[0]).origin
    saved = save_network(model, spec, task, manifest, metrics, example, origin)
    return TrialResult(TrialState.COMPLETED, metrics=metrics, model=saved, n_parameters=model.count_params())


def answer_validation_patches(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Keep a model's answers to the patches of `dense_plan`; `spec.settings` is an `AnsweringTask`.

    Raises:
        WhosehandError: if the model cannot be loaded, or the line store is damaged.
    """
    asked: AnsweringTask = spec.settings
    configure_tensorflow(spec.threads, spec.precision, spec.seed)
    store, manifest = LineStore.open(asked.line_store), SplitManifest.load(asked.split)
    leak = manifest.leak("validation")
    plan = dense_plan(store, manifest.validation, manifest.writer_ids, asked.patches, asked.per_line, leak)
    predictor = Predictor(load_model(asked.model))
    answers = PatchAnswers(plan, predictor.log_probabilities(evaluation_batches(store, plan, _BATCH_SIZE)))
    path = spec.work_dir / "answers.npz"
    answers.save(path)
    return TrialResult(TrialState.COMPLETED, artifacts={path.name: reference_file(path)})


def save_network(
    model: keras.Model,
    spec: TrialSpec,
    task: PatchTask,
    manifest: SplitManifest,
    scores: Mapping[str, float],
    example: NDArray[np.uint8],
    origin: Origin | None = None,
) -> FileReference:
    """Save a trial's network with its record, and the code of the user's own that its layers may be
    of.

    Args:
        model: gives probabilities of the manifest's writers.
        spec: of the trial.
        task: how lines and patches were made.
        manifest: the split.
        scores: of the validation pages, by name.
        example: (n, height, width, 1) patches, at least one.
        origin: what its training began with.
    """
    own = task.network if task.network is not None and task.network.folder is not None else None
    record = ModelRecord(
        writer_ids=manifest.writer_ids,
        ink=task.ink,
        patches=task.patches,
        corpus=manifest.corpus,
        split_hash=manifest.hash,
        test_hash=manifest.test_hash,
        scores=scores,
        version=whosehand_version(),
        warning=_KNOWS_TRAINING_ALONE if manifest.has_unseen_writers else manifest.warning,
        own_module=own.path.partition(":")[0] if own else "",
        origin=origin,
    )
    folder = save_model(model, spec.work_dir / _MODEL_FOLDER, record, example)
    if own is not None and own.folder is not None:
        shutil.copytree(own.folder, folder / OWN_CODE_FOLDER, ignore=shutil.ignore_patterns("__pycache__", "*.pickle"))
    return reference_file(folder)


def _training_of(spec: TrialSpec) -> Hyperparameters:
    """Those of the training; a network of the user's own has names beside them."""
    task: PatchTask = spec.settings
    names = set(spec.hyperparameters) if task.network is None else {*TRAINING_HYPERPARAMETERS} & {*spec.hyperparameters}
    return Hyperparameters.from_point({name: spec.hyperparameters[name] for name in names})


def _origin(spec: TrialSpec) -> Origin | None:
    task: PatchTask = spec.settings
    return None if task.start is None else task.start.origin(_training_of(spec))


def _build(spec: TrialSpec, patch_shape: tuple[int, ...], n_writers: int) -> keras.Model:
    task: PatchTask = spec.settings
    if task.network is None:
        return build_model(_training_of(spec), patch_shape, n_writers, spec.seed)
    return build_own(load_function(task.network), spec.hyperparameters, patch_shape, n_writers)


@dataclass
class _FitRecord:
    """Reports each epoch and keeps the metrics of all of them, over all attempts."""

    report_epoch: ReportEpoch
    folder: Path | None
    history: list[dict[str, float]] = field(default_factory=list)
    decision: PruningDecision = PruningDecision.GO

    @classmethod
    def of(cls, spec: TrialSpec, report_epoch: ReportEpoch) -> "_FitRecord":
        task: PatchTask = spec.settings
        folder = spec.work_dir / CHECKPOINT_FOLDER if task.keeps_checkpoints else None
        return cls(report_epoch, folder, [dict(scores) for scores in spec.history])

    def add(self, epoch: EpochRecord) -> bool:
        self.history.append(dict(epoch.metrics))
        file = epoch.checkpoint
        checkpoint = FileReference(file.path, file.sha256, file.size_bytes) if file else None
        costs = epoch.n_patches, epoch.duration_s
        report = EpochReport(epoch.epoch, epoch.metrics, *costs, checkpoint, epoch.seconds)
        self.decision = self.report_epoch(report)
        return self.decision is PruningDecision.GO


def _plan(spec: TrialSpec, record: _FitRecord) -> FitPlan:
    task, origin = spec.settings, _origin(spec)
    return FitPlan(
        hyperparameters=_training_of(spec),
        own={name: value for name, value in spec.hyperparameters.items() if task.network is not None},
        monitor=task.monitor,
        horizon_epochs=spec.horizon_epochs,
        checkpoint_dir=record.folder,
        until_epoch=spec.until_epoch,
        checkpoint=spec.checkpoint.path if spec.checkpoint else None,
        checkpoint_sha256=spec.checkpoint.sha256 if spec.checkpoint else None,
        seed=spec.seed,
        begins_with=origin.sha256 if origin else "",
        takes_epoch=task.takes_epoch,
    )


def _named(subset: str, scores: Mapping[str, float]) -> dict[str, float]:
    prefix = {"validation": "val"}.get(subset, subset)
    return {f"{prefix}/{name}": value for name, value in scores.items()}


def write_fit_files(
    model: keras.Model,
    history: Sequence[Mapping[str, float]],
    store: LineStore,
    plan: PatchPlan,
    writer_ids: Sequence[str],
    folder: Path,
) -> dict[str, FileReference]:
    """Write learning curves, the network's layers, and a collage of training patches.

    Returns:
        The files by artifact path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    learning_curves(history, folder / "learning_curves.png")
    lines: list[str] = []
    model.summary(print_fn=lambda line, **_: lines.append(line), line_length=100)
    (folder / "model.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    patch_collage(store, plan, writer_ids, folder / "patches.png")
    return _references(folder, ("learning_curves.png", "model.txt", "patches.png"))


def _references(folder: Path, names: Sequence[str]) -> dict[str, FileReference]:
    return {name: reference_file(folder / name) for name in names}
