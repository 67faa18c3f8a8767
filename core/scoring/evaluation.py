"""Scores of a network on one subset of a split, with intervals, and where it goes wrong.

The same answers are scored at three levels: of patches, of images and of pages. An image's score is
the mean log-probability of its patches, normalised again to sum to 1 (a geometric mean, in which
one sure patch can rule a writer out). A page's score is the mean over all patches of the page.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score

from core.lines.source import LineSource
from core.patches.offsets import Indices
from core.patches.plan import PatchPlan
from core.scoring.intervals import (
    ClusteredScores,
    Interval,
    bootstrap_macro_f1,
    bootstrap_means,
    draw_resamples,
    exact_interval,
)
from core.scoring.mean_scores import FloatArray, mean_log_probabilities, number_groups


@dataclass(frozen=True)
class Decision:
    """The writer that was named for an image or a page.

    Attributes:
        image_id: the image; `None` for a page.
        page_id: the page; `None` where the corpus has no pages.
        n_patches: that were asked.
        true: writer id.
        predicted: writer id with the highest score.
        probability: of the predicted writer, 0 to 1.
        true_probability: of the true writer, 0 to 1.
    """

    image_id: str | None
    page_id: str | None
    n_patches: int
    true: str
    predicted: str
    probability: float
    true_probability: float


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


@dataclass(frozen=True, eq=False)
class Level:
    """Items of one level (patches, images or pages) with their scores.

    Attributes:
        log_probabilities: (n_items, n_writers), normalised.
        true: (n_items,) the right classes.
        units: (n_items,) the independent unit of each item, numbered from 0: its page, or its image
            where there are no pages.
        n_patches: (n_items,) patches of each item.
        image_ids: the image of each item; `None` for pages.
        page_ids: the page of each item; `None` where there are no pages.
        has_macro_f1: whether macro-F1 is among its metrics.
    """

    log_probabilities: FloatArray
    true: Indices
    units: Indices
    n_patches: Indices
    image_ids: Sequence[str | None]
    page_ids: Sequence[str | None]
    has_macro_f1: bool

    @cached_property
    def predicted(self) -> Indices:
        """The class with the highest score of each item, the lowest one among equals."""
        return self.log_probabilities.argmax(axis=1)

    @cached_property
    def item_scores(self) -> dict[str, FloatArray]:
        """Those scores whose mean over the items counts; among equal probabilities the lower class
        goes first.
        """
        own = self.log_probabilities[np.arange(len(self.true)), self.true][:, np.newaxis]
        is_before = np.arange(self.log_probabilities.shape[1]) < self.true[:, np.newaxis]
        n_ahead = (self.log_probabilities > own).sum(axis=1) + ((self.log_probabilities == own) & is_before).sum(axis=1)
        return {"top1": (n_ahead < 1) * 1.0, "top5": (n_ahead < 5) * 1.0, "logloss": -own[:, 0]}

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The scores of this level; macro-F1 is over the writers that have items here."""
        means = {name: float(values.mean()) for name, values in self.item_scores.items()}
        if self.has_macro_f1:
            present = np.unique(self.true)
            means["macro_f1"] = float(
                f1_score(self.true, self.predicted, labels=present, average="macro", zero_division=0)
            )
        return means

    def intervals(self, resamples: FloatArray) -> dict[str, Interval]:
        """Bootstrap the metrics over units; a share of 0 or 1 has the exact interval for as many
        units.

        Args:
            resamples: (n_resamples, n_units), how often each unit was drawn.
        """
        n_units, n_writers = resamples.shape[1], self.log_probabilities.shape[1]
        scores = ClusteredScores.collect(self.units, n_units, self.true, self.predicted, n_writers, self.item_scores)
        intervals = bootstrap_means(scores, resamples)
        if self.has_macro_f1:
            intervals["macro_f1"] = bootstrap_macro_f1(scores, resamples)
        certain = {name for name, value in self.metrics.items() if name != "logloss" and value in (0.0, 1.0)}
        return intervals | {name: exact_interval(self.metrics[name], n_units) for name in certain}

    def decide(self, writer_ids: Sequence[str]) -> tuple[Decision, ...]:
        """Name a writer for each item."""
        probabilities = np.exp(self.log_probabilities)
        return tuple(
            Decision(
                self.image_ids[k],
                self.page_ids[k],
                int(self.n_patches[k]),
                writer_ids[true],
                writer_ids[predicted],
                float(probabilities[k, predicted]),
                float(probabilities[k, true]),
            )
            for k, (true, predicted) in enumerate(zip(self.true.tolist(), self.predicted.tolist(), strict=True))
        )


def build_levels(log_probabilities: NDArray[np.floating], plan: PatchPlan, store: LineSource) -> dict[str, Level]:
    """Aggregate to `patch`, `image` and, where any image is part of a page, `page`."""
    lines = [store.lines[line] for line in plan.lines.tolist()]
    has_pages = any(line.group_id != line.image_id for line in lines)
    images: list[Hashable] = [line.image_id for line in lines]
    pages: list[Hashable] = [(line.writer_id, line.group_id) for line in lines]  # hands on a shared page count apart
    keys: dict[str, Sequence[Hashable]] = {"patch": range(len(lines)), "image": images}
    if has_pages:
        keys["page"] = pages
    units = number_groups(pages)[1]
    levels = {}
    for name, groups in keys.items():
        places = number_groups(groups)[1]
        first = np.unique(places, return_index=True)[1]
        levels[name] = Level(
            mean_log_probabilities(log_probabilities, groups)[1],
            plan.labels[first].astype(np.int64),
            units[first],
            np.bincount(places),
            [None if name == "page" else lines[k].image_id for k in first],
            [lines[k].group_id if has_pages else None for k in first],
            has_macro_f1=name != "patch",
        )
    return levels


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
