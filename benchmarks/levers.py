"""What each lever brings alone: the same network, changed in one thing, trained on equally many
patches and judged on validation pages.

    python -m benchmarks.levers hands                     (50 generated writers)
    python -m benchmarks.levers dhsd --dhsd PATH          (8 words a writer)
    python -m benchmarks.levers hands --only "base;dropout 0" --seeds 3

Each fit is kept in a JSON file, and the same command goes on from there. Test pages are never
touched. A fit of 60,000 patches takes one to three minutes on two cores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.kept_results import KeptResults
from benchmarks.laboratory import Laboratory, NamedCorpus
from benchmarks.options import Alike, DhsdRoot, Precision, Threads, resolve_threads
from benchmarks.report import notes, print_report
from core.corpora.settings import DhsdSettings, HandsSettings
from core.networks.hyperparameters import Hyperparameters
from core.networks.presets import find_preset, seed_recipe
from core.training.plan import choose_precision

BASE = find_preset("standard").middle
"""What a trial of the default space is where it says nothing."""
LEVERS: Mapping[str, Hyperparameters] = {
    "base": BASE,
    "recipe": seed_recipe(),
    "defaults of 0.1": Hyperparameters(),
    "batch 8, learning rate 0.003": replace(BASE, batch_size=8, learning_rate=3e-3),
    "batch 32, learning rate 0.005": replace(BASE, batch_size=32, learning_rate=5e-3),
    "batch 64, learning rate 0.005": replace(BASE, batch_size=64, learning_rate=5e-3),
    "batch 64, learning rate 0.003, average head": replace(
        BASE, batch_size=64, learning_rate=3e-3, head="global_average"
    ),
    "learning rate 0.002": replace(BASE, learning_rate=2e-3),
    "learning rate 0.008": replace(BASE, learning_rate=8e-3),
    "single weights": replace(BASE, average_weights=False),
    "average head": replace(BASE, head="global_average"),
    "four blocks": replace(BASE, n_blocks=4),
    "found by a sweep": replace(
        BASE, stem_kernel_size=5, learning_rate=7.13e-3, weight_decay=6.05e-3, label_smoothing=0.05, augmentation=0.6
    ),
    "middle before": replace(BASE, n_blocks=4, filters=24, dropout=0.2, average_weights=False),
    "middle before, augmentation 0.2": replace(
        BASE, n_blocks=4, filters=24, dropout=0.2, augmentation=0.2, average_weights=False
    ),
    "middle before, no dropout, label smoothing 0.05": replace(
        BASE, n_blocks=4, filters=24, label_smoothing=0.05, average_weights=False
    ),
    "two convolutions a block": replace(BASE, convolutions_per_block=2),
    "24 filters": replace(BASE, filters=24),
    "48 filters": replace(BASE, filters=48),
    "56 px": replace(BASE, input_px=56, stem_kernel_size=5, stem_stride=2),
    "two strides of 2 px": replace(BASE, early_filters=8, stem_kernel_size=5, stem_stride=2),
    "dropout 0.2": replace(BASE, dropout=0.2),
    "dropout 0.4": replace(BASE, dropout=0.4),
    "label smoothing 0.05": replace(BASE, label_smoothing=0.05),
    "label smoothing 0.1": replace(BASE, label_smoothing=0.1),
    "no augmentation": replace(BASE, augmentation=0.0),
    "augmentation 0.2": replace(BASE, augmentation=0.2),
    "augmentation 0.8": replace(BASE, augmentation=0.8),
    "no slant": replace(BASE, augment_slant=0.0),
    "no scale": replace(BASE, augment_scale=0.0),
    "no stroke width": replace(BASE, augment_stroke=0.0),
    "no tone": replace(BASE, augment_tone=0.0),
    "paper noise": replace(BASE, augment_noise=2.0),
}


def main(
    corpus: Annotated[str, typer.Argument(help="hands or dhsd.")],
    only: Annotated[str, typer.Option(help="Levers by name, with semicolons; all if empty.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Fits of each lever.")] = 3,
    patches: Annotated[int, typer.Option(min=200, help="Training patches of each fit.")] = 60_000,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each fit.")] = 3,
    alike: Alike = 0.5,
    words: Annotated[int, typer.Option(min=1, help="Training words a writer of DHSD.")] = 8,
    dhsd: DhsdRoot = Path("data/dhsd"),
    out: Annotated[Path, typer.Option(help="File of results to go on with.")] = Path("data/levers.json"),
    threads: Threads = 0,
    precision: Precision = "auto",
) -> None:
    """Measure what each lever brings alone."""
    names = [name.strip() for name in only.split(";")] if only else list(LEVERS)
    unknown = [name for name in names if name not in LEVERS]
    if unknown or corpus not in ("hands", "dhsd"):
        raise typer.BadParameter(
            f"A lever is one of {', '.join(LEVERS)}, a corpus hands or dhsd, but got {', '.join([corpus, *unknown])}."
        )
    lab = Laboratory(KeptResults(out), resolve_threads(threads), choose_precision(precision), 0, out.parent)
    prepared = (
        lab.prepare(f"hands alike {alike:g}", HandsSettings(alike=alike))
        if corpus == "hands"
        else lab.prepare(f"dhsd-{words}", DhsdSettings(root=dhsd), train_images=words)
    )
    fits: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for seed in range(seeds):
        for name in names:
            notes.print(f"{name}, seed {seed} ...")
            fits[name].append(lab.fit(prepared, LEVERS[name], patches // epochs, epochs, seed))
    _report(prepared, fits, patches)


def _report(corpus: NamedCorpus, fits: Mapping[str, Sequence[Mapping[str, Any]]], n_patches: int) -> None:
    base = fits.get("base")
    rows = [
        (
            name,
            f"{_mean(own, 'patch_top1'):.1%}",
            f"{_mean(own, 'image_top1'):.1%}",
            f"{_mean(own, 'image_logloss'):.3f}",
            _difference(own, base) if base and name != "base" else "",
            f"{np.mean([fit['duration_s'] for fit in own]):.0f}",
        )
        for name, own in fits.items()
    ]
    n_seeds = len(next(iter(fits.values())))
    remarks = [
        f"{len(corpus.corpus.manifest.writer_ids)} writers, {len(corpus.corpus.manifest.train)} images to train and "
        f"{len(corpus.corpus.manifest.validation)} to validate; {n_patches:,} patches a fit; last epoch; means of "
        f"{n_seeds} seeds",
        "difference: of the image log-loss from the base of the same seed, mean and standard error; less is better",
    ]
    columns = ("lever", "patch top-1", "image top-1", "image log-loss", "difference", "seconds")
    print_report(f"Levers on {corpus.name}", columns, rows, remarks)


def _mean(fits: Sequence[Mapping[str, Any]], score: str) -> float:
    return float(np.mean([fit["last"][score] for fit in fits]))


def _difference(fits: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]]) -> str:
    pairs = zip(fits, base, strict=True)
    apart = np.array([fit["last"]["image_logloss"] - other["last"]["image_logloss"] for fit, other in pairs])
    spread = f" ± {apart.std(ddof=1) / np.sqrt(len(apart)):.3f}" if len(apart) > 1 else ""
    return f"{apart.mean():+.3f}{spread}"


if __name__ == "__main__":
    typer.run(main)
