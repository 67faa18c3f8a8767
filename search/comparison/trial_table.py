"""A sweep's trials as a table: score with interval, cost, size and speed; and what each decided, to
compare two.
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from core.corpora.csv_cells import original_cell
from core.scoring.intervals import PairedTest, compare_paired
from core.scoring.mean_scores import LOG_FLOOR
from core.space import Point
from search.ledger.ranking import rank, score_name, trial_name
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.objectives.tasks import DESCRIPTORS_FILE
from search.sweep.known_sweeps import KnownSweep
from search.tracking.sweep_page import telling_columns

if TYPE_CHECKING:
    from core.retrieval.rank_tests import PairedRankings

SCORES_FILE = "scores.json"
DECISIONS_FILE = "decisions.csv"
CONFUSION_FILE = "confusion.csv"


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval, where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class TrialRow:
    """One trial of a sweep.

    Attributes:
        number: of the trial.
        name: a short one that tells trials apart.
        state: where it stands.
        place: in the leaderboard, from 1; `None` unless completed.
        score: the objective's value; `None` unless completed.
        scores: the other final scores, by short name.
        hyperparameters: all of them.
        n_epochs: done.
        n_patches: trained.
        duration_s: of training and validation.
        n_weights: of the network; 0 where that has no meaning or the trial is not completed.
        model_bytes: of the saved model; `None` where none was saved.
        patches_per_s: trained, validation and all; `None` without an epoch.
        n_attempts: starts of a worker.
        n_lost: workers that died.
        reason: of the end.
    """

    number: int
    name: str
    state: TrialState
    place: int | None
    score: Score | None
    scores: Mapping[str, Score]
    hyperparameters: Point
    n_epochs: int
    n_patches: int
    duration_s: float
    n_weights: int
    model_bytes: int | None
    patches_per_s: float | None
    n_attempts: int
    n_lost: int
    reason: str


@dataclass(frozen=True)
class Decided:
    """What a trial decided for one validation page, or image where there are no pages.

    Attributes:
        item: page id, or image id.
        true: writer id.
        predicted: writer id.
        probability: of the predicted writer.
        true_probability: of the true one.
        n_patches: that were asked.
    """

    item: str
    true: str
    predicted: str
    probability: float
    true_probability: float
    n_patches: int

    @property
    def is_correct(self) -> bool:
        """Whether the right writer is named."""
        return self.true == self.predicted

    @property
    def logloss(self) -> float:
        """Of the true writer, in nats; not more than that of `LOG_FLOOR`."""
        return -max(math.log(self.true_probability), LOG_FLOOR) if self.true_probability > 0 else -LOG_FLOOR


def read_rows(sweep: KnownSweep) -> tuple[TrialRow, ...]:
    """All trials: the completed ones first, the best at the top, then the others by number."""
    records = sweep.state.trials
    ranked = rank(records.values(), sweep.experiment.objective.resolved_direction)
    places = {trial.number: place for place, trial in enumerate(ranked, start=1)}
    order = [*places, *(number for number in records if number not in places)]
    name = score_name(sweep.experiment.objective.metric)
    return tuple(_row(records[number], places.get(number), name) for number in order)


def other_scores(sweep: KnownSweep) -> list[str]:
    """Names of the final scores that are worth a column beside the objective."""
    ranked = rank(sweep.state.trials.values(), sweep.experiment.objective.resolved_direction)
    return telling_columns(ranked, score_name(sweep.experiment.objective.metric))[0]


def differing(rows: Sequence[TrialRow]) -> list[str]:
    """Names of the hyperparameters in which these trials differ."""
    names = dict.fromkeys(name for row in rows for name in row.hyperparameters)
    return [name for name in names if len({repr(row.hyperparameters.get(name)) for row in rows}) > 1]


def trial_file(trial: TrialRecord, name: str) -> Path | None:
    """A file that a trial left behind; `None` if it left none, or it is gone."""
    reference = trial.result.artifacts.get(name) if trial.result else None
    return reference.path if reference is not None and reference.path.is_file() else None


def read_decisions(trial: TrialRecord) -> tuple[Decided, ...]:
    """What a trial decided for each page; empty if its table is gone."""
    path = trial_file(trial, DECISIONS_FILE)
    if path is None:
        return ()
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        Decided(
            original_cell(row.get("image_id") or row["page_id"]),
            original_cell(row["true"]),
            original_cell(row["predicted"]),
            float(row["probability"]),
            float(row["true_probability"]),
            int(row["n_patches"]),
        )
        for row in rows
    )


def pair_trials(first: TrialRecord, second: TrialRecord) -> "PairedTest | PairedRankings | None":
    """Compare what two trials did on the same validation pages; `None` if they are one, have no
    page in common, or their files are gone.
    """
    if first.number == second.number:
        return None
    files = trial_file(first, DESCRIPTORS_FILE), trial_file(second, DESCRIPTORS_FILE)
    if files[0] is None or files[1] is None:
        return pair_decisions(read_decisions(first), read_decisions(second))
    # Here, because scikit-learn takes a second, and other trials have no descriptors.
    from core.retrieval.described_pages import DescribedPages, compare_pages

    return compare_pages(DescribedPages.load(files[0]), DescribedPages.load(files[1]))


def pair_decisions(first: Sequence[Decided], second: Sequence[Decided]) -> PairedTest | None:
    """Compare two trials item by item, each item a unit of its own; `None` if they have no item in
    common.
    """
    others = {decided.item: decided for decided in second}
    ours = [decided for decided in first if decided.item in others]
    theirs = [others[decided.item] for decided in ours]
    if not ours:
        return None
    return compare_paired(
        [decided.logloss for decided in ours],
        [decided.logloss for decided in theirs],
        range(len(ours)),
        [decided.is_correct for decided in ours],
        [decided.is_correct for decided in theirs],
    )


def read_confusion(trial: TrialRecord) -> tuple[tuple[str, ...], csr_array] | None:
    """Writer ids and images by true (row) and named writer; `None` if the trial's table is gone."""
    path = trial_file(trial, CONFUSION_FILE)
    if path is None:
        return None
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    if header != ["true writer", "named writer", "images"]:  # 0.1 wrote the whole matrix
        counts = np.array([[int(cell) for cell in row[1:]] for row in rows], dtype=np.int64)
        return tuple(map(original_cell, header[1:])), csr_array(counts)
    class_of = {name: k for k, name in enumerate(dict.fromkeys(true for true, _, _ in rows))}
    cells = [(int(images), class_of[true], class_of[named]) for true, named, images in rows]
    images, true, named = np.array(cells, dtype=np.int64).T
    confusion = csr_array((images, (true, named)), shape=(len(class_of), len(class_of)))
    confusion.eliminate_zeros()
    return tuple(map(original_cell, class_of)), confusion


