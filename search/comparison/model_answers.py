"""A trial's model asked about many patches of the validation pages: once, in a worker; the answers
are kept.
"""

import errno
import hashlib
import json
import os
import tempfile
from pathlib import Path

from core.durable_files import write_atomically
from core.errors import ComparisonError, PatchError
from core.scoring.answers import PatchAnswers
from core.training.plan import choose_precision
from search.executors.base import run_task
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialSpec, TrialState
from search.objectives.tasks import ANSWER_PATCHES, AnsweringTask
from search.sweep.known_sweeps import KnownSweep
from search.sweep.preparation import SPLIT_FILE, PreparedCorpus
from search.sweep.workers import local_executor

MOST_PER_LINE = 32
_MOST_CELLS = 6_000_000  # patches x writers: 24 MB of answers, and minutes of prediction at the most


def ask_model(sweep: KnownSweep, trial: TrialRecord, model: Path, corpus: PreparedCorpus, folder: Path) -> PatchAnswers:
    """The model's answers to evenly spaced patches of every validation line: those kept in
    `folder`, or new ones.

    Args:
        sweep: whose split and settings count.
        trial: that made the model.
        model: its folder.
        corpus: of the sweep.
        folder: where answers are kept; in a project that may only be looked at they are not.

    Raises:
        ComparisonError: if the worker fails.
    """
    task = AnsweringTask(
        model, corpus.store.folder, sweep.folder / SPLIT_FILE, sweep.experiment.patches, patches_per_line(corpus)
    )
    kept = folder / f"answers-{_key(trial, task, corpus)}.npz"
    if kept.exists():
        try:
            return PatchAnswers.load(kept)
        except PatchError:
            kept.unlink()  # damaged: asked again
    keeps = _may_write(folder)
    with tempfile.TemporaryDirectory(dir=folder if keeps else None, prefix=".asking-") as work_dir:
        result = run_task(
            local_executor(sweep.experiment, ANSWER_PATCHES, n_workers=1), _spec(sweep, task, Path(work_dir))
        )
        if result.state is not TrialState.COMPLETED:
            raise ComparisonError(
                f"The model of trial {trial.number} must answer for the validation pages, but: {result.reason}"
            )
        answers = result.artifacts["answers.npz"].path
        if keeps:
            write_atomically(kept, answers.read_bytes())
        return PatchAnswers.load(answers)


def _may_write(folder: Path) -> bool:
    """Whether a folder can be made, or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return False
    return os.access(folder, os.W_OK)


def patches_per_line(corpus: PreparedCorpus) -> int:
    """As many as `MOST_PER_LINE`, fewer in a large corpus."""
    validation = set(corpus.manifest.validation)
    n_lines = sum(line.image_id in validation for line in corpus.store.lines)
    most = _MOST_CELLS // max(1, n_lines * len(corpus.manifest.writer_ids))
    return max(1, min(MOST_PER_LINE, most))


def _key(trial: TrialRecord, task: AnsweringTask, corpus: PreparedCorpus) -> str:
    """What the answers depend on; not where anything lies."""
    sha256 = trial.result.model.sha256 if trial.result and trial.result.model else ""
    patches = task.patches.model_dump(mode="json")
    content = [sha256, corpus.manifest.hash, corpus.store.folder.name, patches, task.per_line]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _spec(sweep: KnownSweep, task: AnsweringTask, work_dir: Path) -> TrialSpec:
    threads = sweep.experiment.executor.threads
    return TrialSpec.of_task(
        ANSWER_PATCHES,
        task,
        work_dir,
        precision=choose_precision(sweep.experiment.training.precision),
        seed=sweep.experiment.seed,
        threads=threads if isinstance(threads, int) else 2,
    )
