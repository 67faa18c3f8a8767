"""Several sweeps side by side: how good the best trial was after a number of trials, patches and
seconds.

A comparison can be drawn, written as a CSV file, and recorded in MLflow: one run for the same
sweeps, however often they are compared.
"""

import csv
import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core.corpora.csv_cells import harmless_row
from core.errors import ComparisonError
from core.splits.manifest import SplitManifest
from search.comparison.tables import Table, as_html
from search.experiment.changes import differences
from search.experiment.workspace import Workspace
from search.ledger.ranking import Direction, readable_duration, score_name
from search.ledger.state import SweepState, TrialRecord
from search.ledger.trial import TrialState
from search.sweep.known_sweeps import KnownSweep, read_sweep
from search.sweep.preparation import SPLIT_FILE
from search.tracking.runs import TrackedRuns
from search.tracking.store import TrackingStore, tracking_errors
from search.tracking.sweep_page import warning_note

COLUMNS = ("sweep", "engine", "trial", "n_trials", "n_patches", "elapsed_s", "value", "best_so_far")
_SEED_SUFFIX = re.compile(r"-s\d+$")

_NO_SPLIT = "no corpus"


@dataclass(frozen=True)
class Step:
    """A trial was completed.

    Attributes:
        trial: its number.
        n_trials: started by then, whatever became of them.
        n_patches: trained by then in the whole sweep, also for trials that were pruned, failed or
            wait.
        elapsed_s: wall-clock seconds of all launches by then.
        value: of the objective.
        best: the best value of a completed trial so far, as the leaderboard counts.
    """

    trial: int
    n_trials: int
    n_patches: int
    elapsed_s: float
    value: float
    best: float


@dataclass(frozen=True)
class ComparedSweep:
    """One sweep of a comparison.

    Attributes:
        name: of the sweep.
        sweep_id: of the sweep.
        engine: in a few words.
        metric: of the objective.
        direction: whether low or high values are better.
        split_hash: of the split's manifest; `no corpus` where an objective of the user's own needs
            none.
        steps: one for each completed trial, in the order of their ends.
        counts: trials by state.
        n_trials: started.
        n_patches: trained.
        elapsed_s: wall-clock seconds of all launches.
        warning: what everyone must know who sees the scores, such as that the split leaks; empty if
            nothing.
    """

    name: str
    sweep_id: str
    engine: str
    metric: str
    direction: Direction
    split_hash: str
    steps: tuple[Step, ...]
    counts: Mapping[TrialState, int]
    n_trials: int
    n_patches: int
    elapsed_s: float
    warning: str = ""

    @property
    def best(self) -> Step | None:
        """When the best trial was completed; `None` if none was."""
        return next((step for step in self.steps if step.value == self.steps[-1].best), None)

    def patches_until(self, value: float) -> int | None:
        """Patches trained until a trial was at least as good as `value`; `None` if none was."""
        sign = 1 if self.direction == "minimize" else -1
        return next((step.n_patches for step in self.steps if sign * step.best <= sign * value), None)


@dataclass(frozen=True)
class Comparison:
    """Sweeps with one objective on one split.

    Attributes:
        sweeps: in the order in which they were named.
        remarks: what else differs between them, beside engine and seed.
    """

    sweeps: tuple[ComparedSweep, ...]
    remarks: tuple[str, ...]

    @property
    def metric(self) -> str:
        """The objective's."""
        return self.sweeps[0].metric

    @property
    def warning(self) -> str:
        """Of the split that all of them have."""
        return self.sweeps[0].warning

    @property
    def direction(self) -> Direction:
        """Whether low or high values are better."""
        return self.sweeps[0].direction

    @property
    def common_goal(self) -> float | None:
        """The best value that every sweep with a completed trial has reached."""
        bests = [sweep.steps[-1].best for sweep in self.sweeps if sweep.steps]
        return (max if self.direction == "minimize" else min)(bests, default=None)

    def groups(self, by_seed: bool) -> dict[str, list[ComparedSweep]]:
        """The sweeps by name; where `by_seed`, those whose names differ in an ending such as `-s1`
        together.
        """
        groups: dict[str, list[ComparedSweep]] = {}
        for sweep in self.sweeps:
            name = _SEED_SUFFIX.sub("", sweep.name) if by_seed else sweep.name
            groups.setdefault(name, []).append(sweep)
        return groups

    def __repr__(self) -> str:
        """What Python's prompt shows."""
        return f"Comparison of the sweeps {', '.join(sweep.name for sweep in self.sweeps)}"

    def _repr_html_(self) -> str:
        return as_html(sweeps_table(self))


