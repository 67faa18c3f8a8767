"""The objective of whosehand's sweeps: train one patch CNN, score it on the validation pages, save it.

Runs in a worker process. What a trial leaves behind are files; the driver gets references to them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import keras

from core.identification.model_record import ModelRecord
from core.lines.store import LineStore
from core.networks.hyperparameters import Hyperparameters
from core.networks.model import build_model
from core.patches.feed import TrainingFeed
from core.patches.plan import PatchSampler, read_patches
from core.scoring.evaluation import Evaluation
from core.scoring.scorer import Scorer
from core.splits.manifest import SplitManifest
from core.training.fit import configure_tensorflow, fit
from core.training.plan import EpochRecord, FitEnd, FitPlan
from search.experiment.version import whosehand_version
from search.ledger.files import reference_file, write_atomically
from search.ledger.trial import (
    CHECKPOINT_FOLDER,
    EpochReport,
    FileReference,
    ReportEpoch,
    TrialResult,
    TrialSpec,
    TrialState,
    Verdict,
)
from search.objectives.saved_model import load_model, save_model
from search.objectives.tasks import PatchTask, ScoringTask
from search.objectives.trial_files import write_fit_files, write_score_files

PRELOAD = ("tensorflow", "keras", "mlflow.tensorflow", "matplotlib.figure", "pandas", "sklearn.metrics")
"""Imported once by the server that workers are forked from."""
_HISTORY_FILE = "history.json"
_MODEL_FOLDER = "model"


def train_patch_cnn(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Train the network of `spec.hyperparameters`; `spec.settings` is a `PatchTask`.

    The value is the monitored validation score of the best epoch, whose weights are the model that is saved.

    Raises:
        WhosehandError: if the network cannot be built, the loss is not finite, or the line store is damaged.
    """
    task: PatchTask = spec.settings
    configure_tensorflow(spec.threads, spec.precision, spec.seed)
    hyperparameters = Hyperparameters.from_point(spec.hyperparameters)
    store, manifest = LineStore.open(task.line_store), SplitManifest.load(task.split)
    sampler = PatchSampler(store, manifest.train, manifest.writer_ids, task.patches, spec.seed, manifest.leak("train"))
    feed = TrainingFeed(sampler, hyperparameters.batch_size, hyperparameters.augmentation, spec.seed)
    size_px = task.patches.size_px
    model = build_model(hyperparameters, (size_px, size_px, 1), len(manifest.writer_ids), spec.seed)
    per_image = task.patches.per_image_at_validation
    validation = manifest.validation, manifest.writer_ids, task.patches, per_image, manifest.leak("validation")
    scorer = Scorer(model, store, *validation)
    record = _FitRecord.of(spec, report_epoch)
    result = fit(model, feed, lambda _: _named("val", scorer.score(n_resamples=0)), _plan(spec, record), record.add)
    if not result.end.is_complete:
        state = TrialState.PRUNED if record.verdict is Verdict.STOP else TrialState.PAUSED
        return TrialResult(state, metrics=record.history[-1] if record.history else {})
    scores = scorer.score()
    metrics = _named("val", scores)
    artifacts = write_score_files(scores, spec.work_dir) | write_fit_files(
        model, record.history, store, sampler.plan_epoch(0), manifest.writer_ids, spec.work_dir
    )
    return TrialResult(
        TrialState.COMPLETED,
        value=result.best_metrics[task.monitor.metric],
        metrics=metrics | {"best_epoch": float(result.best_epoch)},
        artifacts=artifacts,
        model=_save(model, spec, manifest, metrics, sampler) if task.keeps_model else None,
        n_parameters=model.count_params(),
        reason=f"no better epoch since {result.best_epoch}" if result.end is FitEnd.EARLY_STOP else "",
    )


