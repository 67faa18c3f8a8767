"""Which engine finds good points soonest: sweeps replayed by the hundred on recorded curves.

    python -m benchmarks.race EXPERIMENT [--table TABLE] [--seeds 50] [--workers 1,2,4,8,64] [--minutes 25]
    python -m benchmarks.race EXPERIMENT --engines "tpe;tpe, recipe first;tpe, taught" --taught-by OTHER_EXPERIMENT
    python -m benchmarks.race                                          (a made-up table, to try it)

The real loop, engines, budgets and pruners run on simulated workers under a virtual clock; the
engine's own ask time counts. Each seed has a surrogate of its own, from a bootstrap of the recorded
points, and draws each trial's noise from what seeds did to the repeated ones. Regret: what the best
completed trial's point is worth without noise, less the best worth of all points known or drawn; an
engine is not praised for luck. Who can race: `benchmarks.contenders`. Replays of a recorded table are
kept in `build/race`, so that a race that was stopped goes on, and one of more seeds adds to it; remove
them after a change of an engine. `make race` runs it.
"""  # noqa: W505

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.contenders import ENGINES, Contender, contenders_of
from benchmarks.curves.surrogate import Surrogate
from benchmarks.kept_results import KeptResults
from benchmarks.replay import Track, made_up_track, replay, track_of
from benchmarks.report import notes, print_report
from core.space import Point
from search.cli.common import progress_bar
from search.experiment.experiment import load_experiment
from search.experiment.settings import BudgetSettings
from search.ledger.trial import TrialState
from search.testing.simulation import SimulatedSweep

PICTURE = Path("build/race.png")
KEPT = Path("build/race")
NEAR = 0.01
_N_TIMES, _N_DRAWN = 60, 2000
FloatArray = NDArray[np.float64]


def main(
    experiment: Annotated[Path | None, typer.Argument(help="Experiment whose space was recorded.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of the experiment.")] = None,
    table: Annotated[Path | None, typer.Option(help="Its curves; by default benchmarks/curves/NAME.csv.")] = None,
    engines: Annotated[
        str, typer.Option(help=f"`all`, or with semicolons of {'; '.join(ENGINES)}.")
    ] = "random;tpe;tpe+median;tpe+asha;priorband",
    workers: Annotated[str, typer.Option(help="With commas.")] = "1,4",
    taught_by: Annotated[Path | None, typer.Option(help="Experiment whose sweeps teach, with a table.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Sweeps of each engine.")] = 10,
    minutes: Annotated[float, typer.Option(min=0.01, help="Virtual minutes of a sweep.")] = 25.0,
    trials: Annotated[int, typer.Option(min=1, help="Most trials of a sweep.")] = 200,
    picture: Annotated[Path, typer.Option(help="File for the picture.")] = PICTURE,
) -> None:
    """Race engines, and print a table and a picture."""
    if experiment is None:
        notes.print("race: no experiment was named; the table is made up and says nothing of any engine")
        track = made_up_track()
    else:
        track = track_of(load_experiment(experiment, overrides or (), needs_budget=False), table)
    teacher = track_of(load_experiment(taught_by, needs_budget=False), None) if taught_by else None
    budget = BudgetSettings(minutes=minutes, trials=trials)
    contenders = contenders_of(engines)
    kept = KEPT / track.name if experiment is not None else None
    races: dict[int, Mapping[str, FloatArray]] = {}
    for n_workers in (int(count) for count in workers.split(",")):
        with progress_bar(f"race: {len(contenders)} engines, {n_workers} workers, sweeps") as advance:
            races[n_workers] = race(track, contenders, range(seeds), n_workers, budget, teacher, kept, advance)
    times_s = times_of(budget)
    rows = [row for n_workers, regrets in races.items() for row in _rows(n_workers, regrets, times_s, track)]
    columns = ("engine", "workers", "regret", "middle half", "rank", f"within {NEAR:.0%}, min", "seeds within")
    print_report(f"Race of engines: {track.name}", columns, rows, _remarks(track, budget, seeds))
    draw_race(races, times_s, track, picture)
    print(picture)


