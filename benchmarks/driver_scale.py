"""How many workers one driver serves: the real loop with 1 to 1,000 simulated workers.

    python -m benchmarks.driver_scale [--workers 1,64,1000] [--engines random,tpe] [--epoch-s 15]

Nothing is trained: a worker says a report every `--epoch-s` virtual seconds, give or take a fifth.
All that the driver does itself (loop, ledger on the disk, engine in its thread) is done, measured,
and passes on the virtual clock, so that reports queue as they would. Every worker gets two trials
(50 in all at least); a row ends earlier when all workers had one and `--seconds` are over.

Not in it: MLflow, whose thread shares the interpreter with the loop, and the pipes to the workers.
Engine and loop share it too, and are measured one after the other here. So these are the most
workers that could be served, not those that were.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer

from benchmarks.report import notes, print_report
from benchmarks.short_sweep import temporary_folder
from core.networks.presets import pooled_preset
from search.engines import open_engine
from search.engines.base import Engine, EngineSettings, Exhausted, Proposal
from search.experiment.engine_settings import EngineChoice, KerasTunerSettings, OptunaSettings
from search.experiment.settings import BudgetSettings
from search.ledger.trial import TrialSpec
from search.sweep.plan import SweepPlan
from search.testing.simulation import SimulatedEpoch, SimulatedSweep, SimulatedWorkers, simulate_sweep

METRIC = "val/loss"
N_EPOCHS = 4
SERVED = 0.95  # share of the workers' time that goes into their epochs, once all of them are busy
ENGINES: dict[str, EngineChoice] = {
    "random": OptunaSettings(sampler="random"),
    "qmc": OptunaSettings(sampler="qmc"),
    "tpe": OptunaSettings(sampler="tpe"),
    "tpe+median": OptunaSettings(sampler="tpe", pruner="median"),
    "tpe+asha": OptunaSettings(sampler="tpe", pruner="asha"),
    "cmaes": OptunaSettings(sampler="cmaes"),
    "keras_tuner hyperband": KerasTunerSettings(oracle="hyperband"),
}


def main(
    workers: Annotated[str, typer.Option(help="Simulated workers, with commas.")] = "1,64,250,1000",
    engines: Annotated[str, typer.Option(help=f"With commas, of {', '.join(ENGINES)}.")] = "random,tpe,tpe+asha",
    epoch_s: Annotated[float, typer.Option(min=0.001, help="Virtual seconds of an epoch.")] = 15.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="Real seconds of a row, beyond its start.")] = 60.0,
) -> None:
    """Measure what a driver with many workers costs."""
    rows = []
    for name in engines.split(","):
        for n_workers in (int(count) for count in workers.split(",")):
            notes.print(f"driver_scale: {name}, {n_workers:,} workers ...")
            rows.append(_row(name, run_scaled(name, n_workers, epoch_s, seconds)))
    remarks = [
        f"trials of {N_EPOCHS} epochs of {epoch_s:g} s; {len(pooled_preset().space.dimensions)} dimensions; "
        "the ledger on the disk, tracked nowhere",
        "driver, ms a message: real milliseconds of loop and ledger for a report or a result",
        "ask: median, and that of the last tenth; queue: most messages that were there at once; wait: of a report for "
        "its answer, median and longest",
        f"busy: share of the workers' time in their epochs, from the moment when all of them were busy; below "
        f"{100 * SERVED:.0f} % one driver is too few",
    ]
    columns = ("engine", "workers", "trials", "driver, ms a message", "ask, ms", "queue", "wait, ms", "busy")
    print_report("How many workers one driver serves", columns, rows, remarks)


@dataclass(frozen=True)
class ScaledSweep:
    """What a sweep of many workers showed.

    Attributes:
        sweep: as it was simulated.
        n_workers: of it.
        asks_s: real seconds of the engine's asks, in order.
        busy: share of the workers' time in epochs once all of them were busy, until the first had
            nothing more to do.
    """

    sweep: SimulatedSweep
    n_workers: int
    asks_s: Sequence[float]
    busy: float


def run_scaled(name: str, n_workers: int, epoch_s: float, seconds: float) -> ScaledSweep:
    """Simulate one sweep.

    Args:
        name: of `ENGINES`.
        n_workers: simulated.
        epoch_s: virtual seconds of an epoch, on average.
        seconds: real ones after which no more trials are asked for, once every worker had one.
    """
    settings = EngineSettings(pooled_preset().space, (), 1, METRIC, "minimize", N_EPOCHS, "scale")
    engine = _Watched(open_engine(ENGINES[name], settings), n_workers, seconds)

    def source(spec: TrialSpec) -> list[SimulatedEpoch]:
        generator = np.random.default_rng(spec.seed)
        scores = generator.random() + 1 / np.arange(1, spec.horizon_epochs + 1)
        seconds_each = epoch_s * generator.uniform(0.8, 1.2, spec.horizon_epochs)
        return [SimulatedEpoch({METRIC: float(s)}, float(t), 1000) for s, t in zip(scores, seconds_each, strict=True)]

    plan = SweepPlan(
        objective="",
        settings=None,
        metric=METRIC,
        direction="minimize",
        horizon_epochs=N_EPOCHS,
        seed=1,
        precision="float32",
        budget=BudgetSettings(trials=max(50, 2 * n_workers)),
        complete=lambda point: point,
    )
    with temporary_folder() as folder:
        sweep = simulate_sweep(plan, engine, SimulatedWorkers(source, n_workers), folder, counts_driver=True)
    return ScaledSweep(sweep, n_workers, engine.asks_s, busy_share(sweep, n_workers))


def busy_share(sweep: SimulatedSweep, n_workers: int) -> float:
    """The share of the workers' time that lay in epochs, while there was work for all of them."""
    trials = sweep.state.trials.values()
    starts_ms = sorted(start.at_ms for trial in trials for start in trial.starts)
    # After the last new trial only paused ones go on, and workers stand idle for want of them.
    first_ms = starts_ms[min(n_workers, len(starts_ms)) - 1]
    last_ms = max(trial.began_ms for trial in trials)
    if last_ms <= first_ms:
        return float("nan")
    trained_ms = 0.0
    for event in (event for trial in trials for event in trial.reports):
        # A report that waits is taken down when the driver gets to it, so an epoch may lie earlier.
        begun_ms = event.at_ms - 1000 * event.report.duration_s
        trained_ms += max(0.0, min(event.at_ms, last_ms) - max(begun_ms, first_ms))
    return trained_ms / (n_workers * (last_ms - first_ms))


