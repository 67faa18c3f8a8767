"""The sealed test pages: opened once for a model, written down before, and the scores kept."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from search.executors.local.executor import LocalExecutor
from search.executors.worker_job import WorkerJob, run_job
from search.ledger.access_log import SealedPages
from search.ledger.files import write_atomically
from search.ledger.trial import TrialResult
from search.objectives.tasks import PatchTask, ScoringTask

SCORE_PATCH_CNN = "search.objectives.patch_cnn:score_patch_cnn"
_KEPT_FILE = "test.json"


@dataclass(frozen=True)
class TestScores:
    """What a model did on the sealed test pages.

    Attributes:
        result: metrics `test/...` and files.
        n_openings: how often these pages had been opened, this time included.
        opened_ms: when, Unix time.
    """

    __test__ = False  # no test class, whatever pytest thinks of the name

    result: TrialResult
    n_openings: int
    opened_ms: int


_KEPT: TypeAdapter[TestScores] = TypeAdapter(TestScores)


def kept_scores(folder: Path) -> TestScores | None:
    """The scores of an earlier opening by the same model, if there was one."""
    path = folder / _KEPT_FILE
    return _KEPT.validate_json(path.read_bytes()) if path.exists() else None


def open_test_pages(
    model: Path,
    task: PatchTask,
    pages: SealedPages,
    folder: Path,
    executor: LocalExecutor,
    precision: str,
    seed: int,
) -> TestScores:
    """Score a model on the test part, in a worker; the opening is written down before.

    Args:
        model: the saved model's folder.
        task: of the trial that trained it.
        pages: are opened.
        folder: for the scores, which later calls of `kept_scores` find.
        executor: closed when this returns.
        precision: as the model was trained in.
        seed: of nothing but TensorFlow's set-up.

    Raises:
        RegistryError: if scoring fails. The opening counts nevertheless.
    """
    n_openings = pages.open()
    rule = "The model must be scored on the test pages"
    result = run_job(
        WorkerJob(SCORE_PATCH_CNN, ScoringTask(model, task, "test"), folder / "test", precision, seed, rule), executor
    )
    scores = TestScores(result, n_openings, pages.opened_ms)
    write_atomically(folder / _KEPT_FILE, _KEPT.dump_json(scores, indent=2))
    return scores