def compare_sweeps(names: Sequence[str], workspace: Workspace) -> Comparison:
    """Read sweeps and see that they can be compared; nothing is written.

    Running sweeps are compared on what they have so far.

    Raises:
        LedgerError: if there is no such sweep.
        ComparisonError: if a sweep is named twice, or two differ in their split or their objective.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ComparisonError(f"Each sweep can be compared once, but {', '.join(twice)} is named twice.")
    known = [read_sweep(name, workspace) for name in names]
    sweeps = tuple(_compared(sweep) for sweep in known)
    for other in sweeps[1:]:
        _check_alike(sweeps[0], other)
    return Comparison(sweeps, tuple(remark for other in known[1:] for remark in _remarks(known[0], other)))


def sweeps_table(comparison: Comparison) -> Table:
    """A row for each sweep: what it spent, its best trial, and how soon it reached what all of them
    reached.
    """
    goal = comparison.common_goal
    reached = "patches to " + ("the common best" if goal is None else f"{goal:.4g}")
    header = ("sweep", "engine", "trials", "patches", "time", f"best {score_name(comparison.metric)}", "trial", reached)
    rows = []
    for sweep in comparison.sweeps:
        best, until = sweep.best, None if goal is None else sweep.patches_until(goal)
        counts = ", ".join(f"{count} {state}" for state, count in sweep.counts.items() if count)
        rows.append(
            (
                *(sweep.name, sweep.engine, counts or "none", f"{sweep.n_patches:,}"),
                readable_duration(sweep.elapsed_s),
                "" if best is None else f"{best.value:.4g}",
                "" if best is None else f"{best.trial:03d}",
                "" if until is None else f"{until:,}",
            )
        )
    return Table(header, tuple(rows), n_text_columns=3)


def write_csv(comparison: Comparison, path: Path) -> None:
    """Write a row for each completed trial, with the columns `COLUMNS`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for sweep in comparison.sweeps:
            for step in sweep.steps:
                counts = (step.trial, step.n_trials, step.n_patches)
                row = (sweep.name, sweep.engine, *counts, f"{step.elapsed_s:.3f}", step.value, step.best)
                rows.writerow(harmless_row(row))


def _compared(sweep: KnownSweep) -> ComparedSweep:
    path = sweep.folder / SPLIT_FILE
    has_corpus = sweep.experiment.corpus is not None
    if has_corpus and not path.exists():
        raise ComparisonError(f"A sweep to compare must have a split, but {path} is not there yet. Try again later.")
    state, objective = sweep.state, sweep.experiment.objective
    manifest = SplitManifest.load(path) if has_corpus else None
    return ComparedSweep(
        name=sweep.created.name,
        sweep_id=sweep.created.sweep_id,
        engine=sweep.experiment.engine.label,
        metric=objective.metric,
        direction=objective.resolved_direction,
        split_hash=manifest.hash if manifest else _NO_SPLIT,
        warning=manifest.warning if manifest else "",
        steps=_steps(state, objective.resolved_direction),
        counts=Counter(trial.state for trial in state.trials.values()),
        n_trials=len(state.trials),
        n_patches=state.n_patches,
        elapsed_s=state.elapsed_s(state.last_ms),
    )


