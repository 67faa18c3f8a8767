"""The parts of `benchmarks.scale` that score a network and draw what it did."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from benchmarks.scale_cost import Cost, Size, measured
from core.lines.source import ImageLines, StoredLine
from core.patches.plan import PatchPlan
from core.scoring.evaluation import evaluate
from core.scoring.pictures import patch_collage

VALIDATION_SHARE = 0.2
PER_IMAGE = 8
_HEIGHT_PX = 64
_BATCH_SIZE = 256
_N_WRONG = 5  # of each writer's images, one in so many is given to a neighbour


class BlankLines(ImageLines):
    """One line a validation page, all with the same pixels."""

    def __init__(self, size: Size) -> None:
        super().__init__("blank", [], _HEIGHT_PX)
        n_images = round(VALIDATION_SHARE * size.n_pages)
        self.labels = np.arange(n_images) * size.n_writers // n_images
        self.lines = tuple(
            StoredLine(f"page-{k:06d}-0", 0, f"writer-{label:05d}", f"page-{k:06d}", 3 * _HEIGHT_PX)
            for k, label in enumerate(self.labels.tolist())
        )
        self._blank = np.tile(np.arange(3 * _HEIGHT_PX, dtype=np.uint8), (_HEIGHT_PX, 1))

    def pixels(self, line: int) -> NDArray[np.uint8]:
        """The same for all."""
        return self._blank

    def plan(self) -> PatchPlan:
        """`PER_IMAGE` patches of each line."""
        lines = np.repeat(np.arange(len(self.lines), dtype=np.int32), PER_IMAGE)
        lefts = np.tile(np.arange(PER_IMAGE, dtype=np.int32), len(self.lines))
        return PatchPlan(lines, np.zeros_like(lines), lefts, self.labels[lines].astype(np.int32), _HEIGHT_PX)


def answers(plan: PatchPlan, n_writers: int) -> Iterator[NDArray[np.float32]]:
    """What a network with some skill would say, batch by batch."""
    noise = np.random.default_rng(0).normal(size=(_BATCH_SIZE, n_writers)).astype(np.float32)
    noise = log_softmax(noise, axis=1)
    for start in range(0, len(plan), _BATCH_SIZE):
        labels = plan.labels[start : start + _BATCH_SIZE]
        batch = noise[: len(labels)].copy()
        is_wrong = plan.lines[start : start + _BATCH_SIZE] % _N_WRONG == 0
        batch[np.arange(len(labels)), (labels + is_wrong) % n_writers] = -0.5
        yield batch


def measure_scoring(size: Size, _: Path) -> Sequence[Cost]:
    """An evaluation as after each epoch, and one with intervals as at a trial's end."""
    lines = BlankLines(size)
    plan, writer_ids = lines.plan(), [f"writer-{k:05d}" for k in range(size.n_writers)]

    def score(n_resamples: int) -> object:
        return evaluate(answers(plan, size.n_writers), plan, lines, writer_ids, n_resamples)

    return [
        measured("an epoch's evaluation", lambda: score(0)),
        measured("a trial's evaluation, with intervals", lambda: score(1000)),
    ]


def measure_files(size: Size, _: Path) -> Sequence[Cost]:
    """Tables and pictures of a trial."""
    # here, as it imports TensorFlow, whose memory would count in the other part
    from search.objectives.judges import write_score_files

    lines = BlankLines(size)
    plan, writer_ids = lines.plan(), [f"writer-{k:05d}" for k in range(size.n_writers)]
    scores = evaluate(answers(plan, size.n_writers), plan, lines, writer_ids, 10)
    with tempfile.TemporaryDirectory() as folder:
        costs = [
            measured("confusion, writers, decisions", lambda: write_score_files(scores, Path(folder))),
            measured("collage", lambda: patch_collage(lines, plan, writer_ids, Path(folder) / "patches.png")),
        ]
        table_mb = (Path(folder) / "confusion.csv").stat().st_size / 1e6
    return [*costs, Cost("confusion.csv, MB in place of seconds", table_mb, 0.0)]
