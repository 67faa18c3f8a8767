"""Which way to describe and compare pages finds more pages by the same hand, of writers that the
network never saw.

    python -m benchmarks.retrieval_levers dhsd --root /path/to/DHSD
    python -m benchmarks.retrieval_levers hands --root /path/to/DHSD

One small network a fold, trained on writers who are in no other part, is asked for the embeddings
of each page's patches. Then each lever is scored alone, and all together, on the same pages: as
they are, faded, binarised, with every second page of a writer binarised, and with --other on the
other corpus (generated handwriting for the network of DHSD, DHSD for the network of `hands`).
Networks, embeddings and scores are kept: an interrupted run goes on where it was.

`dhsd`: 37 writers, ten words to a page, five folds by writer: each writer is scored in one.
`hands`: generated writers, by default 100 that train, 25 that calibrate and 50 that are scored.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.held_out_pages import (
    CHANGES,
    Described,
    FoldPages,
    PageCorpus,
    alternating,
    binary_patterns,
    configure,
    hands_folds,
    read_dhsd,
    read_hands,
    rotating_folds,
)
from benchmarks.kept_results import KeptResults
from benchmarks.options import KEPT_FOLDS, DhsdRoot, FoldPatches, GeneratedPages, KeptFolds, PerPage, WriterParts
from benchmarks.page_descriptors import PageDescriber
from benchmarks.page_levers import (
    LEVERS,
    N_RESAMPLES,
    PATTERNS,
    EmbeddedFold,
    Lever,
    describe_fold,
    fit_lever,
    paired_difference,
    score_lever,
)
from benchmarks.report import notes, print_report
from core.wording import counted

N_FOLDS = 5
PLAIN_PAGES, HALF, OTHER = "as they are", "every second page binarised", "the other corpus"
_N_LEARNED = 120  # training pages, about, that centres and components are learned from
_VERSION = 1  # of how levers are scored
Folds = Sequence[tuple[Described, Described]]


class Corpus(StrEnum):
    """Whose writers are divided."""

    HANDS = "hands"
    DHSD = "dhsd"


def main(
    corpus: Annotated[Corpus, typer.Argument(help="Whose writers are divided.")],
    root: DhsdRoot = Path("data/dhsd"),
    patches: FoldPatches = 20_000,
    per_page: PerPage = 64,
    writers: WriterParts = (100, 25, 50),
    pages: GeneratedPages = 4,
    n_folds: Annotated[
        int, typer.Option("--folds", min=1, max=N_FOLDS, help="Only the first folds of DHSD: a first look.")
    ] = N_FOLDS,
    has_patterns: Annotated[bool, typer.Option("--lbp/--no-lbp", help="Local binary patterns, too.")] = True,
    has_other: Annotated[bool, typer.Option("--other", help="The other corpus, too.")] = False,
    kept: KeptFolds = KEPT_FOLDS,
) -> None:
    """Score each lever alone and all together."""
    configure()
    corpora = {name: read_corpus(name, root, sum(writers), pages) for name in Corpus if has_other or name is corpus}
    own = corpora.pop(corpus)
    folds = rotating_folds(own.writer_ids, N_FOLDS)[:n_folds] if corpus is Corpus.DHSD else hands_folds(*writers)
    notes.print(f"retrieval_levers: {counted(len(folds), 'network')} on {patches:,} patches each ...")
    laboratory = Laboratory([FoldPages(own, fold, patches, per_page, kept) for fold in folds], kept / f"{corpus}.json")
    for condition in (*CHANGES, HALF):
        scored = laboratory.score_levers(condition)
        if has_patterns and condition == PLAIN_PAGES:
            scored |= laboratory.score_patterns(binary_patterns(own, kept))
        _report(corpus, condition, scored)
    for other in corpora.values():
        is_generated = other.name == Corpus.HANDS
        asked = hands_folds(*writers)[0].test if is_generated else other.writer_ids
        _report(corpus, OTHER, laboratory.score_levers(OTHER, other, asked))


class Laboratory:
    """Scores levers, and keeps the scores.

    Args:
        pages: of the folds.
        results: the file that keeps scores.
    """

    def __init__(self, pages: Sequence[FoldPages], results: Path) -> None:
        self._pages, self._results = pages, KeptResults(results)
        self._describers: dict[tuple[str, str], PageDescriber] = {}

    def score_levers(
        self, condition: str, other: PageCorpus | None = None, asked: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The scores of each lever by its name.

        Args:
            condition: of the pages that are searched.
            other: another corpus; the network of the first fold alone is asked about it.
            asked: its writers who are scored.
        """
        folds = self._pages if other is None else self._pages[:1]
        return {
            lever.name: self._score(
                lever,
                condition,
                [fold.key for fold in folds],
                lambda lever=lever: [self._described(lever, fold, condition, other, asked) for fold in folds],  # type: ignore[misc]
            )
            for lever in LEVERS
        }

    def score_patterns(self, described: Described) -> dict[str, Any]:
        """The scores of descriptors that need no network."""
        folds = [(described.of(pages.fold.calibrate), described.of(pages.fold.test)) for pages in self._pages]
        identity = [self._pages[0].corpus.identity]
        return {lever.name: self._score(lever, PLAIN_PAGES, identity, lambda: folds) for lever in PATTERNS}

    def _described(
        self, lever: Lever, pages: FoldPages, condition: str, other: PageCorpus | None, asked: Sequence[str]
    ) -> tuple[Described, Described]:
        key = pages.key, lever.settings.model_dump_json()
        if key not in self._describers:
            most = -(-_N_LEARNED // len(pages.fold.train))
            self._describers[key] = fit_lever(lever, pages.embeddings(pages.fold.train, most_pages=most))
        calibrate = pages.embeddings(pages.fold.calibrate)
        if other is not None:
            return describe_fold(self._describers[key], EmbeddedFold(calibrate, pages.embeddings(asked, of=other)))
        if condition in CHANGES:
            test = pages.embeddings(pages.fold.test, condition)
        else:
            test = alternating(*(pages.embeddings(pages.fold.test, change) for change in (PLAIN_PAGES, "binarised")))
        return describe_fold(self._describers[key], EmbeddedFold(calibrate, test))

    def _score(
        self, lever: Lever, condition: str, pages: Sequence[str], describe: Callable[[], Folds]
    ) -> dict[str, Any]:
        what = {
            "version": _VERSION,
            "lever": [lever.name, lever.settings.model_dump(mode="json"), lever.archive, lever.is_reranked],
            "condition": condition,
            "pages": list(pages),
        }
        n_resamples = N_RESAMPLES if condition == PLAIN_PAGES else 0
        found: dict[str, Any] = self._results.get_or_make(what, lambda: score_lever(lever, describe(), n_resamples))
        return found


def read_corpus(name: Corpus, root: Path, n_writers: int, n_pages: int) -> PageCorpus:
    """The pages of a corpus."""
    return read_dhsd(root) if name is Corpus.DHSD else read_hands(n_writers, n_pages)


def _report(corpus: str, condition: str, scored: dict[str, Any]) -> None:
    base = scored[LEVERS[0].name]
    rows = [(name, *_cells(result, base)) for name, result in scored.items()]
    n_writers = len(set(base["writers"]))
    remarks = [
        f"{len(base['writers']):,} queries by {n_writers} writers; intervals (95 %) draw writers again, whole",
        "difference: of the mean average precision to that of the mean on the same queries, in points",
    ]
    columns = ("pages compared by", "mAP", "difference", "top-1", "EER", "AUROC", "Cllr", "least Cllr")
    print_report(f"Levers, {corpus}, pages: {condition}", columns, rows, remarks)


def _cells(result: dict[str, Any], base: dict[str, Any]) -> tuple[str, ...]:
    difference, (low, high) = paired_difference(result, base)
    compared = "" if result is base else f"{100 * difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    shares = [_share(result, name) for name in ("map", "top1", "eer", "auroc")]
    costs = [f"{result['scores']['cllr']:.2f}", f"{result['scores']['cllr_min']:.2f}"]
    if "cllr" in result["intervals"]:
        costs[0] += " ({:.2f} to {:.2f})".format(*result["intervals"]["cllr"])
    return shares[0], compared, *shares[1:], *costs


def _share(result: dict[str, Any], name: str) -> str:
    text = f"{100 * result['scores'][name]:.1f}"
    if name in result["intervals"]:
        text += " ({:.1f} to {:.1f})".format(*(100 * end for end in result["intervals"][name]))
    return text


if __name__ == "__main__":
    typer.run(main)