def _steps(state: SweepState, direction: Direction) -> tuple[Step, ...]:
    ends = sorted(end for trial in state.trials.values() for end in _completion(trial))
    bests = accumulate((value for _, _, value in ends), min if direction == "minimize" else max)
    trained = [(report.at_ms, report.report.n_patches) for trial in state.trials.values() for report in trial.reports]
    return tuple(
        Step(
            trial=number,
            n_trials=sum(trial.proposed.at_ms <= at_ms for trial in state.trials.values()),
            n_patches=sum(n_patches for reported_ms, n_patches in trained if reported_ms <= at_ms),
            elapsed_s=state.elapsed_s(at_ms),
            value=value,
            best=best,
        )
        for (at_ms, number, value), best in zip(ends, bests, strict=True)
    )


def _completion(trial: TrialRecord) -> list[tuple[int, int, float]]:
    """Time, number and value of a completed trial, as a list of one; else an empty one."""
    if trial.state is not TrialState.COMPLETED or trial.ended is None or trial.ended.result.value is None:
        return []
    return [(trial.ended.at_ms, trial.number, trial.ended.result.value)]


def _check_alike(one: ComparedSweep, other: ComparedSweep) -> None:
    if one.split_hash != other.split_hash:
        raise ComparisonError(
            f"Only sweeps on the same split can be compared, but {one.name} has split {one.split_hash[:12]} and "
            f"{other.name} has {other.split_hash[:12]}: their scores are of other pages. Run both with the same "
            "`corpus`, `writers` and `split`."
        )
    if (one.metric, one.direction) != (other.metric, other.direction):
        raise ComparisonError(
            f"Only sweeps with the same objective can be compared, but {one.name} would {one.direction} {one.metric} "
            f"and {other.name} {other.direction} {other.metric}. Run both with the same `objective`."
        )


def _remarks(one: KnownSweep, other: KnownSweep) -> list[str]:
    found = [
        line for line in differences(one.created.config, other.experiment) if not line.startswith(("engine", "seed"))
    ]
    shown = [f"{one.created.name} -> {other.created.name}: {line}" for line in found[:3]]
    return [*shown, *([f"... and {len(found) - 3} more differences"] if len(found) > 3 else [])]


_PANELS: tuple[tuple[str, Callable[[Step], float], Callable[[ComparedSweep], float]], ...] = (
    ("trials started", lambda step: step.n_trials, lambda sweep: sweep.n_trials),
    ("patches trained (thousands)", lambda step: step.n_patches / 1000, lambda sweep: sweep.n_patches / 1000),
    ("wall time (minutes)", lambda step: step.elapsed_s / 60, lambda sweep: sweep.elapsed_s / 60),
)


def draw_comparison(comparison: Comparison, by_seed: bool = False) -> Figure:
    """Draw a curve for each sweep, or for each group of sweeps that differ in the seed only.

    A group's curve is the median over its seeds, with a band from the worst to the best one; it
    begins where every seed has a completed trial. Sweeps without a completed trial have no curve.
    """
    figure = Figure(figsize=(15, 5.2), dpi=110, layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    groups = {name: sweeps for name, sweeps in comparison.groups(by_seed).items() if all(s.steps for s in sweeps)}
    colours = colormaps["tab10" if len(groups) <= 10 else "tab20"]
    for place, (name, sweeps) in enumerate(groups.items()):
        for axes, (_, x_of, end_of) in zip(panels, _PANELS, strict=True):
            _draw_group(axes, name, sweeps, x_of, end_of, colours(place))
    goal = "lower" if comparison.direction == "minimize" else "higher"
    panels[0].set_ylabel(f"best {score_name(comparison.metric)} so far ({goal} is better)")
    _scale(panels[0], list(groups.values()))
    for axes, (title, _, _) in zip(panels, _PANELS, strict=True):
        axes.set_xlabel(title)
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3, which="both")
    if comparison.warning:
        figure.suptitle(comparison.warning, color="#b00020", fontsize=11)
    if groups:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(5, len(labels)), frameon=False)
    return figure


