"""The refit as the model that people use: made once for a refit, and kept beside it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from core.corpora.index import TextImage, Unit
from core.errors import RegistryError
from core.training.precision import choose_precision
from search.executors.worker_job import WorkerJob, run_job
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.ledger.files import is_intact, write_atomically
from search.ledger.trial import TrialResult
from search.objectives.tasks import PatchTask
from search.promotion.packaging_task import (
    PACKAGE_IDENTIFIER,
    REFERENCE_FILE,
    PackagingTask,
    ReferenceAnswer,
    read_references,
)
from search.promotion.refit import Refit
from search.promotion.strangers import stranger_lines
from search.sweep.launch import local_executor
from search.sweep.preparation import PreparedCorpus

_KEPT_FILE = "identifier.json"
_FOLDER = "packaging"
_N_REFERENCES = 8
_KEPT: TypeAdapter[TrialResult] = TypeAdapter(TrialResult)


@dataclass(frozen=True)
class PackagedModel:
    """The model that people use, before it is registered.

    Attributes:
        folder: an MLflow pyfunc.
        size_bytes: of all its files.
        metrics: `calibration/...`.
        references: what the network said about validation images by the way of the evaluation.
    """

    folder: Path
    size_bytes: int
    metrics: dict[str, float]
    references: tuple[ReferenceAnswer, ...]


def package_refit(
    refit: Refit,
    experiment: Experiment,
    workspace: Workspace,
    corpus: PreparedCorpus,
    task: PatchTask,
    network: Path,
) -> PackagedModel:
    """Calibrate the refit on validation pages and make it a model that others can use, or take the one that is there.

    Args:
        refit: completed.
        experiment: of the sweep.
        workspace: where line stores are kept.
        corpus: whose validation images it is calibrated on.
        task: of the refit.
        network: folder of its network.

    Raises:
        RegistryError: if it fails.
    """
    kept = refit.folder / _KEPT_FILE
    result = _KEPT.validate_json(kept.read_bytes()) if kept.exists() else None
    if result is None or result.model is None or not is_intact(result.model):
        strangers = stranger_lines(experiment, workspace, corpus)
        result = _package(refit, experiment, corpus, task, network, strangers)
        write_atomically(kept, _KEPT.dump_json(result, indent=2))
    if result.model is None:
        raise RegistryError(f"Packaging must leave a model, but {refit.folder / _FOLDER} has none.")
    references = read_references(result.artifacts[REFERENCE_FILE].path)
    return PackagedModel(result.model.path, result.model.size_bytes, dict(result.metrics), references)


def _package(
    refit: Refit,
    experiment: Experiment,
    corpus: PreparedCorpus,
    task: PatchTask,
    network: Path,
    strangers: Path | None,
) -> TrialResult:
    work_dir = refit.folder / _FOLDER
    shutil.rmtree(work_dir, ignore_errors=True)
    job = PackagingTask(
        network, task, _references(corpus), _unit(corpus), strangers, experiment.promotion.false_accept_rate
    )
    return run_job(
        WorkerJob(
            PACKAGE_IDENTIFIER,
            job,
            work_dir,
            choose_precision(experiment.training.precision),
            experiment.seed,
            "The model must be calibrated and packed",
        ),
        local_executor(experiment, PACKAGE_IDENTIFIER, n_workers=1),
    )


def _references(corpus: PreparedCorpus) -> tuple[TextImage, ...]:
    """Some validation images, evenly chosen."""
    validation = set(corpus.manifest.validation)
    images = [image for image in corpus.index.images if image.image_id in validation]
    return tuple(images[:: max(1, len(images) // _N_REFERENCES)][:_N_REFERENCES])


def _unit(corpus: PreparedCorpus) -> Unit:
    units = {image.unit for image in corpus.index.images}
    return units.pop() if len(units) == 1 else "auto"
