"""The sealed test pages: opened once for a model, written down before, and the scores kept."""

import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from core.errors import RegistryError
from search.executors.base import WorkerEnded, WorkerLost
from search.executors.local import LocalExecutor
from search.files import write_atomically
from search.patch_task import PatchTask, ScoringTask
from search.promotion.openings import Opening, record_opening
from search.trial import TrialResult, TrialSpec, TrialState

SCORE_PATCH_CNN = "search.objective:score_patch_cnn"
_KEPT_FILE = "test.json"
_POLL_S = 1.0


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
    test_hash: str,
    openings_file: Path,
    reason: str,
    folder: Path,
    executor: LocalExecutor,
    precision: str,
    seed: int,
) -> TestScores:
    """Score a model on the test part, in a worker; the opening is written down before.

    Args:
        model: the saved model's folder.
        task: of the trial that trained it.
        test_hash: of the test part.
        openings_file: where openings are counted.
        reason: who opens, and why.
        folder: for the scores, which later calls of `kept_scores` find.
        executor: closed when this returns.
        precision: as the model was trained in.
        seed: of nothing but TensorFlow's set-up.

    Raises:
        RegistryError: if scoring fails. The opening counts nevertheless.
    """
    opened_ms = time.time_ns() // 1_000_000
    n_openings = record_opening(openings_file, Opening(test_hash, opened_ms, reason))
    spec = TrialSpec(
        sweep_id="test",
        number=0,
        attempt=1,
        objective=SCORE_PATCH_CNN,
        hyperparameters={},
        seed=seed,
        start_epoch=0,
        until_epoch=0,
        horizon_epochs=0,
        threads=executor.threads,
        precision=precision,
        checkpoint=None,
        work_dir=folder / "test",
        settings=ScoringTask(model, task, "test"),
    )
    with executor:
        result = _run(executor, spec)
    scores = TestScores(result, n_openings, opened_ms)
    write_atomically(folder / _KEPT_FILE, _KEPT.dump_json(scores, indent=2))
    return scores


def _run(executor: LocalExecutor, spec: TrialSpec) -> TrialResult:
    executor.start(spec)
    while True:
        for message in executor.poll(_POLL_S):
            match message:
                case WorkerEnded(result=result) if result.state is TrialState.COMPLETED:
                    return result
                case WorkerEnded(result=result):
                    raise RegistryError(f"The model must be scored on the test pages, but that failed: {result.reason}")
                case WorkerLost(reason=reason):
                    raise RegistryError(f"The model must be scored on the test pages, but the worker {reason}.")
