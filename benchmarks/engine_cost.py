"""What an engine itself costs a sweep: one ask and one tell after so many finished trials.

    python -m benchmarks.engine_cost [--trials 10,100,1000,5000] [--limit-s 60]

Each engine is given a ledger of so many finished trials over the project's default space, as a resumed sweep gives it,
and then asked and told five more times; the median counts. Every measurement is a process of its own, which is ended
when one ask takes longer than the limit; the engine's row then ends.
"""

import importlib.util
import multiprocessing
import statistics
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Annotated, Any

import numpy as np
import typer
from pydantic import TypeAdapter

from benchmarks.report import notes, print_report
from core.hyperparameters import default_space
from search.engines.base import Asked, EngineSettings, Event, Reported, Start, Told
from search.engines.catalogue import EngineChoice
from search.trial import EpochReport, TrialResult, TrialState, Verdict

METRIC = "val/image_logloss"
N_EPOCHS = 3
N_ASKS = 5
RESTORE_LIMIT_S = 900.0
ENGINES: Mapping[str, Mapping[str, Any]] = {
    "optuna random": {"sampler": "random"},
    "optuna qmc": {"sampler": "qmc"},
    "optuna tpe": {"sampler": "tpe"},
    "optuna random + asha": {"sampler": "random", "pruner": "asha"},
    "optuna cmaes": {"sampler": "cmaes"},
    "optuna gp": {"sampler": "gp"},
    "keras_tuner random": {"name": "keras_tuner", "oracle": "random"},
    "keras_tuner bayesian": {"name": "keras_tuner", "oracle": "bayesian"},
    "keras_tuner hyperband": {"name": "keras_tuner", "oracle": "hyperband"},
}
_CHOICE: TypeAdapter[EngineChoice] = TypeAdapter(EngineChoice)


def main(
    trials: Annotated[str, typer.Option(help="Finished trials, with commas.")] = "10,100,1000,5000",
    limit_s: Annotated[float, typer.Option(help="Longest ask; a row ends there.")] = 60.0,
) -> None:
    """Measure what each engine costs."""
    counts = [int(count) for count in trials.split(",")]
    rows = [[name, *_row(name, counts, limit_s)] for name in ENGINES if _is_there(name)]
    remarks = [
        f"median of {N_ASKS} asks and tells, in milliseconds, over the {len(default_space().dimensions)} dimensions of "
        f"the default space, trials of {N_EPOCHS} epochs; `-`: not asked, the row had ended",
        "in brackets: seconds to restore the engine from that ledger, once a launch",
    ]
    if not _is_there("optuna gp"):
        remarks.append("`optuna gp` left out: PyTorch, the extra `gp`, is not installed")
    print_report("Cost of an engine", ("engine", *(f"{count:,} trials" for count in counts)), rows, remarks)


def measure(name: str, n_trials: int) -> tuple[float, float, float]:
    """Restore an engine, then ask and tell it; (seconds of the restore, of an ask, of a tell)."""
    space = default_space()
    settings = EngineSettings(space, (), 1, METRIC, "minimize", N_EPOCHS, "benchmark")
    engine = _CHOICE.validate_python({"name": "optuna", **ENGINES[name]}).open(settings)
    started = time.perf_counter()
    if ENGINES[name].get("oracle") == "hyperband" or ENGINES[name].get("pruner") == "asha":
        first = _play(engine, n_trials)  # only its own rungs make a history that it takes back
        restored_s = time.perf_counter() - started
    else:
        engine.restore(_history(n_trials))
        restored_s, first = time.perf_counter() - started, n_trials
    asks, tells = [], []
    for number in range(first, first + N_ASKS):
        begun = time.perf_counter()
        proposal = engine.ask(number)
        asks.append(time.perf_counter() - begun)
        if not isinstance(proposal, Start):
            break
        begun = time.perf_counter()
        engine.tell(number, TrialResult(TrialState.FAILED))
        tells.append(time.perf_counter() - begun)
    return restored_s, statistics.median(asks), statistics.median(tells or [0.0])


def _row(name: str, counts: list[int], limit_s: float) -> list[str]:
    cells: list[str] = []
    for count in counts:
        notes.print(f"engine_cost: {name}, {count:,} trials ...")
        found = _in_process(name, count, limit_s)
        if found is None:
            cells.append(f"over {limit_s:.0f} s: ended")
            break
        restored_s, ask_s, tell_s = found
        cells.append(f"{1000 * ask_s:.1f} + {1000 * tell_s:.1f} ({restored_s:.1f} s)")
        if ask_s > limit_s:
            break
    return [*cells, *["-"] * (len(counts) - len(cells))]


def _in_process(name: str, n_trials: int, limit_s: float) -> tuple[float, float, float] | None:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_into, args=(sender, name, n_trials))
    process.start()
    sender.close()
    is_done = receiver.poll(RESTORE_LIMIT_S + N_ASKS * limit_s if name != "keras_tuner bayesian" else N_ASKS * limit_s)
    try:
        return receiver.recv() if is_done else None
    except EOFError:
        return None
    finally:
        process.kill()
        process.join()


def _measure_into(sender: Connection, name: str, n_trials: int) -> None:
    sender.send(measure(name, n_trials))


def _history(n_trials: int) -> list[Event]:
    space, generator = default_space(), np.random.default_rng(1)
    history: list[Event] = []
    for number in range(n_trials):
        history.append(Asked(number, space.sample(generator), None))
        value = float(generator.random())
        for epoch in range(1, N_EPOCHS + 1):
            report = EpochReport(epoch, {METRIC: value + 1 / epoch}, 100, 1.0)
            history.append(Reported(number, report, Verdict.GO))
        history.append(Told(number, TrialState.COMPLETED, value, {METRIC: value}))
    return history


def _play(engine: Any, n_trials: int) -> int:
    """Let an engine with rungs run so many trials of its own; returns the next number."""
    generator = np.random.default_rng(1)
    engine.restore(())
    n_epochs: dict[int, int] = {}
    while len(n_epochs) < n_trials:
        proposal = engine.ask(len(n_epochs))
        number = len(n_epochs) if isinstance(proposal, Start) else proposal.number
        until = proposal.until_epoch or N_EPOCHS
        verdict = Verdict.GO
        while n_epochs.setdefault(number, 0) < until and verdict is Verdict.GO:
            n_epochs[number] += 1
            report = EpochReport(n_epochs[number], {METRIC: float(generator.random())}, 100, 1.0)
            verdict = engine.report(number, report)
        is_done = n_epochs[number] == N_EPOCHS
        state = TrialState.COMPLETED if is_done else TrialState.PAUSED
        engine.tell(number, TrialResult(state, 0.5 if is_done else None))
    return len(n_epochs)


def _is_there(name: str) -> bool:
    return name != "optuna gp" or importlib.util.find_spec("torch") is not None


if __name__ == "__main__":
    typer.run(main)
