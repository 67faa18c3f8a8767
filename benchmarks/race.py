"""Which engine finds good points soonest: sweeps replayed by the hundred on recorded curves.

    python -m benchmarks.race EXPERIMENT [--table TABLE] [--seeds 50] [--workers 1,2,4,8,64] [--minutes 25]
    python -m benchmarks.race EXPERIMENT --engines "tpe;tpe, middle first;tpe, taught" --taught-by OTHER_EXPERIMENT
    python -m benchmarks.race                                          (a made-up table, to try it)

The real loop, engines, budgets and pruners run on simulated workers under a virtual clock; the
engine's own ask time counts. Each seed has a surrogate of its own, from a bootstrap of the recorded
points, and draws each trial's noise from what seeds did to the repeated ones. An engine's name may end
in `, middle first` (without the recipe as trial 0) or `, taught` (its first points are the best ones
of the same engine's sweep on another table, as by `engine.learn_from`). Regret: what the best
completed trial's point is worth without noise, less the best worth of all points known or drawn; an
engine is not praised for luck. `make race` runs it.
"""  # noqa: W505

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.curves.surrogate import Surrogate
from benchmarks.curves.synthetic import DEFAULTS, METRIC, SPACE, synthetic_table
from benchmarks.curves.table import CurveTable
from benchmarks.report import notes, print_report
from core.space import Point, SearchSpace
from search.engines import open_engine
from search.engines.base import EngineSettings
from search.experiment.engine_settings import EngineChoice, KerasTunerSettings, OptunaSettings
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.settings import BudgetSettings
from search.ledger.ranking import Direction, rank
from search.ledger.trial import TrialSpec, TrialState
from search.sweep.earlier_sweeps import best_points
from search.sweep.plan import SweepPlan
from search.testing.simulation import SimulatedEpoch, SimulatedSweep, SimulatedWorkers, simulate_sweep

TABLES = Path(__file__).parent / "curves"
PICTURE = Path("build/race.png")
NEAR = 0.01
_N_TIMES, _N_DRAWN = 60, 2000
ENGINES: Mapping[str, EngineChoice] = {
    "random": OptunaSettings(sampler="random"),
    "qmc": OptunaSettings(sampler="qmc"),
    "tpe": OptunaSettings(sampler="tpe"),
    "tpe, soon": OptunaSettings(sampler="tpe", n_startup_trials=4),
    "cmaes": OptunaSettings(sampler="cmaes"),
    "gp": OptunaSettings(sampler="gp"),
    "random+median": OptunaSettings(sampler="random", pruner="median"),
    "tpe+median": OptunaSettings(sampler="tpe", pruner="median"),
    "tpe+successive_halving": OptunaSettings(sampler="tpe", pruner="successive_halving"),
    "tpe+hyperband": OptunaSettings(sampler="tpe", pruner="hyperband"),
    "random+asha": OptunaSettings(sampler="random", pruner="asha"),
    "tpe+asha": OptunaSettings(sampler="tpe", pruner="asha"),
    "tpe+asha, halves": OptunaSettings(sampler="tpe", pruner="asha", rung_factor=2),
    "tpe+asha by seconds": OptunaSettings(sampler="tpe", pruner="asha", rung_by="seconds"),
    "prior": OptunaSettings(sampler="prior"),
    "prior, long": OptunaSettings(sampler="prior", n_startup_trials=100),
    "prior+median": OptunaSettings(sampler="prior", pruner="median"),
    "priorband": OptunaSettings(sampler="priorband"),
    "priorband, halves": OptunaSettings(sampler="priorband", rung_factor=2),
    "priorband by epochs": OptunaSettings(sampler="priorband", rung_by="epochs"),
    "priorband by epochs, halves": OptunaSettings(sampler="priorband", rung_by="epochs", rung_factor=2),
    # Judged from the first epochs on; the others are from the middle of a trial on.
    "tpe+median, early": OptunaSettings(sampler="tpe", pruner="median", pruner_warmup_epochs=1),
    "tpe+asha, early": OptunaSettings(sampler="tpe", pruner="asha", rung_first_epoch=1),
    "priorband, early": OptunaSettings(sampler="priorband", rung_first_epoch=1),
    "keras_tuner hyperband": KerasTunerSettings(oracle="hyperband"),
    "keras_tuner bayesian": KerasTunerSettings(oracle="bayesian"),
}
MIDDLE_FIRST, TAUGHT = ", middle first", ", taught"
FloatArray = NDArray[np.float64]