def score_patch_cnn(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Score a saved model on one part of the split; `spec.settings` is a `ScoringTask`. There are no epochs.

    Raises:
        WhosehandError: if the model cannot be loaded, or the line store is damaged.
    """
    scoring: ScoringTask = spec.settings
    patches = scoring.task.patches
    configure_tensorflow(spec.threads, spec.precision, spec.seed)
    store, manifest = LineStore.open(scoring.task.line_store), SplitManifest.load(scoring.task.split)
    model = load_model(scoring.model)
    image_ids = manifest.image_ids(scoring.part)
    per_image, leak = patches.per_image_at_test, manifest.leak(scoring.part)
    scorer = Scorer(model, store, image_ids, manifest.writer_ids, patches, per_image, leak)
    scores = scorer.score()
    files = write_score_files(scores, spec.work_dir)
    return TrialResult(
        TrialState.COMPLETED,
        metrics=_named(scoring.part, scores),
        artifacts={f"{scoring.part}/{name}": reference for name, reference in files.items()},
        n_parameters=model.count_params(),
    )


@dataclass
class _FitRecord:
    """Reports each epoch and keeps the metrics of all of them, over all attempts, beside the checkpoints."""

    report_epoch: ReportEpoch
    folder: Path | None
    history: list[dict[str, float]] = field(default_factory=list)
    verdict: Verdict = Verdict.GO

    @classmethod
    def of(cls, spec: TrialSpec, report_epoch: ReportEpoch) -> "_FitRecord":
        history: list[dict[str, float]] = []
        if spec.checkpoint is not None:
            earlier = spec.checkpoint.path.parent / _HISTORY_FILE
            history = json.loads(earlier.read_text(encoding="utf-8"))[: spec.start_epoch] if earlier.exists() else []
        task: PatchTask = spec.settings
        return cls(report_epoch, spec.work_dir / CHECKPOINT_FOLDER if task.keeps_checkpoints else None, history)

    def add(self, epoch: EpochRecord) -> bool:
        self.history.append(dict(epoch.metrics))
        if self.folder is not None:
            write_atomically(self.folder / _HISTORY_FILE, json.dumps(self.history).encode())
        file = epoch.checkpoint
        checkpoint = FileReference(file.path, file.sha256, file.size_bytes) if file else None
        report = EpochReport(epoch.epoch, epoch.metrics, epoch.n_patches, epoch.duration_s, checkpoint)
        self.verdict = self.report_epoch(report)
        return self.verdict is Verdict.GO


def _plan(spec: TrialSpec, record: _FitRecord) -> FitPlan:
    task: PatchTask = spec.settings
    return FitPlan(
        hyperparameters=Hyperparameters.from_point(spec.hyperparameters),
        monitor=task.monitor,
        horizon_epochs=spec.horizon_epochs,
        checkpoint_dir=record.folder,
        until_epoch=spec.until_epoch,
        checkpoint=spec.checkpoint.path if spec.checkpoint else None,
        checkpoint_sha256=spec.checkpoint.sha256 if spec.checkpoint else None,
        seed=spec.seed,
    )


def _named(part: str, scores: Evaluation) -> dict[str, float]:
    prefix = {"validation": "val"}.get(part, part)
    return {f"{prefix}/{name}": value for name, value in scores.metrics.items()}


def _save(
    model: keras.Model, spec: TrialSpec, manifest: SplitManifest, scores: Mapping[str, float], sampler: PatchSampler
) -> FileReference:
    task: PatchTask = spec.settings
    record = ModelRecord(
        writer_ids=manifest.writer_ids,
        ink=task.ink,
        patches=task.patches,
        corpus=manifest.corpus,
        split_hash=manifest.hash,
        test_hash=manifest.test_hash,
        scores=scores,
        version=whosehand_version(),
        warning=manifest.warning,
    )
    example = read_patches(sampler.store, sampler.plan_epoch(0)[:1])[..., None]
    return reference_file(save_model(model, spec.work_dir / _MODEL_FOLDER, record, example))
