"""Where a model errs on the validation pages: confused writers with their patches, the worst pages,
calibration.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csr_array

from core.errors import ComparisonError
from core.lines.store import LineStore
from core.patches.plan import read_patches
from core.scoring.answers import AccuracyAt, PatchAnswers, accuracy_by_amount
from core.scoring.confusion import (
    ConfusedPair,
    confused_pairs,
    count_confusion,
    order_by_confusion,
    writers_to_draw,
)
from core.scoring.diagnostics import Reliability, measure_reliability
from core.scoring.levels import Level, build_levels
from core.scoring.mean_scores import mean_log_probabilities, number_groups
from core.splits.manifest import SplitManifest
from search.comparison.error_figures import draw_confusion
from search.comparison.figures import report_style
from search.comparison.trial_table import Decided, read_confusion, read_decisions
from search.ledger.state import TrialRecord
from search.sweep.preparation import PreparedCorpus

N_PAIRS = 4
N_WORST = 6
N_PATCHES = 4
_LINE_HEIGHT_PX = 56
_LINE_WIDTH_PX = 760


@dataclass(frozen=True)
class PatchRow:
    """Patches of one writer that show something.

    Attributes:
        label: what they show.
        images: PNG pictures as `data:` addresses.
    """

    label: str
    images: tuple[str, ...]


@dataclass(frozen=True)
class ConfusedWriters:
    """Two writers that are taken for each other.

    Attributes:
        one: writer id of the one who is taken for the other more often.
        other: writer id.
        pair: the counts of images; of patches where no image was given to a wrong writer.
        unit: what `pair` counts.
        rows: patches; empty where the model was not asked.
    """

    one: str
    other: str
    pair: ConfusedPair
    unit: str
    rows: tuple[PatchRow, ...]


@dataclass(frozen=True)
class WorstPage:
    """A page, or image, to whose writer the model gave little.

    Attributes:
        decided: what it decided.
        line: the line that spoke most against the true writer, as a `data:` address; empty where it
            is not known.
    """

    decided: Decided
    line: str


@dataclass(frozen=True, eq=False)
class Mistakes:
    """What one model got wrong on the validation pages.

    Attributes:
        writer_ids: class k is writer_ids[k].
        confusion: (n_writers, n_writers) images, true writers in rows; sparse.
        order: of the writers, by confusion; of very many those alone who are confused most.
        pairs: the most confused ones.
        item: what is decided at the highest level, `page` or `image`.
        n_items: how many there are.
        n_wrong: how many were given to a wrong writer.
        worst: the items with the least probability for the true writer.
        reliability: by level.
        amounts: accuracy by amount of writing; empty where the model was not asked.
        per_line: most patches of a line that the model was asked about; 0 where all is from the
            trial's own tables.
    """

    writer_ids: tuple[str, ...]
    confusion: csr_array
    order: NDArray[np.int64]
    pairs: tuple[ConfusedWriters, ...]
    item: str
    n_items: int
    n_wrong: int
    worst: tuple[WorstPage, ...]
    reliability: Mapping[str, Reliability]
    amounts: tuple[AccuracyAt, ...]
    per_line: int

    def _repr_html_(self) -> str:
        """What a notebook shows: the confusion matrix."""
        with report_style():
            picture = draw_confusion(self.confusion, self.writer_ids, self.order, "images")
        return f'<img src="{picture.source}" alt="{escape(picture.text)}"><p>{escape(picture.caption)}</p>'


def mistakes_of_answers(answers: PatchAnswers, corpus: PreparedCorpus, per_line: int) -> Mistakes:
    """Find the mistakes in a model's answers.

    Raises:
        ComparisonError: if an answer is for anything but a validation page.
    """
    store, manifest = corpus.store, corpus.manifest
    _check_validation_only(answers, store, manifest)
    writer_ids, n = manifest.writer_ids, len(manifest.writer_ids)
    levels = build_levels([answers.log_probabilities], answers.plan, store, n)
    top = levels.get("page", levels["image"])
    confusion, by_patch = (
        count_confusion(level.true, level.predicted, n) for level in (levels["image"], levels["patch"])
    )
    item = "page" if "page" in levels else "image"
    decided = _decided(top, writer_ids)
    return Mistakes(
        writer_ids=writer_ids,
        confusion=confusion,
        order=_order(answers, store, writers_to_draw(confusion)),
        pairs=_pairs(confusion, by_patch, answers, store, writer_ids),
        item=item,
        n_items=len(decided),
        n_wrong=sum(one.true != one.predicted for one in decided),
        worst=tuple(WorstPage(one, _line_against(one, answers, store, writer_ids)) for one in _worst(decided)),
        reliability={name: _reliability(level) for name, level in levels.items()},
        amounts=accuracy_by_amount(answers, store),
        per_line=per_line,
    )


def mistakes_of_tables(trial: TrialRecord, item: str) -> Mistakes | None:
    """Find the mistakes in the tables that a trial left behind; `None` if it left none, or they are
    gone.

    Args:
        trial: a completed one.
        item: what its table of decisions is of, `page` or `image`.
    """
    found = read_confusion(trial)
    if found is None:
        return None
    writer_ids, confusion = found
    drawn = writers_to_draw(confusion)
    decided = read_decisions(trial)
    right = np.array([one.true == one.predicted for one in decided], dtype=np.bool_)
    probabilities = np.array([one.probability for one in decided])
    return Mistakes(
        writer_ids=writer_ids,
        confusion=confusion,
        order=drawn[order_by_confusion(confusion[drawn][:, drawn].toarray())],
        pairs=tuple(
            ConfusedWriters(writer_ids[pair.one], writer_ids[pair.other], pair, "images", ())
            for pair in confused_pairs(confusion, N_PAIRS)
        ),
        item=item,
        n_items=len(decided),
        n_wrong=int((~right).sum()),
        worst=tuple(WorstPage(one, "") for one in _worst(decided)),
        reliability={item: measure_reliability(probabilities, right)} if decided else {},
        amounts=(),
        per_line=0,
    )


def _check_validation_only(answers: PatchAnswers, store: LineStore, manifest: SplitManifest) -> None:
    validation = set(manifest.validation)
    others = {store.lines[line].image_id for line in np.unique(answers.plan.lines).tolist()} - validation
    if others:
        raise ComparisonError(
            f"A report shows validation pages only, but {len(others)} images are of another part, such as "
            f"{sorted(others)[:3]}. Delete the answers in the sweep's report folder."
        )


def _order(answers: PatchAnswers, store: LineStore, drawn: NDArray[np.int64]) -> NDArray[np.int64]:
    """The drawn writers by the probabilities that images of theirs gave to each other."""
    chosen = np.flatnonzero(np.isin(answers.plan.labels, drawn))
    images = [store.lines[line].image_id for line in answers.plan.lines[chosen].tolist()]
    first = np.unique(number_groups(images)[1], return_index=True)[1]
    means = mean_log_probabilities(answers.log_probabilities[chosen], images)[1]
    rows = np.searchsorted(drawn, answers.plan.labels[chosen][first])
    soft = np.zeros((len(drawn), len(drawn)))
    np.add.at(soft, rows, np.exp(means[:, drawn]))
    return drawn[order_by_confusion(soft)]


def _reliability(level: Level) -> Reliability:
    probabilities = np.exp(level.predicted_log_probability)
    return measure_reliability(np.minimum(probabilities, 1.0), level.predicted == level.true)


def _decided(level: Level, writer_ids: Sequence[str]) -> tuple[Decided, ...]:
    return tuple(
        Decided(
            item=str(one.image_id or one.page_id),
            true=one.true,
            predicted=one.predicted,
            probability=one.probability,
            true_probability=one.true_probability,
            n_patches=one.n_patches,
        )
        for one in level.decide(writer_ids)
    )


def _worst(decided: Sequence[Decided]) -> list[Decided]:
    return sorted(decided, key=lambda one: (one.true_probability, one.item))[:N_WORST]


def _line_against(decided: Decided, answers: PatchAnswers, store: LineStore, writer_ids: Sequence[str]) -> str:
    """The line of a page that gave the least to the true writer."""
    true = writer_ids.index(decided.true)
    plan = answers.plan
    known = {
        line
        for line in np.unique(plan.lines[plan.labels == true]).tolist()
        if decided.item in (store.lines[line].group_id, store.lines[line].image_id)
    }
    if not known:
        return ""
    own = {line: float(answers.log_probabilities[plan.lines == line, true].mean()) for line in sorted(known)}
    worst = min(own, key=lambda line: (own[line], line))
    picture = Image.fromarray(np.asarray(store.pixels(worst)))
    width_px = max(1, round(picture.width * _LINE_HEIGHT_PX / picture.height))
    picture = picture.resize((width_px, _LINE_HEIGHT_PX), Image.Resampling.LANCZOS)
    return _as_png(picture.crop((0, 0, min(width_px, _LINE_WIDTH_PX), _LINE_HEIGHT_PX)))


def _pairs(
    confusion: csr_array,
    by_patch: csr_array,
    answers: PatchAnswers,
    store: LineStore,
    writer_ids: Sequence[str],
) -> tuple[ConfusedWriters, ...]:
    """The pairs by images, and where there are few of them those by patches after them."""
    found = [(pair, "images") for pair in confused_pairs(confusion, N_PAIRS)]
    known = {frozenset((pair.one, pair.other)) for pair, _ in found}
    for pair in confused_pairs(by_patch, N_PAIRS + len(known)):
        if len(found) < N_PAIRS and frozenset((pair.one, pair.other)) not in known:
            found.append((pair, "patches"))
    return tuple(
        ConfusedWriters(
            writer_ids[pair.one], writer_ids[pair.other], pair, unit, _rows(pair, answers, store, writer_ids)
        )
        for pair, unit in found
    )


def _rows(
    pair: ConfusedPair, answers: PatchAnswers, store: LineStore, writer_ids: Sequence[str]
) -> tuple[PatchRow, ...]:
    """For both writers the patches that speak most for the other one, and those that speak most for
    themselves.
    """
    rows = []
    for own, other in ((pair.one, pair.other), (pair.other, pair.one)):
        margin = answers.log_probabilities[:, other] - answers.log_probabilities[:, own]
        names = writer_ids[own], writer_ids[other]
        most = _distinct(answers, own, margin)
        verb = "taken for" if len(most) and margin[most[0]] > 0 else "nearest to"
        rows.append(PatchRow(f"{names[0]}, {verb} {names[1]}", _pictures(answers, store, most)))
        surest = _distinct(answers, own, answers.log_probabilities[:, own])
        rows.append(PatchRow(f"{names[0]} at the surest", _pictures(answers, store, surest)))
    return tuple(rows)


def _distinct(answers: PatchAnswers, writer: int, score: NDArray[np.floating]) -> NDArray[np.int64]:
    """The writer's patches with the highest scores, one of a line as far as there are lines
    enough.
    """
    own = np.flatnonzero(answers.plan.labels == writer)
    ranked = own[np.argsort(-score[own], kind="stable")]
    first = np.unique(answers.plan.lines[ranked], return_index=True)[1]
    order = np.concatenate([np.sort(first), np.setdiff1d(np.arange(len(ranked)), first)])
    return ranked[order[:N_PATCHES]]


def _pictures(answers: PatchAnswers, store: LineStore, chosen: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(_as_png(Image.fromarray(patch)) for patch in read_patches(store, answers.plan[chosen]))


def _as_png(picture: Image.Image) -> str:
    content = BytesIO()
    picture.save(content, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