def main(
    experiment: Annotated[Path | None, typer.Argument(help="Experiment whose space was recorded.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of the experiment.")] = None,
    table: Annotated[Path | None, typer.Option(help="Its curves; by default benchmarks/curves/NAME.csv.")] = None,
    engines: Annotated[
        str, typer.Option(help=f"With semicolons, of {'; '.join(ENGINES)}.")
    ] = "random;tpe;tpe+median;tpe+asha;priorband",
    workers: Annotated[str, typer.Option(help="With commas.")] = "1,4",
    taught_by: Annotated[Path | None, typer.Option(help="Experiment whose sweeps teach, with a table.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Sweeps of each engine.")] = 10,
    minutes: Annotated[float, typer.Option(min=0.01, help="Virtual minutes of a sweep.")] = 25.0,
    trials: Annotated[int, typer.Option(min=1, help="Most trials of a sweep.")] = 200,
    picture: Annotated[Path, typer.Option(help="File for the picture.")] = PICTURE,
) -> None:
    """Race engines, and print a table and a picture."""
    track = (
        _made_up_track()
        if experiment is None
        else track_of(load_experiment(experiment, overrides or (), needs_budget=False), table)
    )
    teacher = track_of(load_experiment(taught_by, needs_budget=False), None) if taught_by else None
    budget, names = BudgetSettings(minutes=minutes, trials=trials), [name.strip() for name in engines.split(";")]
    if unknown := sorted(name for name in names if _engine_of(name) not in ENGINES):
        raise typer.BadParameter(f"An engine is one of {', '.join(ENGINES)}, but got {', '.join(unknown)}.")
    if teacher is None and any(name.endswith(TAUGHT) for name in names):
        raise typer.BadParameter("Who teaches? Say an experiment with a table, by --taught-by.")
    races: dict[int, Mapping[str, FloatArray]] = {}
    for n_workers in (int(count) for count in workers.split(",")):
        notes.print(f"race: {len(names)} engines, {seeds} seeds, {n_workers} workers ...")
        races[n_workers] = race(track, names, range(seeds), n_workers, budget, teacher)
    times_s = times_of(budget)
    rows = [row for n_workers, regrets in races.items() for row in _rows(n_workers, regrets, times_s, track)]
    columns = ("engine", "workers", "regret", "middle half", "rank", f"within {NEAR:.0%}, min", "seeds within")
    print_report(f"Race of engines: {track.name}", columns, rows, _remarks(track, budget, seeds))
    draw_race(races, times_s, track, picture)
    print(picture)


@dataclass(frozen=True)
class Track:
    """What is raced on.

    Attributes:
        name: of the experiment.
        table: recorded curves.
        space: that engines search.
        enqueued: points to try first.
        complete: makes all hyperparameters of a point, by which the table knows it.
        metric: that is searched for.
        direction: whether low or high values are better.
        horizon: epochs of a trial.
        defaults: a point as it is without a search.
    """

    name: str
    table: CurveTable
    space: SearchSpace
    enqueued: tuple[Point, ...]
    complete: Callable[[Point], Point]
    metric: str
    direction: Direction
    horizon: int
    defaults: Point | None = None

    @property
    def sign(self) -> int:
        """1 where low values are better, -1 where high ones are."""
        return 1 if self.direction == "minimize" else -1


def race(
    track: Track,
    names: Sequence[str],
    seeds: Sequence[int],
    n_workers: int,
    budget: BudgetSettings,
    teacher: Track | None = None,
) -> dict[str, FloatArray]:
    """Run every engine once for each seed.

    Returns:
        The regret of each engine, relative to the best worth, of shape (n_seeds, n_times), at
        `times_of(budget)`; infinite before the first completed trial.
    """
    regrets: dict[str, list[FloatArray]] = {name: [] for name in names}
    for seed in seeds:
        surrogate = Surrogate(track.table, track.metric, track.horizon, bootstrap=seed)
        best = best_worth(track, surrogate, seed)
        for name, kept in regrets.items():
            choice = ENGINES[_engine_of(name)]
            first = first_points(name, track, teacher, choice, seed, n_workers, budget)
            sweep = replay(replace(track, enqueued=first), surrogate, choice, seed, n_workers, budget)
            worths = incumbent_worths(track, surrogate, sweep, times_of(budget))
            kept.append(track.sign * (worths - best) / abs(best))
    return {name: np.array(each) for name, each in regrets.items()}


