"""Scores of a network on one subset of a split, with intervals, and where it goes wrong.

The same answers are scored at three levels: of patches, of images and of pages. An image's score is
the mean log-probability of its patches, normalised again to sum to 1 (a geometric mean, in which
one sure patch can rule a writer out). A page's score is the mean over all patches of the page.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from core.lines.source import LineSource
from core.patches.plan import PatchPlan
from core.scoring.confusion import count_confusion
from core.scoring.intervals import Interval, draw_resamples
from core.scoring.levels import Decision, Level, build_levels


@dataclass(frozen=True)
class WriterScore:
    """How well one writer was told from the others.

    Attributes:
        writer_id: the writer.
        n_images: images by this writer.
        n_pages: pages by this writer; `None` where the corpus has no pages.
        top1: share of the images that were identified correctly; `None` without images.
        most_confused_with: whom the wrong images were most often given to; `None` without a wrong
            image.
        n_confused: how many images that was.
    """

    writer_id: str
    n_images: int
    n_pages: int | None
    top1: float | None
    most_confused_with: str | None
    n_confused: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of one network on one subset of a split.

    Attributes:
        metrics: `patch_`, `image_` and, where there are pages, `page_` with `top1`, `top5` and
            `macro_f1` (from 0 to 1; no macro-F1 of patches) and `logloss` (nats). Top-5 is top-n
            where there are n < 5 writers. Macro-F1 is the mean over the writers that have images
            here.
        intervals: 95 %, by the same names.
        interval_unit: what was drawn again for the intervals, "page" or "image".
        n_interval_units: how many of them there are.
        writer_ids: class k is writer_ids[k].
        confusion: (n_writers, n_writers) images, true writers in rows; sparse, cells above zero.
        per_writer: one row a writer, in the order of `writer_ids`.
        image_decisions: one row an image.
        page_decisions: one row a page; empty where there are no pages.
        levels: what was scored, by name.
    """

    metrics: dict[str, float]
    intervals: dict[str, Interval]
    interval_unit: str
    n_interval_units: int
    writer_ids: tuple[str, ...]
    confusion: csr_array
    per_writer: tuple[WriterScore, ...]
    image_decisions: tuple[Decision, ...]
    page_decisions: tuple[Decision, ...]
    levels: Mapping[str, Level]

    def with_intervals(self, n_resamples: int = 1000, seed: int = 0) -> "Evaluation":
        """The same with intervals.

        Args:
            n_resamples: of the bootstrap; 0 for no intervals.
            seed: of the bootstrap.
        """
        if not n_resamples:
            return replace(self, intervals={})
        resamples = draw_resamples(self.n_interval_units, n_resamples, seed)
        intervals = {
            f"{name}_{score}": interval
            for name, level in self.levels.items()
            for score, interval in level.intervals(resamples).items()
        }
        return replace(self, intervals=intervals)


def evaluate(
    log_probabilities: NDArray[np.floating] | Iterable[NDArray[np.floating]],
    plan: PatchPlan,
    store: LineSource,
    writer_ids: Sequence[str],
    n_resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Score a network's answers for the patches of an evaluation plan.

    Args:
        log_probabilities: (n_patches, n_writers), natural logarithm; clipped at `LOG_FLOOR`. Or
            batches of it in the plan's order, each (n, n_writers), of which none is kept.
        plan: of the patches, with labels.
        store: that the plan belongs to.
        writer_ids: class k is writer_ids[k].
        n_resamples: of the bootstrap; 0 for no intervals.
        seed: of the bootstrap.

    Raises:
        ValueError: if shapes do not fit, labels are missing, or a log-probability is not a number.
    """
    n_writers = len(writer_ids)
    if len(plan) == 0:
        raise ValueError("An evaluation needs a patch, but got none.")
    if plan.labels.min() < 0 or plan.labels.max() >= n_writers:
        raise ValueError(f"Labels must be from 0 to {n_writers - 1}, but got {plan.labels.min()}..{plan.labels.max()}.")
    batches: Iterable[NDArray[np.floating]]
    batches = [log_probabilities] if isinstance(log_probabilities, np.ndarray) else log_probabilities
    levels = build_levels(batches, plan, store, n_writers)
    image, page = levels["image"], levels.get("page")
    confusion = count_confusion(image.true, image.predicted, n_writers)
    return Evaluation(
        metrics={f"{name}_{score}": value for name, level in levels.items() for score, value in level.metrics.items()},
        intervals={},
        interval_unit="page" if page else "image",
        n_interval_units=int(image.units.max()) + 1,
        writer_ids=tuple(writer_ids),
        confusion=confusion,
        per_writer=_score_writers(confusion, page, writer_ids),
        image_decisions=image.decide(writer_ids),
        page_decisions=page.decide(writer_ids) if page else (),
        levels=levels,
    ).with_intervals(n_resamples, seed)


def _score_writers(confusion: csr_array, page: Level | None, writer_ids: Sequence[str]) -> tuple[WriterScore, ...]:
    n_pages = None if page is None else np.bincount(page.true, minlength=len(writer_ids))
    rows = []
    for k, writer_id in enumerate(writer_ids):
        cells = slice(confusion.indptr[k], confusion.indptr[k + 1])
        named, images = confusion.indices[cells], confusion.data[cells]
        n_images, n_right = int(images.sum()), int(images[named == k].sum())
        wrong = np.where(named == k, 0, images)
        most = int(wrong.argmax()) if n_right < n_images else None  # the lowest class among equals
        rows.append(
            WriterScore(
                writer_id,
                n_images,
                n_pages=None if n_pages is None else int(n_pages[k]),
                top1=n_right / n_images if n_images else None,
                most_confused_with=None if most is None else writer_ids[int(named[most])],
                n_confused=0 if most is None else int(wrong[most]),
            )
        )
    return tuple(rows)
