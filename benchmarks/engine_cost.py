"""What an engine itself costs a sweep: one ask and one tell after so many finished trials.

    python -m benchmarks.engine_cost [--trials 10,100,1000,5000] [--engines bayesian,tpe] [--limit-s 60] [--total-s 600]

Each engine is given a ledger of so many finished trials over the project's default space, as a
resumed sweep gives it, and then plays up to five more; the medians count. Every measurement is a
process of its own, which is ended when one ask takes longer than the limit; the engine's row then
ends. All rows get their cells for few trials first, so that what the total leaves out are those for
many.
"""  # noqa: W505

import importlib.util
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Annotated

import numpy as np
import typer

from benchmarks.report import notes, print_report
from core.networks.presets import pooled_preset
from core.space import Integer, SearchSpace
from search.engines import open_engine
from search.engines.base import Continue, Engine, EngineSettings, Start
from search.experiment.engine_settings import KerasTunerSettings, OptunaSettings
from search.ledger.events import EngineEvent, EpochReported, SegmentEnded, TrialContinued, TrialProposed
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialState

METRIC = "val/image_logloss"
N_EPOCHS = 3
N_ASKS = 5
RESTORE_LIMIT_S = 900.0
_BUSY = 20  # a second of a processor may take so long where other work runs
CHOICES = (
    OptunaSettings(sampler="random"),
    OptunaSettings(sampler="qmc"),
    OptunaSettings(sampler="grid"),
    OptunaSettings(sampler="random", pruner="asha"),
    OptunaSettings(sampler="tpe"),
    OptunaSettings(sampler="cmaes"),
    OptunaSettings(sampler="gp"),
    KerasTunerSettings(oracle="random"),
    KerasTunerSettings(oracle="grid"),
    KerasTunerSettings(oracle="hyperband"),
    KerasTunerSettings(oracle="bayesian"),
)
FINITE = SearchSpace(tuple(Integer(f"n{place}", 0, 9) for place in range(4)))
"""For Optuna's grid, which is of at most 10,000 points and cannot be laid over the default
space.
"""

Choice = OptunaSettings | KerasTunerSettings


def main(
    trials: Annotated[str, typer.Option(help="Finished trials, with commas.")] = "10,100,1000,5000",
    engines: Annotated[str, typer.Option(help="Only rows whose name has one of these in it, with commas.")] = "",
    limit_s: Annotated[float, typer.Option(help="Longest ask; a row ends there.")] = 60.0,
    total_s: Annotated[float, typer.Option(help="What is not measured by then is left out; 0 for no end.")] = 600.0,
    processor_time: Annotated[
        bool, typer.Option("--processor-time", help="Of one thread, where other work runs beside this.")
    ] = False,
) -> None:
    """Measure what each engine costs."""
    if processor_time:  # several threads that wait for each other would count all of that
        os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    counts = [int(count) for count in trials.split(",")]
    chosen = [choice for choice in CHOICES if any(word.strip() in choice.label for word in engines.split(","))]
    there = [choice for choice in chosen if _is_there(choice)]
    ends_at_s = time.monotonic() + total_s if total_s else math.inf
    rows: dict[str, list[str]] = {choice.label: [] for choice in there}
    ended: set[str] = set()
    for count in counts:
        for choice in there:
            name = choice.label
            if name in ended:
                rows[name].append("-")
                continue
            cell, goes_on = _measured(choice, count, limit_s, ends_at_s, processor_time)
            notes.print(f"engine_cost: {name}, {count:,} trials: {cell}")
            rows[name].append(cell)
            ended |= set() if goes_on else {name}
    columns = ("engine", *(f"{count:,} trials" for count in counts))
    remarks = [*_remarks(chosen), *(["all in seconds of a processor, on one thread"] if processor_time else [])]
    print_report("Cost of an engine", columns, [[name, *cells] for name, cells in rows.items()], remarks)


def _remarks(chosen: Sequence[Choice]) -> list[str]:
    remarks = [
        f"median of up to {N_ASKS} asks and tells, in milliseconds, over the {len(pooled_preset().space.dimensions)} "
        f"dimensions of the default space ({len(FINITE.dimensions)} for `optuna grid`), trials of {N_EPOCHS} epochs",
        "in brackets: seconds to restore the engine from that ledger, once a launch",
        "`-`: not asked, because the row had ended; `time up`: not asked, because the benchmark had (`--total-s`)",
    ]
    if not all(_is_there(choice) for choice in chosen):
        remarks.append("`optuna gp` left out: PyTorch, the extra `gp`, is not installed")
    return remarks


def _is_there(choice: Choice) -> bool:
    return "gp" not in choice.label or importlib.util.find_spec("torch") is not None


def _measured(
    choice: Choice, n_trials: int, limit_s: float, ends_at_s: float, processor_time: bool
) -> tuple[str, bool]:
    """Measure in a process of its own; return the cell, and whether the row goes on."""
    if time.monotonic() >= ends_at_s:
        return "time up", True
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_into, args=(sender, choice, n_trials, processor_time))
    process.start()
    sender.close()
    found: list[tuple[float, ...]] = []
    try:
        while True:
            patience_s = (limit_s if found else RESTORE_LIMIT_S) * (_BUSY if processor_time else 1)
            left_s = ends_at_s - time.monotonic()
            is_there = receiver.poll(max(0.0, min(patience_s, left_s)))
            if not is_there and left_s < patience_s:
                return "time up", True
            if is_there:
                found.append(receiver.recv())
            if not is_there or (found[1:] and found[-1][0] > limit_s):
                over_s = limit_s if found else RESTORE_LIMIT_S
                return f"{'an ask' if found else 'the restore'} over {over_s:g} s: ended", False
    except EOFError:  # it is through
        process.join()
        return _cell(found), bool(found[1:])
    finally:
        process.kill()
        process.join()


