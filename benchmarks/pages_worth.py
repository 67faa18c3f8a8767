"""What more pages of each writer are worth: one network, trained on equally many patches of ever
more pages, judged on the same validation pages.

    python -m benchmarks.pages_worth hands                  (1, 2, 4 and 8 pages a writer)
    python -m benchmarks.pages_worth dhsd --dhsd PATH       (4, 8, 16 and 32 words a writer)

Each fit is kept in a JSON file, and the same command goes on from there. Test pages are never
touched. A fit of 40,000 patches takes one to three minutes on two cores.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.kept_results import KeptResults
from benchmarks.laboratory import Laboratory, NamedCorpus
from benchmarks.options import Alike, DhsdRoot, Precision, Threads, resolve_threads
from benchmarks.report import notes, print_report
from core.corpora.settings import DhsdSettings, HandsSettings
from core.networks.presets import find_preset
from core.training.plan import choose_precision

PAGES, WORDS = (1, 2, 4, 8), (4, 8, 16, 32)
N_WRITERS, N_PAGES = 50, 14
"""Of `hands`: eight training pages, and as many validation pages for every row."""


def main(
    corpus: Annotated[str, typer.Argument(help="hands or dhsd.")],
    seeds: Annotated[int, typer.Option(min=1, help="Fits of each row.")] = 1,
    patches: Annotated[int, typer.Option(min=200, help="Training patches of each fit.")] = 40_000,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each fit.")] = 2,
    alike: Alike = 0.5,
    dhsd: DhsdRoot = Path("data/dhsd"),
    out: Annotated[Path, typer.Option(help="File of results to go on with.")] = Path("data/pages_worth.json"),
    threads: Threads = 0,
    precision: Precision = "auto",
) -> None:
    """Measure what more pages of each writer are worth."""
    if corpus not in ("hands", "dhsd"):
        raise typer.BadParameter(f"A corpus is hands or dhsd, but got {corpus}.")
    lab = Laboratory(KeptResults(out), resolve_threads(threads), choose_precision(precision), 0, out.parent)
    rows: list[tuple[str, ...]] = []
    point = find_preset("standard").middle
    for n in PAGES if corpus == "hands" else WORDS:
        if corpus == "hands":
            hands = HandsSettings(n_writers=N_WRITERS, n_pages=N_PAGES, alike=alike)
            prepared, unit = lab.prepare(f"hands alike {alike:g}, {n} pages", hands, train_pages=n), "page"
        else:
            prepared, unit = lab.prepare(f"dhsd-{n}", DhsdSettings(root=dhsd), train_images=n), "word"
        fits = []
        for seed in range(seeds):
            notes.print(f"{n} {unit}s, seed {seed} ...")
            fits.append(lab.fit(prepared, point, patches // epochs, epochs, seed))
        rows.append(_row(n, unit, prepared, fits))
    remarks = [
        f"the middle of the preset `standard`, {patches:,} patches a fit; last epoch, means of {seeds} "
        f"{'seed' if seeds == 1 else 'seeds'}; the same validation images in every row"
    ]
    columns = (
        "to train on, of each writer",
        "training images",
        "patch top-1",
        "image top-1",
        "page top-1",
        "image log-loss",
    )
    print_report(f"What pages are worth: {corpus}", columns, rows, remarks)


def _row(n: int, unit: str, corpus: NamedCorpus, fits: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    def mean(score: str) -> float:
        return float(np.mean([fit["last"][score] for fit in fits]))

    return (
        f"{n} {unit if n == 1 else unit + 's'}",
        f"{len(corpus.corpus.manifest.train):,}",
        f"{mean('patch_top1'):.1%}",
        f"{mean('image_top1'):.1%}",
        f"{mean('page_top1'):.1%}" if "page_top1" in fits[0]["last"] else "",
        f"{mean('image_logloss'):.3f}",
    )


if __name__ == "__main__":
    typer.run(main)
