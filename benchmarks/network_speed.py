"""How many patches a second each kind of network trains, beside its arithmetic.

python -m benchmarks.network_speed

Every network trains on noise in memory, in turns, a warm-up epoch and a timed one in each round.
"""

import core.networks.quiet_tensorflow  # noqa: F401  (before whatever imports TensorFlow)

# isort: split
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import typer

from benchmarks.options import Precision, Rounds, Threads, resolve_threads
from benchmarks.report import median, notes, print_report, spread
from benchmarks.timed_fit import InMemoryFeed, fit_in_rounds
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
    "standard, input of 56 px": replace(STANDARD, input_px=56, early_filters=0, stem_kernel_size=3, stem_stride=1),
    "middle of large": find_preset("large").middle,
}


def main(rounds: Rounds = 3, threads: Threads = 0, precision: Precision = "auto") -> None:
    """Measure the networks' training speed."""
    configure_tensorflow(resolve_threads(threads), choose_precision(precision), seed=0)
    speeds: dict[str, list[float]] = {name: [] for name in NETWORKS}
    for place in range(rounds):
        notes.print(f"network_speed: round {place + 1} of {rounds} ...")
        for name, hyperparameters in NETWORKS.items():
            speeds[name].append(_speed(hyperparameters))
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
        f"highest); {resolve_threads(threads)} threads",
    ]
    print_report("Training speed of networks", columns, rows, remarks)


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
