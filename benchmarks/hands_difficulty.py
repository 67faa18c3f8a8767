"""Is the generated handwriting as hard as it should be, and does it rank networks as real
handwriting does?

    python -m benchmarks.hands_difficulty                          (seed recipe and linear model)
    python -m benchmarks.hands_difficulty --points 10 --dhsd PATH  (and ten points of the space on hands and DHSD)

All scores are those of validation pages (of DHSD: validation words); test parts are never touched.
What is done is kept in a JSON file, and the same command goes on from there. Takes long: some
minutes for the first part, and about half an hour on two cores for ten points.
"""  # noqa: W505

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy.stats import spearmanr

from benchmarks.ink_baseline import linear_top1
from benchmarks.kept_results import KeptResults
from benchmarks.laboratory import Laboratory, NamedCorpus
from benchmarks.options import DhsdRoot, Precision, Threads, resolve_threads
from benchmarks.report import notes, print_report
from benchmarks.space_points import SpreadPoints, spread_points
from core.corpora.settings import DhsdSettings, HandsSettings
from core.networks.presets import seed_recipe
from core.settings import PatchSettings
from core.training.plan import choose_precision
from search.ledger.ranking import trial_name

EASIEST, HARDEST = 0.85, 0.50
_PATCHES_AN_EPOCH = 20_000
_EPOCHS_A_POINT = 4


