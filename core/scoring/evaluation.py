"""Scores of a network on one part of a split, with intervals, and where it goes wrong."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from core.lines.source import LineSource
from core.patches.plan import PatchPlan
from core.scoring.intervals import Interval, draw_resamples
from core.scoring.levels import Decision, Level, build_levels
from core.scoring.mean_scores import LOG_FLOOR, mean_log_probabilities

__all__ = ["LOG_FLOOR", "Decision", "Evaluation", "WriterScore", "evaluate", "mean_log_probabilities"]


@dataclass(frozen=True)
class WriterScore:
    """How well one writer was told from the others.

    Attributes:
        writer_id: the writer.
        n_images: images by this writer.
        n_pages: pages by this writer; `None` where the corpus has no pages.
        top1: share of the images that were named rightly; `None` without images.
        most_confused_with: whom the wrong images were most often given to; `None` without a wrong image.
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
    """The scores of one network on one part of a split.

    Attributes:
        metrics: `patch_`, `image_` and, where there are pages, `page_` with `top1`, `top5` and `macro_f1` (from 0 to 1;
            no macro-F1 of patches) and `logloss` (nats). Top-5 is top-n where there are n < 5 writers. Macro-F1 is
            the mean over the writers that have images here.
        intervals: 95 %, by the same names.
        interval_unit: what was drawn again for the intervals, "page" or "image".
        n_interval_units: how many of them there are.
        writer_ids: class k is writer_ids[k].
        confusion: (n_writers, n_writers) images, true writers in rows.
        per_writer: one row a writer, in the order of `writer_ids`.
        image_decisions: one row an image.
        page_decisions: one row a page; empty where there are no pages.
    """

    metrics: dict[str, float]
    intervals: dict[str, Interval]
    interval_unit: str
    n_interval_units: int
    writer_ids: tuple[str, ...]
    confusion: NDArray[np.int64]
    per_writer: tuple[WriterScore, ...]
    image_decisions: tuple[Decision, ...]
    page_decisions: tuple[Decision, ...]

    def to_json(self) -> dict[str, Any]:
        """Turn into what `json.dumps` takes."""
        return asdict(self) | {"confusion": self.confusion.tolist()}


def evaluate(
    log_probabilities: NDArray[np.floating],
    plan: PatchPlan,
    store: LineSource,
    writer_ids: Sequence[str],
    n_resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Score a network's answers for the patches of an evaluation plan.

    Args:
        log_probabilities: (n_patches, n_writers), natural logarithm; clipped at `LOG_FLOOR`.
        plan: of the patches, with labels.
        store: that the plan belongs to.
        writer_ids: class k is writer_ids[k].
        n_resamples: of the bootstrap; 0 for no intervals.
        seed: of the bootstrap.

    Raises:
        ValueError: if shapes do not fit, labels are missing, or a log-probability is not a number.
    """
    n_writers = len(writer_ids)
    if log_probabilities.shape != (len(plan), n_writers) or len(plan) == 0:
        raise ValueError(f"Shape {(len(plan), n_writers)} was expected, but got {log_probabilities.shape}.")
    if plan.labels.min() < 0 or plan.labels.max() >= n_writers:
        raise ValueError(f"Labels must be from 0 to {n_writers - 1}, but got {plan.labels.min()}..{plan.labels.max()}.")
    levels = build_levels(log_probabilities, plan, store)
    image, page = levels["image"], levels.get("page")
    n_units = int(image.units.max()) + 1
    resamples = draw_resamples(n_units, n_resamples, seed)
    confusion = confusion_matrix(image.true, image.predicted, labels=np.arange(n_writers)).astype(np.int64)
    return Evaluation(
        metrics={f"{name}_{score}": value for name, level in levels.items() for score, value in level.metrics.items()},
        intervals={
            f"{name}_{score}": interval
            for name, level in levels.items()
            for score, interval in (level.intervals(resamples) if n_resamples else {}).items()
        },
        interval_unit="page" if page else "image",
        n_interval_units=n_units,
        writer_ids=tuple(writer_ids),
        confusion=confusion,
        per_writer=_score_writers(confusion, page, writer_ids),
        image_decisions=image.decide(writer_ids),
        page_decisions=page.decide(writer_ids) if page else (),
    )


def _score_writers(
    confusion: NDArray[np.int64], page: Level | None, writer_ids: Sequence[str]
) -> tuple[WriterScore, ...]:
    n_images = confusion.sum(axis=1)
    wrong = confusion - np.diag(confusion.diagonal())
    n_pages = None if page is None else np.bincount(page.true, minlength=len(writer_ids))
    return tuple(
        WriterScore(
            writer_id,
            n_images=int(n_images[k]),
            n_pages=None if n_pages is None else int(n_pages[k]),
            top1=float(confusion[k, k] / n_images[k]) if n_images[k] else None,
            most_confused_with=writer_ids[int(wrong[k].argmax())] if wrong[k].any() else None,
            n_confused=int(wrong[k].max()),
        )
        for k, writer_id in enumerate(writer_ids)
    )
