"""Asks a saved model about many patches of the validation pages. Runs in a worker process."""

from core.lines.store import LineStore
from core.networks.inference import Predictor
from core.patches.feed import evaluation_batches
from core.scoring.answers import PatchAnswers, dense_plan
from core.splits.manifest import SplitManifest
from core.training.fit import configure_tensorflow
from search.comparison.model_answers import AnsweringTask
from search.ledger.files import reference_file
from search.ledger.trial import ReportEpoch, TrialResult, TrialSpec, TrialState
from search.objectives.saved_model import load_model

PRELOAD = ("tensorflow", "keras", "mlflow.tensorflow")
"""Imported once by the server that workers are forked from."""
_BATCH_SIZE = 256


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