def main(
    writers: Annotated[int, typer.Option(min=2, help="Generated writers.")] = 50,
    pages: Annotated[int, typer.Option(min=3, help="Pages of each.")] = 4,
    patches: Annotated[int, typer.Option(min=200, help="Training patches of the seed recipe.")] = 200_000,
    linear_patches: Annotated[int, typer.Option(min=200, help="Training patches of the linear model.")] = 20_000,
    points: Annotated[int, typer.Option(min=0, help="Points to rank on hands and DHSD; 0 for none.")] = 0,
    point_patches: Annotated[int, typer.Option(min=200, help="Training patches of each point.")] = 40_000,
    max_cost: Annotated[float, typer.Option(help="Most multiplications of a point, in seed recipes.")] = 30.0,
    dhsd: DhsdRoot = Path("data/dhsd"),
    out: Annotated[Path, typer.Option(help="File of results to go on with.")] = Path("data/hands_difficulty.json"),
    seed: Annotated[int, typer.Option(min=0, help="Of fits and points.")] = 0,
    threads: Threads = 0,
    precision: Precision = "auto",
) -> None:
    """Measure how hard `hands` is, and how well it stands for DHSD."""
    lab = Laboratory(KeptResults(out), resolve_threads(threads), choose_precision(precision), seed, out.parent)
    hands = lab.prepare("hands", HandsSettings(n_writers=writers, n_pages=pages))
    n_epochs = max(1, round(patches / _PATCHES_AN_EPOCH))
    report_difficulty(lab, hands, patches // n_epochs, n_epochs, linear_patches)
    if points:
        real = lab.prepare("dhsd", DhsdSettings(root=dhsd))
        n_writers = max(len(corpus.corpus.manifest.writer_ids) for corpus in (hands, real))
        chosen = spread_points(points, max_cost, PatchSettings().size_px, n_writers, seed)
        report_ranking(lab, (hands, real), chosen, point_patches, max_cost)


def linear_fit(lab: Laboratory, corpus: NamedCorpus, n_train: int) -> float:
    """Patch top-1 of the linear model."""
    patches = PatchSettings()
    what = {**corpus.identity, "linear": n_train, "patches": patches.model_dump(mode="json"), "seed": lab.seed}
    prepared = corpus.corpus
    make = lambda: linear_top1(prepared.store, prepared.manifest, patches, n_train, lab.seed)  # noqa: E731
    return float(lab.results.get_or_make(what, make))


def report_difficulty(lab: Laboratory, hands: NamedCorpus, n_patches: int, n_epochs: int, n_linear: int) -> None:
    """The seed recipe and the linear model on the same validation patches."""
    notes.print(f"hands_difficulty: the linear model on {n_linear} patches ...")
    linear = linear_fit(lab, hands, n_linear)
    notes.print(f"hands_difficulty: the seed recipe on {n_epochs} x {n_patches} patches ...")
    fit = lab.fit(hands, seed_recipe(), n_patches, n_epochs)
    if fit["failed"]:
        notes.print(f"the seed recipe failed: {fit['failed']}")
        raise typer.Exit(1)
    top1, ratio = fit["best"]["patch_top1"], linear / fit["best"]["patch_top1"]
    rows = [
        ("seed recipe", f"{fit['n_patches']:,}", f"{top1:.1%}", _decision(HARDEST <= top1 <= EASIEST)),
        ("linear model on ink statistics", f"{n_linear:,}", f"{linear:.1%}", _decision(ratio < 0.5)),
    ]
    manifest = hands.corpus.manifest
    remarks = [
        f"generated handwriting, {len(manifest.writer_ids)} writers; {len(manifest.train)} text lines to train and "
        f"{len(manifest.validation)} to validate, no page in both; seed {lab.seed}",
        f"the seed recipe at its epoch of the lowest line log-loss, of {n_epochs}; at the last one "
        f"{fit['last']['patch_top1']:.1%}; it should be {HARDEST:.0%} to {EASIEST:.0%}",
        f"the linear model gets {ratio:.2f} of it and should get less than half",
    ]
    columns = ("model", "training patches", "patch top-1 on validation pages", "aim")
    print_report("Difficulty of the hands corpus", columns, rows, remarks)


def report_ranking(
    lab: Laboratory, corpora: Sequence[NamedCorpus], chosen: SpreadPoints, n_patches: int, max_cost: float
) -> None:
    """Train each point equally long on both corpora, and compare the two orders."""
    fits: list[list[dict[str, Any]]] = []
    for number, (point, cost) in enumerate(zip(chosen.points, chosen.costs, strict=True)):
        fits.append([])
        for corpus in corpora:
            notes.print(
                f"hands_difficulty: point {number + 1} of {len(chosen.points)} on {corpus.name} ({cost:.1f}x) ..."
            )
            fits[-1].append(lab.fit(corpus, point, n_patches // _EPOCHS_A_POINT, _EPOCHS_A_POINT))
            notes.print(f"  {_say_fit(fits[-1][-1])}")
    losses = np.array([[image_logloss(fit) for fit in pair] for pair in fits])
    rows = [
        (trial_name(number, point.as_dict()), f"{cost:.1f}", *(_say_fit(fit) for fit in pair))
        for number, (point, cost, pair) in enumerate(zip(chosen.points, chosen.costs, fits, strict=True))
    ]
    remarks = [
        f"Spearman's rho of the two orders: {rank_agreement(losses):.2f} over {len(rows)} points",
        f"each point on {_EPOCHS_A_POINT} epochs of {n_patches // _EPOCHS_A_POINT:,} patches, seed {lab.seed}, "
        "schedule over that horizon; scores of the epoch of the lowest image log-loss, as a sweep ranks trials",
        "points of a Latin hypercube of the default space; passed over, and replaced by those of the next hypercubes: "
        f"{chosen.n_impossible} without a network, {chosen.n_too_slow} beyond {max_cost:g} times the multiplications "
        "of the seed recipe",
    ]
    cells = [f"{corpus.name}: image log-loss (patch top-1)" for corpus in corpora]
    print_report("Points of the space on generated and real handwriting", ("point", "cost", *cells), rows, remarks)


def image_logloss(fit: Mapping[str, Any]) -> float:
    """What a fit is ranked by; infinite for one whose loss was not finite."""
    return float("inf") if fit["failed"] else float(fit["best"]["image_logloss"])


def rank_agreement(losses: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Spearman's rank correlation of the two columns of (n_points, 2)."""
    ranked = np.nan_to_num(losses, posinf=1e9)
    return float(spearmanr(ranked[:, 0], ranked[:, 1]).statistic)


def _say_fit(fit: Mapping[str, Any]) -> str:
    if fit["failed"]:
        return "diverged"
    return f"{fit['best']['image_logloss']:.3f} ({fit['best']['patch_top1']:.1%})"


def _decision(is_met: bool) -> str:
    return "met" if is_met else "missed"


if __name__ == "__main__":
    typer.run(main)
