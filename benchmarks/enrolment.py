"""Strangers who are given a name, ratios that mislead, and enrolling against training.

    python -m benchmarks.enrolment EXPERIMENT MODEL --against OTHER_MODEL

EXPERIMENT is the file that MODEL (the folder of a promoted model, or of a trial's) was trained by,
on some of the corpus's writers. All others are strangers to it. They are dealt into folds by
writer: of each fold the pages are tested, and the other strangers set the threshold, calibrate the
ratios, or are enrolled. OTHER_MODEL was trained by --other-experiment on more of these writers:
those that it knows and MODEL does not are enrolled with MODEL from 1, 2 and 4 of its training
pages, and named on its validation pages (but for those that MODEL was trained on), beside its own
answers. Nothing is trained. What was measured is kept in FILE: the same command goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.kept_results import KeptResults
from benchmarks.page_levers import pool_pairs
from benchmarks.report import notes, print_report
from core.corpora.settings import WriterSettings
from core.errors import RetrievalError
from core.identification.model_record import ModelRecord
from core.identification.prediction import Prediction
from core.lines.source import LineSource
from core.patches.plan import evaluation_plan
from core.retrieval.described_corpus import describe_corpus
from core.retrieval.known_hands import AMOUNTS, DescribedPage, Hands, PagesByInk
from core.retrieval.likelihood_ratios import RatioCalibration, calibrate_ratios, score_ratios
from core.retrieval.likelihood_ratios import tippett as tippett_curves
from core.retrieval.page_embeddings import JoinedLines
from core.retrieval.pairs import PagePairs
from core.retrieval.register import EnrolledPage, Register
from core.retrieval.same_hand import pairs_at
from core.scoring.intervals import draw_resamples
from core.splits.manifest import SplitManifest
from search.cli.common import progress_bar
from search.comparison.retrieval_pages import open_pages
from search.experiment.workspace import Workspace
from search.identification.hand_comparison import HandComparison
from search.identification.identifier_folder import read_record
from search.identification.page_reader import PageReader, source_of
from search.promotion.hand_scores import draw_tippett
from search.promotion.known_hands import gather_hands
from search.sweep.preparation import ReadCorpus, divide_corpus, read_corpus

_N_ENROLLED = (0, 5, 10)
_N_PAGES = (1, 2, 4)
_N_RESAMPLES = 500
_N_DRAWS = 20  # of who is enrolled: one draw of few writers decides much
_NAMED = ("enrolled", "promised", "found", "95 % interval", "pages", "writers", "rejected: trained", "enrolled ")
_RATIOS = ("patches", "writers", "pairs, one hand", "two", "Cllr", "95 % interval", "Cllr-min", "misled, one", "two ")
_TOP1 = ("named among all writers", "top-1 of enrolled writers", "top-1 of trained writers")
_AS_IT_IS = RatioCalibration(1.0, 0.0, -np.inf, np.inf, 0, 0, 0, 0)  # of pairs that hold log10 ratios already


@dataclass(frozen=True)
class Accepted:
    """Tested pages of one kind by a writer: how many were taken for a known writer's.

    Attributes:
        writer: of the pages.
        n_named: of them that were given a name.
        n_pages: of them.
    """

    writer: str
    n_named: int
    n_pages: int


def main(
    experiment: Annotated[Path, typer.Argument(help="The file that MODEL was trained by.")],
    model: Annotated[Path, typer.Argument(help="Folder of a model that knows some of the corpus's writers.")],
    overrides: Annotated[list[str], typer.Option("--set", help="Override one key of the files.")] = [],  # noqa: B006
    against: Annotated[Path | None, typer.Option(help="Folder of a model that knows more of them.")] = None,
    other_experiment: Annotated[Path | None, typer.Option(help="The file that the other was trained by.")] = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds of strangers.")] = 5,
    join: Annotated[int, typer.Option(min=1, help="So many images of a writer make a page, such as 10 words.")] = 1,
    kept: Annotated[Path, typer.Option(help="Keeps what was measured.")] = Path("build/enrolment.json"),
    tippett: Annotated[Path, typer.Option(help="Tippett plot of the ratios.")] = Path("build/tippett.png"),
) -> None:
    """Measure false accepts and likelihood ratios on strangers, and enrolment against training."""
    ours = _Trained.open(experiment, model, overrides, join)
    results = KeptResults(kept)
    what: dict[str, Any] = {"split": ours.manifest.hash, "model": source_of(model), "join": join}
    made = results.get_or_make(
        what | {"folds": folds, "draws": _N_DRAWS}, lambda: _measure_strangers(ours, folds, tippett)
    )
    print_report(f"Strangers to {model.name} who are given a name", _NAMED, made["named"], made["remarks"])
    print_report("Likelihood ratios on pairs of strangers' pages", _RATIOS, made["ratios"], made["remarks"])
    if against is not None:
        theirs = _Trained.open(other_experiment or experiment, against, overrides, join)
        more = what | {"against": source_of(against)}
        made = results.get_or_make(more, lambda: _measure_enrolment(ours, theirs))
        print_report("Enrolling against training into the softmax", _TOP1, made["rows"], made["remarks"])


@dataclass(frozen=True)
class _Trained:
    """A model, the pages that it was trained on, and those of everybody.

    Attributes:
        folder: of the model.
        record: of it.
        manifest: on which pages it was trained.
        corpus: with all writers.
        join: so many images make a page.
        false_accept_rate: that is to be held.
    """

    folder: Path
    record: ModelRecord
    manifest: SplitManifest
    corpus: ReadCorpus
    join: int
    false_accept_rate: float

    @classmethod
    def open(cls, file: Path, folder: Path, overrides: Sequence[str], join: int) -> "_Trained":
        record = read_record(folder)
        experiment = open_pages(file, overrides)[0].model_copy(update={"ink": record.ink})
        everybody = experiment.model_copy(update={"writers": WriterSettings()})
        with progress_bar("reading the corpus") as advance:
            own = read_corpus(experiment, Workspace(Path.cwd()), advance)
            corpus = read_corpus(everybody, Workspace(Path.cwd()), advance)
        manifest = divide_corpus(own, experiment).manifest
        return cls(folder, record, manifest, corpus, join, experiment.promotion.false_accept_rate)

    def hands(self, reader: PageReader) -> Hands:
        """What a promotion would put into the model, with nobody set aside yet."""
        notes.print(f"enrolment: describing pages of {len(self.record.writer_ids)} trained writers ...")
        settings, rate = self.record.patches, self.false_accept_rate
        training, train = self.pages_of(self.manifest.train)
        lines, validation = self.pages_of(self.manifest.validation, training)
        manifest = replace(self.manifest, train=train, validation=validation)
        what = (lines, manifest, self.record.writer_ids, None, settings, reader.embedder)
        return gather_hands(*what, rate, max_false_reject_rate=1.0)

    def pages_of(self, image_ids: Sequence[str], lines: LineSource | None = None) -> tuple[LineSource, tuple[str, ...]]:
        """Images joined to pages, in lines where others may be joined already, and those on one."""
        lines = lines or self.corpus.store
        if self.join == 1:
            return lines, tuple(image_ids)
        joined = JoinedLines(lines, image_ids, self.join)
        return joined, joined.image_ids

    def strangers(self, reader: PageReader) -> list[DescribedPage]:
        """Pages by writers whom it does not know."""
        known = set(self.record.writer_ids)
        images = [image.image_id for image in self.corpus.index.images if image.writer_id not in known]
        notes.print(f"enrolment: describing {len(images):,} images by strangers ...")
        return describe_corpus(*self.pages_of(images), self.record.patches, reader.embedder)


def _measure_strangers(trained: _Trained, folds: int, picture: Path) -> dict[str, Any]:
    reader = PageReader.load(trained.folder)
    hands, pages = trained.hands(reader), trained.strangers(reader)
    writers = sorted({page.writer_id for page in pages})
    dealt = np.random.default_rng(0).permutation(len(writers)) % folds
    fold_of = dict(zip(writers, dealt.tolist(), strict=True))
    remark = (
        f"{len(pages):,} pages by {len(writers)} strangers, {folds} folds by writer, pooled; {_N_DRAWS} draws of who "
        f"is enrolled; the model knows {len(trained.record.writer_ids)} writers; intervals are bootstraps over writers"
    )
    return {
        "named": [_false_accepts(n, pages, fold_of, trained.record, hands) for n in _N_ENROLLED],
        "ratios": _ratios(pages, fold_of, hands.centres.shape[1], picture),
        "remarks": [remark],
    }


def _false_accepts(
    n_enrolled: int, pages: Sequence[DescribedPage], fold_of: dict[str, int], record: ModelRecord, hands: Hands
) -> list[str]:
    """The share of strangers' pages that were given a name, and of known writers' that were not,
    pooled over folds.
    """
    found, rejected, trained, promised = list[Accepted](), list[bool](), list[float](), list[float]()
    draws = range(_N_DRAWS if n_enrolled else 1)
    for fold, draw in product(sorted(set(fold_of.values())), draws):
        others = [writer for writer, of in fold_of.items() if of != fold]
        enrolled = np.random.default_rng((fold, draw)).permutation(others)[:n_enrolled].tolist()
        own = [page for page in pages if page.writer_id in enrolled]
        set_aside = [page for page in pages if page.writer_id in others and page.writer_id not in enrolled]
        aside = PagesByInk.of(set_aside, hands.centres.shape[1])
        register = _enrol(own, 1, hands)
        comparison = HandComparison(record, replace(hands, set_aside=aside, max_false_reject_rate=1.0), register)
        for writer in (writer for writer, of in fold_of.items() if of == fold):
            named = _named(comparison, [page for page in pages if page.writer_id == writer])
            found.append(Accepted(writer, sum(named), len(named)))
        first = {writer: next(page for page in own if page.writer_id == writer) for writer in enrolled}
        rejected += [not is_named for is_named in _named(comparison, [p for p in own if p is not first[p.writer_id]])]
        test = comparison.fullest_test
        promised += [test.false_accept_rate] if test else []
        trained += [test.false_reject_rate] if test else []
    found = _by_writer(found)
    n_pages = sum(each.n_pages for each in found)
    low, high = _interval(found)
    share = sum(each.n_named for each in found) / max(1, n_pages)
    return [
        str(n_enrolled),
        f"{max(promised):.1%}" if promised else "none",
        f"{share:.1%}",
        f"{low:.1%} to {high:.1%}",
        str(n_pages // len(draws)),
        str(len(found)),
        f"{np.mean(trained):.1%}" if trained else "",
        f"{np.mean(rejected):.1%}" if rejected else "",
    ]


def _by_writer(found: Sequence[Accepted]) -> list[Accepted]:
    """All draws of a writer together."""
    writers = dict.fromkeys(each.writer for each in found)
    own = [[each for each in found if each.writer == writer] for writer in writers]
    return [Accepted(some[0].writer, sum(e.n_named for e in some), sum(e.n_pages for e in some)) for some in own]


def _named(comparison: HandComparison, pages: Sequence[DescribedPage]) -> list[bool]:
    """Whether pages are given a name; those with too little ink to say are left out."""
    likeness = [comparison.likeness_to_known(page) for page in pages]
    return [found[0].is_known(found[1]) for found in likeness if found is not None]


def _interval(found: Sequence[Accepted]) -> tuple[float, float]:
    counts = draw_resamples(len(found), _N_RESAMPLES, 0)
    named, asked = np.array([each.n_named for each in found]), np.array([each.n_pages for each in found])
    low, high = np.quantile((counts @ named) / np.maximum(counts @ asked, 1), [0.025, 0.975])
    return float(low), float(high)


def _ratios(
    pages: Sequence[DescribedPage], fold_of: dict[str, int], n_dimensions: int, picture: Path
) -> list[list[str]]:
    """Likelihood ratios by amounts of ink: the other folds calibrate, and all folds are pooled; of
    the largest amount the Tippett plot.
    """
    folds = [
        [
            PagesByInk.of([page for page in pages if (fold_of[page.writer_id] == fold) is own], n_dimensions)
            for own in (False, True)
        ]
        for fold in sorted(set(fold_of.values()))
    ]
    rows = list[list[str]]()
    for level in range(len(AMOUNTS)):
        tested = [_ratio_pairs(level, *fold) for fold in folds]
        if any(part is None for part in tested):
            break
        pooled = pool_pairs([part for part in tested if part is not None])
        found = score_ratios(_AS_IT_IS, pooled, _N_RESAMPLES)
        low, high = found.intervals["cllr"]
        counts = str(pooled.n_writers_of_different), f"{pooled.n_same:,}", f"{pooled.n_different:,}"
        costs = f"{found.cllr:.3f}", f"{low:.3f} to {high:.3f}", f"{found.cllr_min:.3f}"
        misled = f"{found.misleading_same:.1%}", f"{found.misleading_different:.1%}"
        rows.append([str(AMOUNTS[level]), *counts, *costs, *misled])
        picture.parent.mkdir(parents=True, exist_ok=True)
        draw_tippett(tippett_curves(_AS_IT_IS, pooled), picture)
    return rows


def _ratio_pairs(level: int, calibrating: PagesByInk, tested: PagesByInk) -> PagePairs | None:
    """The tested pairs with log10 ratios in place of similarities; `None` where either part has too
    little ink.
    """
    try:
        pairs = pairs_at((level, level), tested)
        calibration = calibrate_ratios(pairs_at((level, level), calibrating))
    except RetrievalError:
        return None
    return replace(pairs, scores=calibration.log10_ratios(pairs.scores).astype(np.float32))


def _measure_enrolment(ours: _Trained, theirs: _Trained) -> dict[str, Any]:
    reader, record = PageReader.load(ours.folder), ours.record
    new = [writer for writer in theirs.record.writer_ids if writer not in record.writer_ids]
    hands = ours.hands(reader)
    writer_of = {image.image_id: image.writer_id for image in ours.corpus.index.images}
    training = [image_id for image_id in theirs.manifest.train if writer_of[image_id] in new]
    enrolling = describe_corpus(*ours.pages_of(training), record.patches, reader.embedder, max(_N_PAGES))
    seen = set(ours.manifest.train)
    lines, asked = ours.pages_of([image_id for image_id in theirs.manifest.validation if image_id not in seen])
    notes.print(f"enrolment: naming {len(asked):,} validation images ...")
    found = _answers(reader, lines, asked)
    rows = []
    for n in _N_PAGES:
        comparison = HandComparison(record, hands, _enrol(enrolling, n, hands))
        named = [(true, comparison.answer(says, page).writer_id) for true, says, page in found]
        rows.append([f"enrolled from {n} {'page' if n == 1 else 'pages'}", *_shares(named, new)])
    softmax = _answers(PageReader.load(theirs.folder), lines, asked)
    rows.append(["trained into the softmax", *_shares([(true, says.writer_id) for true, says, _ in softmax], new)])
    remark = f"{len(found)} validation pages; {len(new)} writers enrolled, {len(record.writer_ids)} trained"
    return {"rows": rows, "remarks": [remark]}


def _answers(
    reader: PageReader, lines: LineSource, image_ids: Sequence[str]
) -> list[tuple[str, Prediction, DescribedPage]]:
    """Of each page the writer, what the network says, and its description."""
    identifier, answers = reader.identifier, []
    settings = identifier.record.patches
    wanted, pages = set(image_ids), dict[tuple[str, str], dict[str, None]]()
    for line in lines.lines:
        if line.image_id in wanted:
            pages.setdefault((line.writer_id, line.group_id), {})[line.image_id] = None
    for (writer, page), images in ((key, list(own)) for key, own in pages.items()):
        plan = evaluation_plan(lines, images, None, settings, settings.per_image_at_test, by="page")
        says = identifier.predict(identifier.log_probabilities(lines, plan), 2, page)
        (described,) = describe_corpus(lines, images, settings, reader.embedder)
        answers.append((writer, says, described))
    return answers


def _shares(named: Sequence[tuple[str, str]], new: Sequence[str]) -> list[str]:
    cells = []
    for is_new in (True, False):
        own = [true == found for true, found in named if (true in new) is is_new]
        cells.append(f"{np.mean(own):.1%} of {len(own)}" if own else "")
    return cells


def _enrol(pages: Sequence[DescribedPage], n_pages: int, hands: Hands) -> Register:
    """The first so many pages of each writer."""
    register = Register("benchmark", (), np.empty((0, hands.centres.shape[1]), np.float32))
    taken: dict[str, int] = {}
    for number, page in enumerate(pages):
        if taken.get(page.writer_id, 0) < n_pages and page.n_patches >= AMOUNTS[0]:
            taken[page.writer_id] = taken.get(page.writer_id, 0) + 1
            entry = EnrolledPage(page.writer_id, f"page {number}", "", page.n_patches, 0)
            register = register.with_pages([entry], page.descriptor[np.newaxis])
    return register


if __name__ == "__main__":
    typer.run(main)