@dataclass(frozen=True)
class Heat:
    """The race of one seed, on a surrogate of its own."""

    track: Track
    seed: int

    @cached_property
    def surrogate(self) -> Surrogate:
        """Of a bootstrap of the recorded points."""
        return Surrogate(self.track.table, self.track.metric, self.track.horizon, bootstrap=self.seed)

    @cached_property
    def best_worth(self) -> float:
        """The best that a point is worth, among the recorded ones and 2,000 drawn ones."""
        generator, track = np.random.default_rng([self.seed, 7]), self.track
        drawn = [track.complete(track.space.sample(generator)) for _ in range(_N_DRAWN)]
        worths = _worths(track, self.surrogate, [*self.surrogate.points, *drawn])
        return float(track.sign * np.min(track.sign * worths))

    def regrets(
        self, contender: Contender, teacher: Track | None, n_workers: int, budget: BudgetSettings
    ) -> list[float]:
        """An engine's regret at `times_of(budget)`, relative to the best worth."""
        first = contender.first_points(self.track, teacher, self.seed, n_workers, budget)
        track = replace(self.track, enqueued=first)
        sweep = replay(track, self.surrogate, contender.engine, self.seed, n_workers, budget)
        worths = incumbent_worths(track, self.surrogate, sweep, times_of(budget))
        regrets: list[float] = (track.sign * (worths - self.best_worth) / abs(self.best_worth)).tolist()
        return regrets


def race(
    track: Track,
    contenders: Sequence[Contender],
    seeds: Sequence[int],
    n_workers: int,
    budget: BudgetSettings,
    teacher: Track | None = None,
    kept: Path | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, FloatArray]:
    """Run every engine once for each seed.

    Args:
        track: what is raced on.
        contenders: who races.
        seeds: one sweep of each.
        n_workers: of each sweep.
        budget: of each sweep.
        teacher: of those that are taught.
        kept: folder that gives sweeps that were replayed before, and takes the others.
        advance: called with (sweeps done, in all).

    Returns:
        The regret of each engine, relative to the best worth, of shape (n_seeds, n_times), at
        `times_of(budget)`; infinite before the first completed trial.
    """
    regrets: dict[str, list[list[float]]] = {contender.name: [] for contender in contenders}
    common = {"track": _digest(track), "workers": n_workers, "budget": budget.model_dump(mode="json")}
    for seed in seeds:
        heat = Heat(track, seed)
        results = KeptResults(kept / f"{n_workers}-workers-seed-{seed}.json") if kept is not None else None
        for contender in contenders:
            make = partial(heat.regrets, contender, teacher, n_workers, budget)
            taught_by = _digest(teacher) if teacher is not None and contender.first == "taught" else ""
            engine = contender.engine.model_dump(mode="json")
            what = {**common, "seed": seed, "engine": engine, "first": contender.first, "taught by": taught_by}
            advance(sum(map(len, regrets.values())), len(seeds) * len(contenders))
            regrets[contender.name].append(results.get_or_make(what, make) if results is not None else make())
    return {name: np.array(each) for name, each in regrets.items()}


def _digest(track: Track) -> str:
    """Of all that a replay depends on."""
    said = (track.table, track.space.to_dict(), track.enqueued, track.metric, track.horizon, track.defaults)
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


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


def _worths(track: Track, surrogate: Surrogate, points: Sequence[Point]) -> FloatArray:
    """The best score of each point's curve, without noise."""
    scores, _ = surrogate.curves(points)
    return track.sign * (track.sign * scores).min(axis=1)


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
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(5 * len(races) + 3, 4), layout="constrained")
    axes = figure.subplots(1, len(races), sharey=True, squeeze=False)[0]
    for panel, (n_workers, regrets) in zip(axes, races.items(), strict=True):
        for name, each in regrets.items():
            low, middle, high = 100 * quartiles(each)
            shown = np.isfinite(high)
            (line,) = panel.plot(times_s[shown] / 60, middle[shown], label=name)
            panel.fill_between(times_s[shown] / 60, low[shown], high[shown], alpha=0.15, color=line.get_color())
        panel.set(xscale="log", xlabel="virtual minutes", title=f"{n_workers} worker{'s' if n_workers > 1 else ''}")
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set(ylabel="regret, % of the best", yscale="symlog")
    axes[0].set_ylim(bottom=0)
    axes[-1].legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.suptitle(f"{track.name}: median and middle half of the seeds")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    typer.run(main)