def _engine_of(name: str) -> str:
    return name.removesuffix(MIDDLE_FIRST).removesuffix(TAUGHT)


def first_points(
    name: str,
    track: Track,
    teacher: Track | None,
    choice: EngineChoice,
    seed: int,
    n_workers: int,
    budget: BudgetSettings,
) -> tuple[Point, ...]:
    """The points that a contender tries first; a teacher's sweep has another seed than the
    pupil's.
    """
    if name.endswith(MIDDLE_FIRST):
        return track.enqueued[-1:]
    if not name.endswith(TAUGHT) or teacher is None:
        return track.enqueued
    surrogate = Surrogate(teacher.table, teacher.metric, teacher.horizon, bootstrap=1000 + seed)
    sweep = replay(teacher, surrogate, choice, 1000 + seed, n_workers, budget)
    return tuple(best_points(rank(sweep.state.trials.values(), teacher.direction), track.space))


def replay(
    track: Track, surrogate: Surrogate, choice: EngineChoice, seed: int, n_workers: int, budget: BudgetSettings
) -> SimulatedSweep:
    """One sweep on the surrogate."""
    settings = EngineSettings(
        track.space, track.enqueued, seed, track.metric, track.direction, track.horizon, f"race-{seed}", track.defaults
    )
    plan = SweepPlan(
        objective="",
        settings=None,
        metric=track.metric,
        direction=track.direction,
        horizon_epochs=track.horizon,
        seed=seed,
        precision="float32",
        budget=budget,
        complete=track.complete,
        max_failures_in_a_row=1_000_000,  # a space with bad corners is a part of the race
    )

    def source(spec: TrialSpec) -> list[SimulatedEpoch]:
        return surrogate.epochs(spec.hyperparameters, spec.seed)

    workers = SimulatedWorkers(source, n_workers, *_seconds_around(track.table))
    return simulate_sweep(plan, open_engine(choice, settings), workers)


def best_worth(track: Track, surrogate: Surrogate, seed: int) -> float:
    """The best that a point is worth, among the recorded ones and 2,000 drawn from the space."""
    generator = np.random.default_rng([seed, 7])
    drawn = [track.complete(track.space.sample(generator)) for _ in range(_N_DRAWN)]
    return float(track.sign * np.min(track.sign * _worths(track, surrogate, [*surrogate.points, *drawn])))


def incumbent_worths(track: Track, surrogate: Surrogate, sweep: SimulatedSweep, times_s: FloatArray) -> FloatArray:
    """What the point of the best completed trial is worth at each time; infinitely bad before there
    is one.
    """
    ended = sorted(
        (trial.ended.at_ms, trial.number, track.sign * trial.value, trial.hyperparameters)
        for trial in sweep.state.trials.values()
        if trial.state is TrialState.COMPLETED and trial.ended is not None and trial.value is not None
    )
    steps: list[tuple[float, float]] = [(-np.inf, np.inf)]
    best = np.inf
    for at_ms, _, value, point in ended:
        if value < best:
            best = value
            steps.append(((at_ms - sweep.began_ms) / 1000, track.sign * float(_worths(track, surrogate, [point])[0])))
    at_s, worths = np.array(steps).T
    return track.sign * worths[np.searchsorted(at_s, times_s, side="right") - 1]


def times_of(budget: BudgetSettings) -> FloatArray:
    """Seconds from a launch at which regret is looked at, evenly spaced by their logarithm."""
    longest_s = 60 * (budget.minutes or 60.0)
    return np.geomspace(longest_s / 100, longest_s, _N_TIMES)


def mean_ranks(regrets: Mapping[str, FloatArray]) -> dict[str, float]:
    """The mean over seeds of each engine's rank at the end, 1 for the best; equal ones share."""
    ranks = rankdata([each[:, -1] for each in regrets.values()], axis=0)
    return {name: float(row.mean()) for name, row in zip(regrets, ranks, strict=True)}


def minutes_until_near(regrets: FloatArray, times_s: FloatArray) -> FloatArray:
    """When each seed was near the best for good, in minutes; infinite for those that never were."""
    is_near = regrets <= NEAR
    stays = np.logical_and.accumulate(is_near[:, ::-1], axis=1)[:, ::-1]
    return np.where(stays.any(axis=1), times_s[stays.argmax(axis=1)] / 60, np.inf)


def _seconds_around(table: CurveTable) -> tuple[float, float]:
    """Medians of what a trial takes before its first epoch and after its last one."""
    starts, ends = zip(*((curve.start_s, curve.end_s) for curve in table.curves if curve.epochs), strict=True)
    return float(np.median(starts)), float(np.median(ends))