def _row(trial: TrialRecord, place: int | None, objective: str) -> TrialRow:
    result = trial.result
    is_completed = trial.state is TrialState.COMPLETED and result is not None
    scores = _scores(trial) if is_completed else {}
    score = None
    if is_completed and trial.value is not None:
        known = scores.get(objective)
        score = Score(trial.value, known.low if known else None, known.high if known else None)
    return TrialRow(
        number=trial.number,
        name=trial_name(trial.number, trial.hyperparameters),
        state=trial.state,
        place=place,
        score=score,
        scores={name: value for name, value in scores.items() if name != objective},
        hyperparameters=trial.hyperparameters,
        n_epochs=trial.n_epochs,
        n_patches=trial.n_patches,
        duration_s=trial.duration_s,
        n_weights=result.n_parameters if result else 0,
        model_bytes=result.model.size_bytes if result and result.model else None,
        patches_per_s=trial.n_patches / trial.duration_s if trial.n_patches and trial.duration_s > 0 else None,
        n_attempts=trial.n_attempts,
        n_lost=trial.n_lost,
        reason=trial.reason,
    )


def _scores(trial: TrialRecord) -> dict[str, Score]:
    """Final scores by short name, with the intervals of the trial's own file where it is there."""
    metrics = trial.result.metrics if trial.result else {}
    scores = {score_name(name): Score(float(value)) for name, value in metrics.items()}
    path = trial_file(trial, SCORES_FILE)
    if path is None:
        return scores
    kept = json.loads(path.read_text(encoding="utf-8"))["scores"]
    return scores | {
        name: Score(scores[name].value, score["low"], score["high"]) for name, score in kept.items() if name in scores
    }
