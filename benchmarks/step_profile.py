"""In which operations a training step spends its time, by TensorFlow's own profiler.

    python -m benchmarks.step_profile

The measured seconds are those of the operations themselves, which run one after the other; what is
printed is each kind's share of a step, with the kinds below one percent left out. A share says
where to look, a speed is measured by `benchmarks.fit_speed`.
"""

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import core.networks.quiet_tensorflow  # noqa: F401  (before whatever imports TensorFlow)

# isort: split
import numpy as np
import tensorflow as tf
import typer

from benchmarks.networks import NETWORKS
from benchmarks.options import Precision, Threads, resolve_threads
from benchmarks.report import notes, print_report
from core.networks.hyperparameters import Hyperparameters
from core.networks.inference import network_to_train
from core.networks.model import build_model, build_optimizer
from core.settings import PatchSettings
from core.training.fit import configure_tensorflow
from core.training.plan import choose_precision
from core.training.step import TrainingStep

_N_STEPS, _N_WRITERS, _LEAST_SHARE = 10, 50, 0.01


def main(threads: Threads = 0, precision: Precision = "auto") -> None:
    """Profile the steps of some networks, with and without batch norm."""
    configure_tensorflow(resolve_threads(threads), choose_precision(precision), seed=0)
    default = NETWORKS["default network"]
    networks = {**NETWORKS, "default network, no batch norm": replace(default, batch_norm=False)}
    rows = []
    for name, hyperparameters in networks.items():
        notes.print(f"step_profile: {name} ...")
        shares = profile(hyperparameters)
        rows += [(name, kind, f"{100 * share:.0f} %") for kind, share in shares.items() if share >= _LEAST_SHARE]
    print_report("Operations of a training step", ("network", "operation", "share of the step"), rows, [])


def profile(hyperparameters: Hyperparameters) -> Mapping[str, float]:
    """Train some steps on noise; the share of each kind of operation, the largest first."""
    side = PatchSettings().size_px
    network = network_to_train(build_model(hyperparameters, (side, side, 1), _N_WRITERS))
    optimizer = build_optimizer(hyperparameters, n_steps=1000)
    optimizer.build(network.trainable_variables)
    step = TrainingStep(network, optimizer, hyperparameters.label_smoothing)
    generator, n = np.random.default_rng(0), hyperparameters.batch_size
    patches = generator.integers(0, 256, (n, side, side, 1), dtype=np.uint8)
    labels = generator.integers(0, _N_WRITERS, n).astype(np.int32)
    step(patches, labels)
    step.take_means()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(_N_STEPS):
                step(patches, labels)
            step.take_means()
        spent = _seconds_by_kind(next(Path(folder).rglob("*.xplane.pb")))
    whole = sum(spent.values())
    return {kind: seconds / whole for kind, seconds in spent.most_common()}


def _seconds_by_kind(path: Path) -> Counter[str]:
    """From the profiler's events of the processor: those of operations are called `name:kind`."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2  # after TensorFlow itself

    space = xplane_pb2.XSpace()
    space.ParseFromString(path.read_bytes())
    spent: Counter[str] = Counter()
    for plane in space.planes:
        if "CPU" not in plane.name:
            continue
        for line in plane.lines:
            for event in line.events:
                name, _, kind = plane.event_metadata[event.metadata_id].name.partition(":")
                if kind and name and kind[0].isalpha() and name != "EagerExecute" and "::" not in name + ":" + kind:
                    spent[kind.split(":")[0]] += event.duration_ps / 1e12
    return spent


if __name__ == "__main__":
    typer.run(main)
