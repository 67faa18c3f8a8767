"""Which way to train makes a network that finds more pages by hands it never saw.

    python -m benchmarks.training_levers --root /path/to/DHSD

Folds by writer as in `benchmarks.retrieval_levers`, and networks on equally many patches; of as
many as there, the plain networks are those. Pages are compared by the mean of their patches: as
they are, faded, binarised, with every second page of a writer binarised, and (the first fold's
network) pages of generated handwriting. Networks, embeddings and scores are kept: an interrupted
run goes on where it was, fold by fold.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.held_out_pages import (
    CHANGES,
    FoldPages,
    PageCorpus,
    alternating,
    configure,
    hands_folds,
    read_dhsd,
    read_hands,
    rotating_folds,
)
from benchmarks.kept_results import KeptResults
from benchmarks.options import KEPT_FOLDS, DhsdRoot, FoldPatches, GeneratedPages, KeptFolds, PerPage, WriterParts
from benchmarks.page_levers import writer_interval
from benchmarks.report import notes, print_report
from benchmarks.retrieval_levers import HALF, N_FOLDS, OTHER, PLAIN_PAGES
from benchmarks.trainings import PLAIN, SMALL, TRAININGS, Training
from core.retrieval.descriptors import describe_pages
from core.retrieval.page_embeddings import EmbeddedPage
from core.retrieval.rank_tests import compare_rankings
from core.retrieval.scores import score_retrieval
from core.retrieval.similarities import Cosines
from core.wording import counted

_CONDITIONS = (*CHANGES, HALF, OTHER)
Found = Mapping[str, Sequence[Any]]
"""Of each query its `writers`, its `precisions`, and whether the first answer was `right`."""


def main(
    root: DhsdRoot = Path("data/dhsd"),
    patches: FoldPatches = 8_000,
    per_page: PerPage = 64,
    writers: WriterParts = (100, 25, 50),
    pages: GeneratedPages = 4,
    n_folds: Annotated[int, typer.Option("--folds", min=1, max=N_FOLDS, help="Only the first folds.")] = 3,
    only: Annotated[list[str], typer.Option(help="Only the ways whose names have this in them.")] = [],  # noqa: B006
    kept: KeptFolds = KEPT_FOLDS,
) -> None:
    """Train each way on each fold, and compare the ways."""
    configure()
    own, other = read_dhsd(root), read_hands(sum(writers), pages)
    strangers = hands_folds(*writers)[0].test
    folds = rotating_folds(own.writer_ids, N_FOLDS)[:n_folds]
    trainings = [way for way in TRAININGS if not only or any(name in way.name for name in ("plain", *only))]
    notes.print(f"training_levers: {counted(len(folds), 'fold')}, networks on {patches:,} patches each ...")
    results = KeptResults(kept / "trainings.json")
    found: dict[tuple[str, str], list[Found]] = {}
    for number, fold in enumerate(folds):
        for training in trainings:
            notes.print(f"fold {number + 1}, {training.name}")
            fold_pages = FoldPages(own, fold, patches, per_page, kept, training=training)
            for condition in _CONDITIONS[: None if number == 0 else -1]:
                what = {"network": fold_pages.key, "condition": condition, "per_page": per_page}
                find = partial(_find, fold_pages, condition, other, strangers)
                found.setdefault((training.name, condition), []).append(results.get_or_make(what, find))
    for condition in _CONDITIONS:
        rows = [_row(training, condition, found) for training in trainings]
        n = counted(len({*_joined(found[PLAIN.name, condition], "writers")}), "writer")
        columns = ("trained", "mAP", "top-1", "difference of mAP", "p", "against")
        print_report(f"Ways to train, pages: {condition}", columns, rows, [f"queries by {n}; paired by writers"])


def find_pages(pages: Sequence[EmbeddedPage]) -> dict[str, list[Any]]:
    """Each page a query among the others, compared by the mean of its patches."""
    names = [page.writer_id for page in pages]
    scores = score_retrieval(Cosines(describe_pages([page.embeddings for page in pages])), names, 0)
    return {
        "writers": [names[place] for place in scores.queries.tolist()],
        "precisions": scores.average_precisions.round(6).tolist(),
        "right": (scores.first_right == 1).astype(int).tolist(),
    }


def _find(pages: FoldPages, condition: str, other: PageCorpus, strangers: Sequence[str]) -> dict[str, list[Any]]:
    """What the fold's network finds among its own pages in a condition, or among those of the other
    corpus.
    """
    if condition == OTHER:
        return find_pages(pages.embeddings(strangers, of=other))
    if condition == HALF:
        both = (pages.embeddings(pages.fold.test, change) for change in (PLAIN_PAGES, "binarised"))
        return find_pages(alternating(*both))
    return find_pages(pages.embeddings(pages.fold.test, condition))


def _row(training: Training, condition: str, found: Mapping[tuple[str, str], Sequence[Found]]) -> tuple[str, ...]:
    own = found[training.name, condition]
    owners = _joined(own, "writers")
    shares = []
    for name in ("precisions", "right"):
        values = np.array(_joined(own, name), dtype=np.float64)
        low, high = writer_interval(values, owners)
        shares.append(f"{100 * values.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})")
    base = SMALL if training.is_at_ink and training.size_px == SMALL.size_px else PLAIN
    if training == PLAIN or (base.name, condition) not in found:
        return training.name, *shares, "", "", ""
    plain = found[base.name, condition]
    precisions = [np.array(_joined(part, "precisions"), dtype=np.float64) for part in (own, plain)]
    test = compare_rankings(precisions[0], precisions[1], owners)
    low, high = (100 * end for end in test.map_interval)
    difference = f"{100 * test.map_difference:+.1f} ({low:+.1f} to {high:+.1f})"
    return training.name, *shares, difference, f"{test.p_value:.2g}", base.name


def _joined(parts: Sequence[Found], name: str) -> list[Any]:
    return [value for part in parts for value in part[name]]


if __name__ == "__main__":
    typer.run(main)
