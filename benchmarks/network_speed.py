"""How many patches a second each kind of network trains, beside its arithmetic; and what it learns
in equal seconds.

    python -m benchmarks.network_speed
    python -m benchmarks.network_speed --dhsd PATH --seconds 120 --picture pareto.png

Every network trains on noise in memory, in turns, a warm-up epoch and a timed one in each round.
With DHSD, each is then fitted on as many of its patches (eight words a writer) as it trains in
so many seconds, and judged on validation words; the speeds and fits are kept in a JSON file, and
the same command goes on from there. Test words are never touched.
"""

import core.networks.quiet_tensorflow  # noqa: F401  (before whatever imports TensorFlow)

# isort: split
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from matplotlib.figure import Figure

from benchmarks.kept_results import KeptResults
from benchmarks.laboratory import Laboratory
from benchmarks.options import Precision, Rounds, Threads, resolve_threads
from benchmarks.report import median, notes, print_report, spread
from benchmarks.timed_fit import InMemoryFeed, fit_in_rounds
from core.corpora.settings import DhsdSettings
from core.networks.hyperparameters import Hyperparameters
from core.networks.layer_plan import plan_layers
from core.networks.model import build_model
from core.networks.presets import find_preset, seed_recipe
from core.patches.feed import Batch
from core.training.fit import configure_tensorflow
from core.training.plan import EpochRecord, choose_precision

SIZE_PX, N_WRITERS = 113, 50
RECIPES_A_ROUND = 6_000
"""Arithmetic of a timed epoch, in patches of the seed recipe."""
STANDARD = find_preset("standard").middle
NETWORKS: Mapping[str, Hyperparameters] = {
    "seed recipe": seed_recipe(),
    "middle of pooled (0.1)": find_preset("pooled").middle,
    "middle of small": find_preset("small").middle,
    "middle of standard": STANDARD,
    "middle of large": find_preset("large").middle,
    "standard with four blocks": replace(STANDARD, n_blocks=4),
    "standard, two convolutions a block": replace(STANDARD, convolutions_per_block=2),
    "standard, input of 56 px": replace(STANDARD, input_px=56, stem_kernel_size=5, stem_stride=2),
    "two strides of 2 px, early 8": replace(STANDARD, early_filters=8, stem_kernel_size=5, stem_stride=2),
    "two strides of 2 px, two convolutions": replace(
        STANDARD,
        early_filters=16,
        convolutions_per_block=2,
        stem_kernel_size=5,
        stem_stride=2,
    ),
}
_WORDS, _EPOCHS = 8, 4


def main(
    rounds: Rounds = 3,
    threads: Threads = 0,
    precision: Precision = "auto",
    dhsd: Annotated[Path | None, typer.Option(help="Folder of DHSD, to learn in equal seconds.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Of training, for each network.")] = 120.0,
    picture: Annotated[Path | None, typer.Option(help="PNG file of score against speed.")] = None,
    out: Annotated[Path, typer.Option(help="File of results to go on with.")] = Path("data/network_speed.json"),
) -> None:
    """Measure the networks' training speed, and what they learn in equal seconds."""
    n_threads, chosen = resolve_threads(threads), choose_precision(precision)
    results = KeptResults(out) if dhsd is not None else None
    what = {"speeds": list(NETWORKS), "rounds": rounds, "threads": n_threads, "precision": chosen}
    speeds: dict[str, list[float]] = (
        results.get_or_make(what, lambda: _speeds(rounds, n_threads, chosen))
        if results is not None
        else _speeds(rounds, n_threads, chosen)
    )
    _print_speeds(speeds, rounds, n_threads)
    if dhsd is None or results is None:
        return
    lab = Laboratory(results, n_threads, chosen, 0, out.parent)
    corpus = lab.prepare(f"dhsd-{_WORDS}", DhsdSettings(root=dhsd), train_images=_WORDS)
    fits: dict[str, Mapping[str, Any]] = {}
    for name, hyperparameters in NETWORKS.items():
        size = hyperparameters.batch_size
        n_patches = max(size, round(seconds * float(np.median(speeds[name])) / _EPOCHS / size) * size)
        notes.print(f"{name}: {_EPOCHS * n_patches:,} patches ...")
        fits[name] = lab.fit(corpus, hyperparameters, n_patches, _EPOCHS)
    _print_scores(speeds, fits, seconds)
    if picture is not None:
        _draw(speeds, fits, seconds, picture)


