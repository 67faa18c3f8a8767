"""Draws sweeps side by side: the best value so far over trials, patches trained and time."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from search.comparison.several_sweeps import ComparedSweep, Comparison, Step
from search.ledger.ranking import score_name

_PANELS: tuple[tuple[str, Callable[[Step], float], Callable[[ComparedSweep], float]], ...] = (
    ("trials started", lambda step: step.n_trials, lambda sweep: sweep.n_trials),
    ("patches trained (thousands)", lambda step: step.n_patches / 1000, lambda sweep: sweep.n_patches / 1000),
    ("wall time (minutes)", lambda step: step.elapsed_s / 60, lambda sweep: sweep.elapsed_s / 60),
)


def draw_comparison(comparison: Comparison, by_seed: bool = False) -> Figure:
    """Draw a curve for each sweep, or for each group of sweeps that differ in the seed only.

    A group's curve is the median over its seeds, with a band from the worst to the best one; it begins where every
    seed has a completed trial. Sweeps without a completed trial have no curve.
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
