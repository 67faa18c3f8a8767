"""What a network said of each patch of a plan, kept as a file, so that it is asked once and looked
at often.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import PatchError
from core.lines.store import LineStore
from core.patches.offsets import Indices
from core.patches.plan import PatchPlan, evaluation_plan
from core.scoring.intervals import ClusteredScores, Interval, bootstrap_means, draw_resamples, exact_interval
from core.scoring.mean_scores import mean_log_probabilities
from core.settings import PatchSettings
from core.splits.manifest import LeakySubset

PATCH_COUNTS = (1, 2, 4, 8, 16)
_N_DRAWS = 20


@dataclass(frozen=True, eq=False)
class PatchAnswers:
    """Patches and what a network said of them.

    Attributes:
        plan: the patches, with labels, those of one line together.
        log_probabilities: (n_patches, n_writers), natural logarithms.
    """

    plan: PatchPlan
    log_probabilities: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Raise PatchError if there is not one answer for each patch."""
        if self.log_probabilities.ndim != 2 or len(self.log_probabilities) != len(self.plan):
            raise PatchError(
                f"Each of {len(self.plan)} patches needs an answer, but got shape {self.log_probabilities.shape}."
            )

    def save(self, path: Path) -> None:
        """Write one compressed file of arrays."""
        path.parent.mkdir(parents=True, exist_ok=True)
        plan = self.plan
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                lines=plan.lines,
                tops=plan.tops,
                lefts=plan.lefts,
                labels=plan.labels,
                size_px=np.array(plan.size_px),
                log_probabilities=self.log_probabilities,
            )

    @classmethod
    def load(cls, path: Path) -> "PatchAnswers":
        """Read what `save` wrote.

        Raises:
            PatchError: if the file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as kept:
                plan = PatchPlan(kept["lines"], kept["tops"], kept["lefts"], kept["labels"], int(kept["size_px"]))
                return cls(plan, kept["log_probabilities"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise PatchError(f"{path} must hold the answers for patches, but cannot be read ({error}).") from error


@dataclass(frozen=True)
class AccuracyAt:
    """How often the right writer is named from so much of the writing.

    Attributes:
        amount: such as `4`, `line` or `page`.
        mean_patches: that were asked together, on average: short lines have less than was wanted.
        top1: share identified correctly.
        interval: 95 %, over pages.
        n_items: lines or pages that were decided.
    """

    amount: str
    mean_patches: float
    top1: float
    interval: Interval
    n_items: int


def dense_plan(
    store: LineStore,
    image_ids: Sequence[str],
    writer_ids: Sequence[str],
    settings: PatchSettings,
    per_line: int,
    leak: LeakySubset | None = None,
) -> PatchPlan:
    """Space patches evenly over each line (not each image, as an evaluation does), at most
    `per_line` of each.

    Raises:
        PatchError: as `core.patches.plan.evaluation_plan`.
    """
    return evaluation_plan(store, image_ids, writer_ids, settings, per_line, leak, by="line")


def accuracy_by_amount(answers: PatchAnswers, store: LineStore, seed: int = 0) -> tuple[AccuracyAt, ...]:
    """Score decisions from 1, 2, 4, ... patches of a line, from whole lines and from whole pages.

    Few patches are drawn at random from each line, `_N_DRAWS` times, and the draws averaged; a line
    with fewer patches gives all it has. Counts that no line exceeds are left out, and pages where
    the corpus has none.

    Args:
        answers: of `dense_plan`.
        store: that the plan belongs to.
        seed: of the draws and of the bootstrap.
    """
    lines, pages = _line_numbers(answers.plan), _page_numbers(answers.plan, store)
    per_line = np.bincount(lines)
    found = []
    for count in PATCH_COUNTS:
        if count < per_line.max():
            found.append(_few(answers, lines, pages, count, seed))
    found.append(_whole(answers, lines, pages, "line", seed))
    if pages.max() < lines.max() or any(line.group_id != line.image_id for line in store.lines):
        found.append(_whole(answers, pages, pages, "page", seed))
    return tuple(found)


def _few(answers: PatchAnswers, lines: Indices, pages: Indices, count: int, seed: int) -> AccuracyAt:
    generator = np.random.default_rng([seed, count])
    n_lines = int(lines.max()) + 1
    hits, used = np.zeros(n_lines), 0
    true = _first_of(answers.plan.labels, lines)
    for _ in range(_N_DRAWS):
        order = np.lexsort((generator.random(len(lines)), lines))
        starts = np.searchsorted(lines[order], np.arange(n_lines))
        rank = np.arange(len(lines)) - starts[lines[order]]
        chosen = np.sort(order[rank < count])
        used = len(chosen)
        hits += _decide(answers, chosen, lines) == true
    return _score(str(count), hits / _N_DRAWS, true, _first_of(pages, lines), used / n_lines, seed)


def _whole(answers: PatchAnswers, groups: Indices, pages: Indices, amount: str, seed: int) -> AccuracyAt:
    true = _first_of(answers.plan.labels, groups)
    hits = (_decide(answers, np.arange(len(groups)), groups) == true) * 1.0
    return _score(amount, hits, true, _first_of(pages, groups), len(groups) / len(true), seed)


def _decide(answers: PatchAnswers, chosen: Indices, groups: Indices) -> Indices:
    """The writer named for each group from the chosen patches; every group must have one."""
    names, means = mean_log_probabilities(answers.log_probabilities[chosen], groups[chosen].tolist())
    decided = np.empty(len(names), dtype=np.int64)
    decided[np.array(names, dtype=np.int64)] = means.argmax(axis=1)
    return decided


def _score(
    amount: str, hits: NDArray[np.float64], true: Indices, pages: Indices, mean_patches: float, seed: int
) -> AccuracyAt:
    units = np.unique(pages, return_inverse=True)[1].astype(np.int64)
    n_units, n_writers = int(units.max()) + 1, int(true.max()) + 1
    scores = ClusteredScores.collect(units, n_units, true, true, n_writers, {"top1": hits})
    top1 = float(hits.mean())
    interval = bootstrap_means(scores, draw_resamples(n_units, 1000, seed))["top1"]
    if top1 in (0.0, 1.0):
        interval = exact_interval(top1, n_units)
    return AccuracyAt(amount, mean_patches, top1, interval, len(hits))


def _line_numbers(plan: PatchPlan) -> Indices:
    """The line of each patch, numbered from 0 without gaps."""
    return np.unique(plan.lines, return_inverse=True)[1].astype(np.int64)


def _page_numbers(plan: PatchPlan, store: LineStore) -> Indices:
    """The page of each patch, numbered from 0; two writers' parts of one page count apart."""
    number: dict[tuple[str, str], int] = {}
    lines = [store.lines[line] for line in plan.lines.tolist()]
    return np.array([number.setdefault((line.writer_id, line.group_id), len(number)) for line in lines])


def _first_of(values: NDArray[np.integer], groups: Indices) -> Indices:
    """The value of each group's first patch, in the order of the groups' numbers."""
    return values[np.unique(groups, return_index=True)[1]].astype(np.int64)
