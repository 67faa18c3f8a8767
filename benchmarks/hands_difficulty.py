"""Is the generated handwriting as hard as it should be?

    python -m benchmarks.hands_difficulty

The recipe, a good network and a linear model on ink statistics. All scores are those of validation
pages; test pages are never touched. What is done is kept in a JSON file, and the same command goes
on from there. Takes some minutes. Whether it ranks networks as real handwriting does, say recorded
curves: `python -m benchmarks.curves agree`.
"""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.ink_baseline import linear_top1
from benchmarks.kept_results import KeptResults
from benchmarks.laboratory import Laboratory, NamedCorpus
from benchmarks.options import Alike, Precision, Threads, resolve_threads
from benchmarks.report import notes, print_report
from core.corpora.settings import HandsSettings
from core.networks.presets import find_preset, seed_recipe
from core.settings import PatchSettings
from core.training.plan import choose_precision

EASIEST, HARDEST, MOST_PAGES = 0.85, 0.50, 0.95
_PATCHES_AN_EPOCH = 20_000
_LEVELS = ("patch_top1", "image_top1", "page_top1")


def main(
    writers: Annotated[int, typer.Option(min=2, help="Generated writers.")] = 50,
    pages: Annotated[int, typer.Option(min=3, help="Pages of each.")] = 4,
    alike: Alike = 0.5,
    patches: Annotated[int, typer.Option(min=200, help="Training patches of recipe and good network.")] = 200_000,
    linear_patches: Annotated[int, typer.Option(min=200, help="Training patches of the linear model.")] = 20_000,
    out: Annotated[Path, typer.Option(help="File of results to go on with.")] = Path("data/hands_difficulty.json"),
    seed: Annotated[int, typer.Option(min=0, help="Of fits.")] = 0,
    threads: Threads = 0,
    precision: Precision = "auto",
) -> None:
    """Measure how hard `hands` is."""
    lab = Laboratory(KeptResults(out), resolve_threads(threads), choose_precision(precision), seed, out.parent)
    hands = lab.prepare("hands", HandsSettings(n_writers=writers, n_pages=pages, alike=alike))
    n_epochs = max(1, round(patches / _PATCHES_AN_EPOCH))
    report_difficulty(lab, hands, patches // n_epochs, n_epochs, linear_patches)


def linear_fit(lab: Laboratory, corpus: NamedCorpus, n_train: int) -> float:
    """Patch top-1 of the linear model."""
    patches = PatchSettings(per_image_at_validation=8)
    what = {**corpus.identity, "linear": n_train, "patches": patches.model_dump(mode="json"), "seed": lab.seed}
    prepared = corpus.corpus
    make = lambda: linear_top1(prepared.store, prepared.manifest, patches, n_train, lab.seed)  # noqa: E731
    return float(lab.results.get_or_make(what, make))


def report_difficulty(lab: Laboratory, hands: NamedCorpus, n_patches: int, n_epochs: int, n_linear: int) -> None:
    """The seed recipe, a good network and the linear model on the same validation pages."""
    notes.print(f"hands_difficulty: the linear model on {n_linear} patches ...")
    linear = linear_fit(lab, hands, n_linear)
    notes.print(f"hands_difficulty: the seed recipe on {n_epochs} x {n_patches} patches ...")
    fit = lab.fit(hands, seed_recipe(), n_patches, n_epochs)
    notes.print(f"hands_difficulty: the middle of standard on {n_epochs} x {n_patches} patches ...")
    good = lab.fit(hands, find_preset("standard").middle, n_patches, n_epochs)
    if failed := fit["failed"] or good["failed"]:
        notes.print(f"a network failed: {failed}")
        raise typer.Exit(1)
    top1, pages, ratio = good["best"]["patch_top1"], good["best"]["page_top1"], linear / good["best"]["patch_top1"]
    rows = [
        (name, f"{each['n_patches']:,}", *(f"{each['best'][score]:.1%}" for score in _LEVELS), aim)
        for name, each, aim in (
            ("seed recipe", fit, ""),
            ("middle of standard", good, _decision(HARDEST <= top1 <= EASIEST and pages < MOST_PAGES)),
        )
    ]
    rows.append(("linear model on ink statistics", f"{n_linear:,}", f"{linear:.1%}", "", "", _decision(ratio < 0.5)))
    manifest = hands.corpus.manifest
    remarks = [
        f"generated handwriting, {len(manifest.writer_ids)} writers; {len(manifest.train)} text lines to train and "
        f"{len(manifest.validation)} to validate, no page in both; seed {lab.seed}",
        f"the networks at their epoch of the lowest line log-loss, of {n_epochs}; the better one should name "
        f"{HARDEST:.0%} to {EASIEST:.0%} of the patches and less than {MOST_PAGES:.0%} of the pages",
        f"the linear model names {ratio:.2f} of its patches and should name less than half",
    ]
    columns = ("model", "training patches", "patch top-1", "line top-1", "page top-1", "aim")
    print_report("Difficulty of the hands corpus", columns, rows, remarks)


def _decision(is_met: bool) -> str:
    return "met" if is_met else "missed"


if __name__ == "__main__":
    typer.run(main)