def _draw_group(
    axes: Axes,
    name: str,
    sweeps: Sequence[ComparedSweep],
    x_of: Callable[[Step], float],
    end_of: Callable[[ComparedSweep], float],
    colour: tuple[float, float, float, float],
) -> None:
    end = min(end_of(sweep) for sweep in sweeps)
    grid = np.unique([*(x_of(step) for sweep in sweeps for step in sweep.steps), *(end_of(sweep) for sweep in sweeps)])
    curves = np.array([_best_at(sweep, x_of, grid) for sweep in sweeps])
    there = ~np.isnan(curves).any(axis=0) & (grid <= max(end, min(x_of(sweep.steps[-1]) for sweep in sweeps)))
    label = f"{name} ({sweeps[0].engine})" if len(sweeps) == 1 else f"{name} ({len(sweeps)} seeds)"
    axes.step(grid[there], np.median(curves[:, there], axis=0), where="post", color=colour, linewidth=2, label=label)
    if len(sweeps) > 1:
        low, high = curves[:, there].min(axis=0), curves[:, there].max(axis=0)
        axes.fill_between(grid[there], low, high, step="post", color=colour, alpha=0.15, linewidth=0)
    else:
        xs = [x_of(step) for step in sweeps[0].steps]
        axes.plot(xs, [step.best for step in sweeps[0].steps], ".", color=colour)


def _best_at(sweep: ComparedSweep, x_of: Callable[[Step], float], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """The best value at each place of the grid; no number before the first completed trial."""
    xs, bests = [x_of(step) for step in sweep.steps], [step.best for step in sweep.steps]
    places = np.searchsorted(xs, grid, side="right") - 1
    return np.where(places < 0, np.nan, np.asarray(bests, dtype=float)[places.clip(0)])


def _scale(axes: Axes, groups: Sequence[Sequence[ComparedSweep]]) -> None:
    """A logarithmic axis where one diverging first trial would flatten all that matters."""
    values = [step.best for sweeps in groups for sweep in sweeps for step in sweep.steps]
    if values and min(values) > 0 and max(values) / min(values) > 20:
        axes.set_yscale("log")


EXPERIMENT = "comparisons"


def comparison_key(comparison: Comparison) -> str:
    """What names a comparison: a hash of its sweeps' ids."""
    ids = " ".join(sorted(sweep.sweep_id for sweep in comparison.sweeps))
    return hashlib.sha256(ids.encode()).hexdigest()[:12]


def record_comparison(comparison: Comparison, files: Mapping[str, Path], table: str, store: TrackingStore) -> str:
    """Write the run of this comparison anew, or make it; return its id.

    Args:
        comparison: of finished or running sweeps.
        files: pictures and tables by artifact path.
        table: Markdown, for the run's description.
        store: where.

    Raises:
        TrackingError: if the store cannot be written.
    """
    key, now_ms = comparison_key(comparison), time.time_ns() // 1_000_000
    with tracking_errors("record the comparison", store):
        runs = TrackedRuns(store, EXPERIMENT, score_name(comparison.metric), comparison.direction == "minimize")
        tags = {"kind": "comparison", "comparison": key}
        found = next(runs.each(tags), None)
        names = [sweep.name for sweep in comparison.sweeps]
        title = " | ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        run_id = found.info.run_id if found is not None else runs.create(title, now_ms, tags)
        try:
            pictures = [name for name in files if name.endswith(".png")]
            shown = "\n\n".join(f"![{name}](get-artifact?path={name}&run_uuid={run_id})" for name in pictures)
            runs.log_files(run_id, files)
            note = {"mlflow.note.content": f"{warning_note(comparison.warning)}{table}\n\n{shown}"}
            if comparison.warning:
                note["warning"] = comparison.warning
            split = {"split_hash": comparison.sweeps[0].split_hash[:12]}
            runs.set_tags(run_id, {"sweeps": ", ".join(names), **split, **note})
        except BaseException:
            runs.close(run_id, "FAILED", now_ms)
            raise
        runs.close(run_id, "FINISHED", now_ms)
    return str(run_id)
