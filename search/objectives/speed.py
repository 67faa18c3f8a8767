"""How fast a network trains in a worker, while others like it train beside it."""

import time

import numpy as np

from core.networks.hyperparameters import Hyperparameters
from core.networks.inference import network_to_train
from core.networks.model import build_model, build_optimizer
from core.training.fit import configure_tensorflow
from core.training.step import TrainingStep
from search.ledger.trial import EpochReport, ReportEpoch, TrialResult, TrialSpec, TrialState
from search.objectives.tasks import SPEED_METRIC, SpeedTask

PRELOAD = ("tensorflow", "keras")
_FEWEST_STEPS = 3


def measure_speed(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Train on noise in rounds of some seconds; `spec.settings` is a `SpeedTask`.

    The first report says that the graph is made and a step is done, the others what a round gave.
    A round begins when the report before it is answered, so that whoever holds the answers back
    lets several workers train at once, or in turns.
    """
    task: SpeedTask = spec.settings
    configure_tensorflow(spec.threads, spec.precision, spec.seed)
    hyperparameters = Hyperparameters.from_point(spec.hyperparameters)
    network = network_to_train(build_model(hyperparameters, (task.size_px, task.size_px, 1), task.n_writers))
    optimizer = build_optimizer(hyperparameters, n_steps=1000)
    optimizer.build(network.trainable_variables)
    step = TrainingStep(network, optimizer, hyperparameters.label_smoothing)
    generator, n = np.random.default_rng(0), hyperparameters.batch_size
    patches = generator.integers(0, 256, (n, task.size_px, task.size_px, 1), dtype=np.uint8)
    labels = generator.integers(0, task.n_writers, n).astype(np.int32)
    step(patches, labels)
    step.take_means()
    metrics: dict[str, float] = {}
    report_epoch(EpochReport(1, metrics, n_patches=0, duration_s=0.0))
    for k in range(task.n_rounds):
        began_s, n_steps = time.monotonic(), 0
        while time.monotonic() - began_s < task.seconds or n_steps < _FEWEST_STEPS:
            step(patches, labels)
            step.take_means()  # waits for the step to end
            n_steps += 1
        duration_s = time.monotonic() - began_s
        metrics = {SPEED_METRIC: n_steps * n / duration_s}
        report_epoch(EpochReport(k + 2, metrics, n_patches=n_steps * n, duration_s=duration_s))
    return TrialResult(TrialState.COMPLETED, metrics=metrics)