class _Watched:
    """An engine whose asks are timed, and that ends the sweep when the benchmark's time is up.

    It has nothing more to propose then. See `search.engines.base.Engine`.
    """

    def __init__(self, engine: Engine, n_workers: int, seconds: float) -> None:
        self._n_workers = n_workers
        self._seconds = seconds
        self._ends_at_s: float | None = None
        self.asks_s: list[float] = []
        self.restore, self.enqueue, self.report, self.tell = engine.restore, engine.enqueue, engine.report, engine.tell
        self._ask = engine.ask

    def ask(self, number: int) -> Proposal:
        started_s = time.perf_counter()
        if number > self._n_workers and self._ends_at_s is None:
            self._ends_at_s = started_s + self._seconds
        if self._ends_at_s is not None and started_s > self._ends_at_s:
            return Exhausted()
        proposal = self._ask(number)
        self.asks_s.append(time.perf_counter() - started_s)
        return proposal


def _row(name: str, scaled: ScaledSweep) -> tuple[str, ...]:
    load, asks = scaled.sweep.load, scaled.asks_s
    waits = 1000 * np.array(load.waits_s)
    last = asks[-max(1, len(asks) // 10) :]
    return (
        name,
        f"{scaled.n_workers:,}",
        f"{len(scaled.sweep.state.trials):,}",
        f"{1000 * load.driver_s / load.n_messages:.1f}",
        f"{1000 * np.median(asks):.1f}, {1000 * np.median(last):.1f}",
        f"{max(load.queue_lengths):,}",
        f"{np.median(waits):.1f}, {waits.max():,.0f}",
        f"{scaled.busy:.0%}".replace("%", " %"),
    )


if __name__ == "__main__":
    typer.run(main)
