"""What validation pages are worth to a refit: one network, trained on equally many patches of the
training pages alone (`promotion.refit: train`), or of training and validation pages
(`all_but_test`), judged on pages that neither has seen; and of training pages alone four times as
long, which costs as much as `all_but_test` with its cross-fits.

    python -m benchmarks.refit_pages hands                  (50 writers with 2 and 3 pages to give)
    python -m benchmarks.refit_pages hands --pages 2
    python -m benchmarks.refit_pages dhsd --dhsd PATH       (8 words a writer)

Each repeat draws anew which page of each writer judges (of DHSD two words), and which others
validate. Repeats overlap, so that the difference is tested with Nadeau and Bengio's correction.
Each fit is kept in a JSON file, and the same command goes on from there: 30 fits of hands, 15 of
DHSD. Test pages are never touched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.kept_results import KeptResults
from benchmarks.laboratory import Laboratory, NamedCorpus
from benchmarks.options import Alike, DhsdRoot, Precision, Threads, resolve_threads
from benchmarks.report import notes, print_report
from core.corpora.index import CorpusIndex, natural_key
from core.corpora.settings import DhsdSettings, HandsSettings
from core.networks.presets import find_preset
from core.scoring.intervals import ResampledTest, compare_resampled
from core.splits.by_page import pages_of_writers
from core.splits.manifest import SplitManifest
from core.training.plan import choose_precision
from search.experiment.settings import RefitPages
from search.sweep.preparation import save_split

_LONGER = 4  # a refit with three cross-fits
ARMS: Mapping[str, tuple[RefitPages, int]] = {
    "train": ("train", 1),
    "train, longer": ("train", _LONGER),
    "all_but_test": ("all_but_test", 1),
}
"""The pages that each trains on, and how many times as long."""
N_WRITERS = 50
_VALIDATION = 0.2  # as `split.validation` says where nothing is said


@dataclass(frozen=True)
class Question:
    """How many pages of each writer there are.

    Attributes:
        n_given: for training and validation.
        n_judged: held out to judge on.
        unit: `page` or `word`.
    """

    n_given: int
    n_judged: int
    unit: str

    @property
    def n_validation(self) -> int:
        """Of those given, what `train` does without."""
        return max(1, round(_VALIDATION * self.n_given))


QUESTIONS: Mapping[str, tuple[Question, ...]] = {
    "hands": (Question(2, 1, "page"), Question(3, 1, "page")),
    "dhsd": (Question(8, 2, "word"),),
}


def main(
    corpus: Annotated[str, typer.Argument(help="hands or dhsd.")],
    pages: Annotated[int, typer.Option(help="Only writers with so many pages; all questions if 0.")] = 0,
    repeats: Annotated[int, typer.Option(min=2, help="Random divisions, each a fit of both kinds.")] = 5,
    patches: Annotated[int, typer.Option(min=200, help="Training patches of each fit.")] = 20_000,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each fit.")] = 2,
    writers: Annotated[int, typer.Option(min=2, help="Writers of hands.")] = N_WRITERS,
    alike: Alike = 0.5,
    dhsd: DhsdRoot = Path("data/dhsd"),
    out: Annotated[Path, typer.Option(help="File of results to go on with.")] = Path("data/refit_pages.json"),
    threads: Threads = 0,
    precision: Precision = "auto",
) -> None:
    """Measure what it brings to train on validation pages too."""
    if corpus not in QUESTIONS:
        raise typer.BadParameter(f"A corpus is {' or '.join(QUESTIONS)}, but got {corpus}.")
    lab = Laboratory(KeptResults(out), resolve_threads(threads), choose_precision(precision), 0, out.parent)
    point = find_preset("small").middle
    rows: list[tuple[str, ...]] = []
    for question in (each for each in QUESTIONS[corpus] if pages in (0, each.n_given)):
        # One more page than is dealt out below is sealed.
        hands = HandsSettings(n_writers=writers, n_pages=question.n_given + question.n_judged + 1, alike=alike)
        settings: HandsSettings | DhsdSettings = hands if corpus == "hands" else DhsdSettings(root=dhsd)
        prepared = lab.prepare(f"{corpus}-{question.n_given}-{question.unit}s", settings)
        fits: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
        for repeat in range(repeats):
            divisions = divide(prepared.corpus.index, prepared.corpus.manifest, question, repeat)
            for arm, kept in fits.items():
                notes.print(f"{question.n_given} {question.unit}s, repeat {repeat + 1} of {repeats}, {arm} ...")
                trained_on, times = ARMS[arm]
                divided = _with_manifest(prepared, divisions[trained_on], lab.folder)
                kept.append(lab.fit(divided, point, times * (patches // epochs), epochs, seed=repeat))
        rows += _rows(question, fits)
    _report(corpus, rows, repeats)


def divide(
    index: CorpusIndex, manifest: SplitManifest, question: Question, repeat: int
) -> dict[RefitPages, SplitManifest]:
    """The pages of a repeat: in both divisions the same pages of each writer judge, as validation;
    what trains is in one of them all that is given, in the other one less what would validate.

    Of each writer as many pages as the question asks about are chosen, the same in all repeats; the
    test pages are not among them.

    Raises:
        ValueError: if a writer has too few.
    """
    wanted, n_needed = {*manifest.train, *manifest.validation}, question.n_given + question.n_judged
    images = [image for image in index.images if image.image_id in wanted]
    judged, validating, training = set[str](), set[str](), set[str]()
    for number, (writer_id, pages) in enumerate(pages_of_writers(images, index.name).items()):
        if len(pages) < n_needed:
            raise ValueError(f"Writer {writer_id} must have {n_needed} {question.unit}s, but has {len(pages)}.")
        chosen = np.random.default_rng(number).permutation(sorted(pages, key=natural_key))[:n_needed].tolist()
        drawn = np.random.default_rng([repeat, number]).permutation(chosen).tolist()
        judged.update(drawn[: question.n_judged])
        validating.update(drawn[question.n_judged : question.n_judged + question.n_validation])
        training.update(drawn[question.n_judged + question.n_validation :])

    def ids(pages: set[str]) -> tuple[str, ...]:
        return tuple(image.image_id for image in images if image.group_id in pages)

    less = replace(manifest, train=ids(training), validation=ids(judged), test=())
    return {"train": less, "all_but_test": replace(less, train=ids(training | validating))}


def _with_manifest(corpus: NamedCorpus, manifest: SplitManifest, folder: Path) -> NamedCorpus:
    split = save_split(manifest, folder / f"{corpus.name}-{manifest.hash[:12]}")
    identity = {**corpus.identity, "split": manifest.hash}
    return replace(corpus, corpus=replace(corpus.corpus, manifest=manifest), split=split, identity=identity)


def _rows(question: Question, fits: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for score, name in (("image_logloss", "log-loss"), ("image_top1", "top-1"), ("patch_top1", "patch top-1")):
        values = {arm: np.array([fit["last"][score] for fit in own]) for arm, own in fits.items()}
        apart = [(values["all_but_test"] - values[arm]).tolist() for arm in ARMS if arm != "all_but_test"]
        gains = [_cells(compare_resampled(each, question.n_judged, question.n_given)) for each in apart]
        means = (f"{values[arm].mean():.3f}" for arm in ARMS)
        rows.append((f"{question.n_given} {question.unit}s, {name}", *means, *gains))
    return rows


def _cells(test: ResampledTest) -> str:
    low, high = test.interval
    return f"{test.difference:+.3f} ({low:+.3f} to {high:+.3f}), p = {test.p_value:.3f}"


def _report(corpus: str, rows: Sequence[tuple[str, ...]], repeats: int) -> None:
    columns = ("of each writer, score", *ARMS, "all_but_test less train", "less train, longer")
    remarks = [
        f"the middle of the preset `small`, last epoch, not calibrated; means of {repeats} repeats, image by image "
        "where nothing else is said",
        f"longer: {_LONGER} times as many patches, as a refit and three cross-fits have",
        "differences with 95 %; t-test, corrected for repeats that overlap (Nadeau and Bengio 2003)",
    ]
    print_report(f"What validation pages are worth to a refit: {corpus}", columns, rows, remarks)


if __name__ == "__main__":
    typer.run(main)