def _worths(track: Track, surrogate: Surrogate, points: Sequence[Point]) -> FloatArray:
    """The best score of each point's curve, without noise."""
    scores, _ = surrogate.curves(points)
    return track.sign * (track.sign * scores).min(axis=1)


def track_of(experiment: Experiment, table: Path | None) -> Track:
    """What an experiment's sweeps are replayed on.

    Args:
        experiment: with its space, metric and epochs.
        table: of curves; by default that of the experiment's name.
    """
    path = table or TABLES / f"{experiment.name}.csv"
    held = CurveTable.read(path)
    if not held.curves:
        raise typer.BadParameter(f"{path} has no curves; record some with `python -m benchmarks.curves record`.")
    return Track(
        experiment.name,
        held,
        experiment.space.search_space(),
        experiment.space.enqueued_points(experiment.complete),
        experiment.complete,
        experiment.objective.metric,
        experiment.objective.resolved_direction,
        experiment.training.epochs,
        experiment.complete({}),
    )


def _made_up_track() -> Track:
    notes.print("race: no experiment was named; the table is made up and says nothing of any engine")
    return Track(
        "a made-up table", synthetic_table(), SPACE, (DEFAULTS,), lambda point: point, METRIC, "minimize", 8, DEFAULTS
    )


def _remarks(track: Track, budget: BudgetSettings, n_seeds: int) -> list[str]:
    n_points = len({curve.key[0] for curve in track.table.curves})
    return [
        *track.table.recordings,
        f"{n_points} recorded points, {n_seeds} sweeps of each engine, each on a surrogate of a bootstrap of them; at "
        f"most {budget.minutes:g} virtual minutes and {budget.trials} trials; every worker as fast as the recorded one",
        f"regret: median over seeds at the end, in percent of the best {track.metric}; middle half of the seeds; rank: "
        f"mean over seeds; within {NEAR:.0%}: median of the time from which a sweep stayed so near the best",
    ]


def _rows(
    n_workers: int, regrets: Mapping[str, FloatArray], times_s: FloatArray, track: Track
) -> list[tuple[str, ...]]:
    ranks = mean_ranks(regrets)
    rows: list[tuple[str, ...]] = []
    for name in sorted(regrets, key=lambda name: ranks[name]):
        low, middle, high = 100 * quartiles(regrets[name][:, -1])
        minutes = minutes_until_near(regrets[name], times_s)
        when = float(quartiles(minutes)[1])
        rows.append(
            (
                name,
                f"{n_workers}",
                f"{middle:.1f} %",
                f"{low:.1f} to {high:.1f} %",
                f"{ranks[name]:.1f}",
                f"{when:.1f}" if np.isfinite(when) else "never",
                f"{np.isfinite(minutes).sum()} of {len(minutes)}",
            )
        )
    return rows


def quartiles(values: FloatArray) -> FloatArray:
    """Of the first axis, each one of the values, which may be infinite: nothing is put between two
    of them.
    """
    ranked = np.sort(values, axis=0)
    return ranked[[round(share * (len(ranked) - 1)) for share in (0.25, 0.5, 0.75)]]


def draw_race(races: Mapping[int, Mapping[str, FloatArray]], times_s: FloatArray, track: Track, path: Path) -> None:
    """Draw regret over time, a panel for each number of workers."""
    from matplotlib.figure import Figure  # only here: half a second

    figure = Figure(figsize=(5 * len(races), 4), layout="constrained")
    axes = figure.subplots(1, len(races), sharey=True, squeeze=False)[0]
    for panel, (n_workers, regrets) in zip(axes, races.items(), strict=True):
        for name, each in regrets.items():
            low, middle, high = 100 * quartiles(each)
            shown = np.isfinite(high)
            (line,) = panel.plot(times_s[shown] / 60, middle[shown], label=name)
            panel.fill_between(times_s[shown] / 60, low[shown], high[shown], alpha=0.15, color=line.get_color())
        panel.set(xscale="log", xlabel="virtual minutes", title=f"{n_workers} worker{'s' if n_workers > 1 else ''}")
        panel.xaxis.set_major_formatter("{x:g}")
    axes[0].set(ylabel="regret, % of the best", yscale="symlog")
    axes[0].set_ylim(bottom=0)
    axes[-1].legend(fontsize="small")
    figure.suptitle(f"{track.name}: median and middle half of the seeds")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    typer.run(main)