def _speeds(rounds: int, threads: int, precision: str) -> dict[str, list[float]]:
    configure_tensorflow(threads, precision, seed=0)
    speeds: dict[str, list[float]] = {name: [] for name in NETWORKS}
    for place in range(rounds):
        notes.print(f"network_speed: round {place + 1} of {rounds} ...")
        for name, hyperparameters in NETWORKS.items():
            speeds[name].append(_speed(hyperparameters))
    return speeds


def _print_speeds(speeds: Mapping[str, Sequence[float]], rounds: int, threads: int) -> None:
    recipe = _cost(seed_recipe())
    rows = [
        (
            name,
            f"{_cost(hyperparameters) / recipe:.2f}",
            median(speeds[name]),
            spread([own / theirs for own, theirs in zip(speeds[name], speeds["seed recipe"], strict=True)]),
        )
        for name, hyperparameters in NETWORKS.items()
    ]
    columns = ("network", "arithmetic, recipe = 1", "patches/s", "speed, recipe = 1")
    remarks = [
        f"{rounds} rounds, each after a warm-up; patches of {SIZE_PX} px, {N_WRITERS} writers; medians (lowest to "
        f"highest); {threads} threads",
    ]
    print_report("Training speed of networks", columns, rows, remarks)


def _print_scores(speeds: Mapping[str, Sequence[float]], fits: Mapping[str, Mapping[str, Any]], seconds: float) -> None:
    rows = [
        (
            name,
            median(speeds[name]),
            f"{fit['n_patches']:,}",
            f"{fit['last']['patch_top1']:.1%}",
            f"{fit['last']['image_top1']:.1%}",
            f"{fit['last']['image_logloss']:.3f}",
        )
        for name, fit in fits.items()
    ]
    columns = ("network", "patches/s", "training patches", "patch top-1", "word top-1", "word log-loss")
    remarks = [
        f"DHSD, {_WORDS} words a writer; as many patches as are trained in {seconds:g} s; validation words, the last "
        f"of {_EPOCHS} epochs, one seed"
    ]
    print_report("What networks learn in equal seconds", columns, rows, remarks)


def _draw(
    speeds: Mapping[str, Sequence[float]], fits: Mapping[str, Mapping[str, Any]], seconds: float, path: Path
) -> None:
    """Scores against speed; the front is the networks that no other one beats in both."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, score, what in zip(panels, ("patch_top1", "image_top1"), ("patches", "words"), strict=True):
        points = {name: (float(np.median(speeds[name])), 100 * fit["last"][score]) for name, fit in fits.items()}
        ranked = sorted(points.values())
        front = [point for k, point in enumerate(ranked) if all(other[1] < point[1] for other in ranked[k + 1 :])]
        axes.plot(*zip(*front, strict=True), color="0.8", zorder=1)
        for place, (name, (speed, share)) in enumerate(points.items()):
            axes.scatter(speed, share, marker="osD^vP*X<>"[place % 10], color=f"C{place % 10}", label=name, zorder=2)
        axes.set(
            xscale="log",
            xticks=[100, 200, 400],
            xlabel="patches trained a second",
            ylabel=f"validation {what} right after {seconds:g} s, %",
        )
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.xaxis.set_minor_formatter("")
    figure.suptitle(f"DHSD, {_WORDS} words a writer")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _speed(hyperparameters: Hyperparameters) -> float:
    size = hyperparameters.batch_size
    n_patches = max(4 * size, round(RECIPES_A_ROUND * _cost(seed_recipe()) / _cost(hyperparameters) / size) * size)
    generator = np.random.default_rng(0)
    patches = generator.integers(0, 256, (n_patches, SIZE_PX, SIZE_PX, 1), dtype=np.uint8)
    labels = generator.integers(0, N_WRITERS, n_patches).astype(np.int32)
    batches: list[Batch] = [
        (patches[start : start + size], labels[start : start + size]) for start in range(0, n_patches, size)
    ]
    seen: list[EpochRecord] = []
    model = build_model(hyperparameters, (SIZE_PX, SIZE_PX, 1), N_WRITERS)
    fit_in_rounds(model, hyperparameters, InMemoryFeed(batches), 1, seen.append)
    return seen[0].n_patches / seen[0].duration_s


def _cost(hyperparameters: Hyperparameters) -> int:
    return plan_layers(hyperparameters, SIZE_PX, N_WRITERS).n_multiplications


if __name__ == "__main__":
    typer.run(main)
