"""The levels of a decision (patches, images, pages) and what each item of them scored.

The answers of a network pass by once, in batches. Of each item its right and its named writer are
kept, and the place of the right one among all writers, never the scores of all writers: those of
20,000 images and 10,000 writers would fill 1.6 GB, and those of their patches eight times as much.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.metrics import f1_score

from core.lines.source import LineSource
from core.patches.offsets import Indices
from core.patches.plan import PatchPlan
from core.scoring.intervals import (
    ClusteredScores,
    Interval,
    bootstrap_macro_f1,
    bootstrap_means,
    exact_interval,
)
from core.scoring.mean_scores import FloatArray, clip_log_probabilities, number_groups

_CELLS_AT_ONCE = 2**20
"""Of patches x writers: 8 MB for each array that is made of them."""


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


@dataclass(frozen=True, eq=False)
class Level:
    """Items of one level (patches, images or pages) with their scores.

    Attributes:
        n_writers: that the network tells apart.
        true: (n_items,) the right classes.
        predicted: (n_items,) the class with the highest score, the lowest one among equals.
        n_ahead: (n_items,) how many classes go before the right one; among equals the lower class
            does.
        true_log_probability: (n_items,) of the right class.
        predicted_log_probability: (n_items,) of the named class.
        units: (n_items,) the independent unit of each item, numbered from 0: its page, or its image
            where there are no pages.
        n_patches: (n_items,) patches of each item.
        image_ids: the image of each item; `None` for pages.
        page_ids: the page of each item; `None` where there are no pages.
        has_macro_f1: whether macro-F1 is among its metrics.
    """

    n_writers: int
    true: Indices
    predicted: Indices
    n_ahead: Indices
    true_log_probability: FloatArray
    predicted_log_probability: FloatArray
    units: Indices
    n_patches: Indices
    image_ids: Sequence[str | None]
    page_ids: Sequence[str | None]
    has_macro_f1: bool

    @cached_property
    def item_scores(self) -> dict[str, FloatArray]:
        """Those scores whose mean over the items counts."""
        return {
            "top1": (self.n_ahead < 1).astype(np.float64),
            "top5": (self.n_ahead < 5).astype(np.float64),
            "logloss": -self.true_log_probability,
        }

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
        n_units = resamples.shape[1]
        scores = ClusteredScores.collect(
            self.units, n_units, self.true, self.predicted, self.n_writers, self.item_scores
        )
        intervals = bootstrap_means(scores, resamples)
        if self.has_macro_f1:
            intervals["macro_f1"] = bootstrap_macro_f1(scores, resamples)
        certain = {name for name, value in self.metrics.items() if name != "logloss" and value in (0.0, 1.0)}
        return intervals | {name: exact_interval(self.metrics[name], n_units) for name in certain}

    def decide(self, writer_ids: Sequence[str]) -> tuple[Decision, ...]:
        """Name a writer for each item."""
        named, right = np.exp(self.predicted_log_probability).tolist(), np.exp(self.true_log_probability).tolist()
        return tuple(
            Decision(
                self.image_ids[k],
                self.page_ids[k],
                int(self.n_patches[k]),
                writer_ids[true],
                writer_ids[predicted],
                named[k],
                right[k],
            )
            for k, (true, predicted) in enumerate(zip(self.true.tolist(), self.predicted.tolist(), strict=True))
        )


def build_levels(
    batches: Iterable[NDArray[np.floating]], plan: PatchPlan, store: LineSource, n_writers: int
) -> dict[str, Level]:
    """Aggregate to `patch`, `image` and, where any image is part of a page, `page`.

    Memory grows with the items, not with the writers, as long as the patches of an image (and of a
    page) follow each other closely: only items that still miss patches keep a score for each
    writer.

    Args:
        batches: natural logarithms of probabilities, each (n, n_writers), of the plan's patches in
            its order; clipped at `LOG_FLOOR`.
        plan: of the patches, with labels.
        store: that the plan belongs to.
        n_writers: that the network tells apart.

    Raises:
        ValueError: if there are more or fewer answers than patches, or a log-probability is not a
            number.
    """
    lines = [store.lines[line] for line in plan.lines.tolist()]
    has_pages = any(line.group_id != line.image_id for line in lines)
    images: list[Hashable] = [line.image_id for line in lines]
    pages: list[Hashable] = [(line.writer_id, line.group_id) for line in lines]  # hands on a shared page count apart
    keys: dict[str, Sequence[Hashable]] = {"patch": range(len(lines)), "image": images}
    if has_pages:
        keys["page"] = pages
    tallies = {name: _Tally(number_groups(groups)[1], plan.labels, n_writers) for name, groups in keys.items()}
    n_told = 0
    for block in _blocks(batches, n_writers):
        if n_told + len(block) > len(plan):
            raise ValueError(f"{len(plan)} patches must have as many answers, but got more.")
        for tally in tallies.values():
            tally.add(n_told, block)
        n_told += len(block)
    if n_told != len(plan):
        raise ValueError(f"{len(plan)} patches must have as many answers, but got {n_told}.")
    units = number_groups(pages)[1]
    return {
        name: Level(
            n_writers,
            tally.true,
            tally.predicted,
            tally.n_ahead,
            tally.true_log_probability,
            tally.predicted_log_probability,
            units[tally.first],
            tally.n_patches,
            [None if name == "page" else lines[k].image_id for k in tally.first],
            [lines[k].group_id if has_pages else None for k in tally.first],
            has_macro_f1=name != "patch",
        )
        for name, tally in tallies.items()
    }


class _Tally:
    """What the items of one level scored, filled as their patches come by.

    An item's sum of log-probabilities is kept from its first patch to its last one.
    """

    def __init__(self, places: Indices, labels: NDArray[np.int32], n_writers: int) -> None:
        self.first = np.unique(places, return_index=True)[1]
        self.n_patches = np.bincount(places)
        self.true = labels[self.first].astype(np.int64)
        n_items = len(self.first)
        self.predicted = np.zeros(n_items, dtype=np.int64)
        self.n_ahead = np.zeros(n_items, dtype=np.int64)
        self.true_log_probability = np.zeros(n_items)
        self.predicted_log_probability = np.zeros(n_items)
        self._places = places
        self._last = len(places) - 1 - np.unique(places[::-1], return_index=True)[1]
        self._classes = np.arange(n_writers)
        self._sums: dict[int, FloatArray] = {}  # of items that still miss patches

    def add(self, start: int, clipped: FloatArray) -> None:
        """Take the answers for the patches from number `start` on."""
        complete, sums = [], []
        for patch, (place, row) in enumerate(
            zip(self._places[start : start + len(clipped)].tolist(), clipped, strict=True), start
        ):
            total = self._sums.get(place)
            if total is None:
                total = self._sums[place] = 0.0 + row
            else:
                total += row
            if patch == self._last[place]:
                complete.append(place)
                sums.append(self._sums.pop(place))
        if complete:
            self._score(np.array(complete), np.stack(sums))

    def _score(self, places: Indices, sums: FloatArray) -> None:
        log_probabilities = log_softmax(sums / self.n_patches[places][:, np.newaxis], axis=1)
        true, rows = self.true[places][:, np.newaxis], np.arange(len(places))
        own = log_probabilities[rows, true[:, 0]][:, np.newaxis]
        n_equal_before = ((log_probabilities == own) & (self._classes < true)).sum(axis=1)
        self.n_ahead[places] = (log_probabilities > own).sum(axis=1) + n_equal_before
        self.predicted[places] = log_probabilities.argmax(axis=1)
        self.true_log_probability[places] = own[:, 0]
        self.predicted_log_probability[places] = log_probabilities[rows, self.predicted[places]]


def _blocks(batches: Iterable[NDArray[np.floating]], n_writers: int) -> Iterator[FloatArray]:
    """Cut batches into clipped blocks of a size that memory does not feel."""
    n_rows = max(1, _CELLS_AT_ONCE // n_writers)
    for batch in batches:
        if batch.ndim != 2 or batch.shape[1] != n_writers:
            raise ValueError(f"Shape (n_patches, {n_writers}) was expected, but got {batch.shape}.")
        for start in range(0, len(batch), n_rows):
            yield clip_log_probabilities(batch[start : start + n_rows])
