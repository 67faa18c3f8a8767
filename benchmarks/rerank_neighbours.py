"""By how many nearest pages finds are best reranked, where hands have few or many pages.

    python -m benchmarks.rerank_neighbours dhsd --root /path/to/DHSD --per-page 32
    python -m benchmarks.rerank_neighbours hands --root /path/to/DHSD --per-page 32

The folds, networks and embeddings of `benchmarks.retrieval_levers`, which are made where they are
missing. Of every writer who is searched the first pages alone are taken; descriptors are adapted to
these.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.held_out_pages import Described, FoldPages, configure, hands_folds, rotating_folds
from benchmarks.options import KEPT_FOLDS, DhsdRoot, FoldPatches, GeneratedPages, KeptFolds, PerPage, WriterParts
from benchmarks.report import print_report
from benchmarks.retrieval_levers import N_FOLDS, Corpus, read_corpus
from core.retrieval.adaptation import Adaptation
from core.retrieval.descriptors import describe_pages
from core.retrieval.rank_tests import compare_rankings
from core.retrieval.scores import score_retrieval
from core.retrieval.similarities import Cosines, rerank
from core.scoring.mean_scores import FloatArray

_NEIGHBOURS = (2, 3, 4, 6, 8, 12, 20)
_MOST_PAGES = (2, 3, 4, 6, None)


def main(
    corpus: Annotated[Corpus, typer.Argument(help="Whose writers are divided.")],
    root: DhsdRoot = Path("data/dhsd"),
    patches: FoldPatches = 20_000,
    per_page: PerPage = 64,
    writers: WriterParts = (100, 25, 50),
    pages: GeneratedPages = 4,
    change: Annotated[str, typer.Option(help="`as they are`, `binarised` or `faded`.")] = "as they are",
    kept: KeptFolds = KEPT_FOLDS,
) -> None:
    """Compare reranked pages with cosines, by writers."""
    configure()
    own = read_corpus(corpus, root, sum(writers), pages)
    folds = rotating_folds(own.writer_ids, N_FOLDS) if corpus is Corpus.DHSD else hands_folds(*writers)
    described = []
    for fold in folds:
        found = FoldPages(own, fold, patches, per_page, kept).embeddings(fold.test, change)
        vectors = describe_pages([page.embeddings for page in found])
        described.append(Described(vectors, [page.writer_id for page in found]))
    rows = [_row(described, most) for most in _MOST_PAGES]
    columns = ("pages of a hand", "queries", "cosines", *(f"by {n}" for n in _NEIGHBOURS))
    remarks = ["mean average precision of the cosines; differences to it in points, p by writers"]
    print_report(f"Reranked by so many neighbours, {corpus}, pages: {change}", columns, rows, remarks)


def _row(folds: Sequence[Described], most: int | None) -> tuple[str, ...]:
    few = [_first_pages(fold, most) for fold in folds]
    plain, owners = _precisions(few, None)
    cells = []
    for n in _NEIGHBOURS:
        test = compare_rankings(_precisions(few, n)[0], plain, owners)
        cells.append(f"{100 * test.map_difference:+.1f} (p {test.p_value:.2g})")
    return "all" if most is None else str(most), f"{len(owners):,}", f"{100 * plain.mean():.1f}", *cells


def _precisions(folds: Sequence[Described], n_neighbours: int | None) -> tuple[FloatArray, list[str]]:
    """Of each query the average precision, and its writer."""
    precisions, owners = [], list[str]()
    for fold in folds:
        alike = Cosines(fold.descriptors) if n_neighbours is None else rerank(fold.descriptors, n_neighbours)
        scores = score_retrieval(alike, fold.writers, n_resamples=0)
        precisions.append(scores.average_precisions)
        owners += [fold.writers[place] for place in scores.queries.tolist()]
    return np.concatenate(precisions), owners


def _first_pages(fold: Described, most: int | None) -> Described:
    """The first pages of each writer, adapted to each other."""
    n_before: dict[str, int] = {}
    chosen = []
    for place, writer in enumerate(fold.writers):
        n_before[writer] = n_before.get(writer, 0) + 1
        if most is None or n_before[writer] <= most:
            chosen.append(place)
    few = fold.descriptors[chosen]
    return Described(Adaptation.fit(few).adapt(few), [fold.writers[place] for place in chosen])


if __name__ == "__main__":
    typer.run(main)