def _cell(found: Sequence[tuple[float, ...]]) -> str:
    if len(found) < 2:
        return "failed, see above"
    (restored_s,), *parts = found
    asks, tells = zip(*parts, strict=True)
    return f"{1000 * statistics.median(asks):.1f} + {1000 * statistics.median(tells):.1f} ({restored_s:.1f} s)"


def _measure_into(sender: Connection, choice: Choice, n_trials: int, processor_time: bool) -> None:
    for found in measure(choice, n_trials, time.process_time if processor_time else time.perf_counter):
        sender.send(found)


def measure(
    choice: Choice, n_trials: int, clock: Callable[[], float] = time.perf_counter
) -> Iterator[tuple[float, ...]]:
    """Restore an engine, then play with it.

    Yields:
        The seconds of the restore alone; then those of an ask and of a tell, up to `N_ASKS` times.
    """
    space = FINITE if "optuna grid" in choice.label else pooled_preset().space
    settings = EngineSettings(space, (), 1, METRIC, "minimize", N_EPOCHS, "benchmark")
    history = _own_history(choice, settings, n_trials) if _has_plan(choice) else _random_history(space, n_trials)
    Player(open_engine(choice, settings), (), clock).play()  # imports what it needs
    started_s = clock()
    player = Player(open_engine(choice, settings), history, clock)
    yield (clock() - started_s,)
    for _ in range(N_ASKS):
        took = player.play()
        if took is None:
            return
        yield took


def _has_plan(choice: Choice) -> bool:
    """Whether an engine takes back no history but one of its own: it has rungs, or an order of
    points.
    """
    return any(word in choice.label for word in ("asha", "hyperband", "grid"))


class Player:
    """Plays trials that take no time, and keeps what a ledger would.

    Attributes:
        history: all that was proposed, reported and told.
        n_trials: started.
    """

    def __init__(
        self, engine: Engine, history: Sequence[EngineEvent] = (), clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._engine = engine
        self._clock = clock
        engine.restore(history)
        self.history = list(history)
        starts = [event for event in history if isinstance(event, TrialProposed)]
        self.n_trials = len(starts)
        self._n_epochs = {event.number: event.report.epoch for event in history if isinstance(event, EpochReported)}
        self._generator = np.random.default_rng(len(history))

    def play(self) -> tuple[float, float] | None:
        """Let what is proposed run to its end or pause; the seconds of ask and tell, or `None` if
        there is nothing.
        """
        begun_s = self._clock()
        proposal = self._engine.ask(self.n_trials)
        ask_s = self._clock() - begun_s
        match proposal:
            case Start(point, until_epoch):
                number, self.n_trials = self.n_trials, self.n_trials + 1
                self.history.append(TrialProposed(0, number, point, point, 0, until_epoch, N_EPOCHS))
            case Continue(number, until_epoch):
                self.history.append(TrialContinued(0, number, until_epoch))
            case _:
                return None
        state = self._train(number, until_epoch or N_EPOCHS)
        value = float(self._generator.random()) if state is TrialState.COMPLETED else None
        result = TrialResult(state, value, {} if value is None else {METRIC: value})
        begun_s = self._clock()
        self._engine.tell(number, result)
        tell_s = self._clock() - begun_s
        self.history.append(SegmentEnded(0, number, 1, result))
        return ask_s, tell_s

    def _train(self, number: int, until_epoch: int) -> TrialState:
        for epoch in range(self._n_epochs.get(number, 0) + 1, until_epoch + 1):
            report = EpochReport(epoch, {METRIC: float(self._generator.random())}, 100, 1.0)
            decision = self._engine.report(number, report)
            self.history.append(EpochReported(0, number, 1, report, decision))
            self._n_epochs[number] = epoch
            if decision is not PruningDecision.GO:
                return TrialState.PAUSED if decision is PruningDecision.PAUSE else TrialState.PRUNED
        return TrialState.COMPLETED if until_epoch == N_EPOCHS else TrialState.PAUSED


def _own_history(choice: Choice, settings: EngineSettings, n_trials: int) -> list[EngineEvent]:
    player = Player(open_engine(choice, settings))
    while player.n_trials < n_trials and player.play() is not None:
        pass
    return player.history


def _random_history(space: SearchSpace, n_trials: int) -> list[EngineEvent]:
    generator = np.random.default_rng(1)
    history: list[EngineEvent] = []
    for number in range(n_trials):
        point = space.sample(generator)
        history.append(TrialProposed(0, number, point, point, 0, None, N_EPOCHS))
        value = float(generator.random())
        for epoch in range(1, N_EPOCHS + 1):
            report = EpochReport(epoch, {METRIC: value + 1 / epoch}, 100, 1.0)
            history.append(EpochReported(0, number, 1, report, PruningDecision.GO))
        result = TrialResult(TrialState.COMPLETED, value, {METRIC: value})
        history.append(SegmentEnded(0, number, 1, result))
    return history


if __name__ == "__main__":
    typer.run(main)
