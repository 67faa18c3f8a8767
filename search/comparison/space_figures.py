"""Figures of the space that was searched: what decided, the trials' points, the best region."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from matplotlib.tri import Triangulation
from scipy.spatial import Delaunay, QhullError

from core.space import Categorical, Dimension, Value
from search.comparison.figures import (
    BLUE,
    INK,
    ORANGE,
    SEQUENCE,
    SKY,
    WIDTH_IN,
    Picture,
    as_picture,
    legend_above,
    new_figure,
    readable_metric,
    scale_values,
)
from search.comparison.searched import Importance, Searched
from search.ledger.ranking import Direction

_MOST_SLICES = 6
_MOST_AXES = 9
_LEAST_FOR_CONTOUR = 6
_LONG_CHOICE = 6  # letters of a choice's name that three times fit below a slice


def draw_importance(importances: Sequence[Importance], n_trials: int) -> Picture:
    """Bars of both measures, with the spread over trials drawn again."""
    figure = new_figure(height_in=max(1.9, 0.9 + 0.42 * len(importances)))
    axes = figure.add_subplot()
    places = np.arange(len(importances))[::-1]
    shares = np.array([importance.ped_anova for importance in importances])
    ends = np.array([[i.low, i.high] for i in importances]).T
    errors = np.abs(np.stack([np.minimum(ends[0], shares) - shares, np.maximum(ends[1], shares) - shares]))
    axes.barh(
        places + 0.18,
        shares,
        0.34,
        color=BLUE,
        xerr=errors,
        error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2},
        label="for the best trials (PED-ANOVA)",
    )
    known = [(place, i.fanova) for place, i in zip(places, importances, strict=True) if i.fanova is not None]
    if known:
        axes.barh(
            [place - 0.18 for place, _ in known],
            [share for _, share in known],
            0.34,
            color=SKY,
            label="for all values (fANOVA)",
        )
    axes.set_yticks(places, [importance.name for importance in importances])
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of importance")
    axes.grid(visible=False, axis="y")
    legend_above(axes, columns=1)
    caption = (
        f"Importance of the hyperparameters that varied, from {n_trials} completed trials; whiskers: 5 to 95 % when "
        "the trials are drawn again."
    )
    if n_trials < 30:
        caption += " From so few trials this is a hint, no more."
    return as_picture(figure, "Importance of each hyperparameter", caption)


def draw_parallel(searched: Searched, order: Sequence[str], metric: str, best: int | None) -> Picture:
    """One axis a hyperparameter, one line a trial, the objective last."""
    names = list(order)[:_MOST_AXES]
    dimensions = [searched.space[name] for name in names]
    figure = new_figure(max(WIDTH_IN, 1.35 * (len(names) + 1)), 3.5)
    axes = figure.add_subplot()
    values = np.array([trial.value for trial in searched.trials])
    shade = _shades(values, searched.direction)
    worst_first = np.argsort(values if searched.direction == "maximize" else -values)
    scale = _scale_of(values)
    for k in worst_first:
        trial = searched.trials[k]
        heights = [_height(d, trial.point.get(d.name)) for d in dimensions]
        is_best = trial.number == best
        axes.plot(
            range(len(names) + 1),
            [*heights, scale(values[k])],
            color=ORANGE if is_best else shade(values[k]),
            linewidth=2.6 if is_best else 1.2,
            alpha=1.0 if is_best else 0.75,
            marker="o",
            markersize=5 if is_best else 2.5,
            label=f"best: {trial.number:03d}" if is_best else None,
        )
    for place, dimension in enumerate(dimensions):
        for height, text in _axis_ticks(dimension):
            axes.annotate(
                text,
                (place, height),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=INK,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
            )
    for value in np.unique([values.min(), np.median(values), values.max()]):
        axes.annotate(
            f"{value:.3g}", (len(names), scale(value)), (5, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.set_xlim(-0.15, len(names) + 0.55)
    axes.set_ylim(-0.08, 1.08)
    axes.set_xticks(range(len(names) + 1), [*(_wrapped(name) for name in names), _wrapped(readable_metric(metric))])
    axes.set_yticks([])
    axes.grid(visible=True, axis="x", color="#9a9a9a", linewidth=1)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    if axes.get_legend_handles_labels()[0]:
        legend_above(axes, columns=2)
    end = "low" if searched.direction == "minimize" else "high"
    caption = f"Parallel coordinates: {len(searched.trials)} completed trials, dark lines are good ({end} values)."
    if len(order) > _MOST_AXES:
        caption += f" The {_MOST_AXES} most important of {len(order)} hyperparameters that varied."
    return as_picture(figure, "Every completed trial as a line over its hyperparameters", caption, is_wide=True)


def draw_slices(searched: Searched, order: Sequence[str], metric: str, best: int | None) -> Picture:
    """The objective over each hyperparameter alone."""
    names = list(order)[:_MOST_SLICES]
    n_columns = min(2, len(names))
    n_rows = -(-len(names) // n_columns)
    figure = new_figure(WIDTH_IN, 0.5 + 1.85 * n_rows)
    panels = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    numbers = Normalize(0, max(1, max(trial.number for trial in searched.trials)))
    for panel in panels.flat[len(names) :]:
        panel.set_visible(False)
    for panel, name in zip(panels.flat, names, strict=False):
        dimension = searched.space[name]
        own = [trial for trial in searched.trials if name in trial.point]
        panel.scatter(
            [_position(dimension, trial.point[name]) for trial in own],
            [trial.value for trial in own],
            c=[trial.number for trial in own],
            cmap=SEQUENCE,
            norm=numbers,
            s=20,
            edgecolors="white",
            linewidths=0.4,
        )
        for trial in own:
            if trial.number == best:
                panel.plot(_position(dimension, trial.point[name]), trial.value, "*", color=ORANGE, markersize=12)
        _label_axis(panel, dimension, "x")
        scale_values(panel, [trial.value for trial in searched.trials])
    figure.supylabel(readable_metric(metric), fontsize=9.5)
    bar = figure.colorbar(
        ScalarMappable(numbers, SEQUENCE), ax=panels.ravel().tolist(), label="trial", fraction=0.04, aspect=30
    )
    bar.ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    caption = f"Slices: the objective over one hyperparameter at a time, {len(searched.trials)} trials; star: the best."
    return as_picture(figure, "The objective over each hyperparameter", caption)


def draw_contour(searched: Searched, names: tuple[str, str], metric: str, best: int | None) -> Picture | None:
    """The objective over the two most important hyperparameters; `None` if too few trials have both."""
    across, up = searched.space[names[0]], searched.space[names[1]]
    own = [trial for trial in searched.trials if all(name in trial.point for name in names)]
    if len(own) < 3:
        return None
    figure = new_figure()
    axes = figure.add_subplot()
    x = np.array([_position(across, trial.point[across.name]) for trial in own], dtype=float)
    y = np.array([_position(up, trial.point[up.name]) for trial in own], dtype=float)
    values = np.array([trial.value for trial in own])
    _label_axis(axes, across, "x")
    _label_axis(axes, up, "y")
    shades = _sequence(searched.direction)
    is_filled = _fill(axes, across, up, x, y, values, shades)
    points = axes.scatter(x, y, c=values, cmap=shades, s=42, edgecolors="white", linewidths=0.8, zorder=3)
    for trial, left, top in zip(own, x, y, strict=True):
        if trial.number == best:
            axes.plot(left, top, "*", color=ORANGE, markersize=15, zorder=4)
    figure.colorbar(points, ax=axes, label=readable_metric(metric))
    between = "shades between them are interpolated" if is_filled else "too few or too much in a row to interpolate"
    caption = (
        f"Contour of the two most important hyperparameters: {len(own)} trials as dots, {between}; star: the best."
    )
    return as_picture(figure, f"The objective over {across.name} and {up.name}", caption)


def _fill(axes: Axes, across: Dimension, up: Dimension, x: Any, y: Any, values: Any, shades: Any) -> bool:
    """Shade what lies between the trials, where both axes have an order and the trials span an area."""
    if isinstance(across, Categorical) or isinstance(up, Categorical) or len(x) < _LEAST_FOR_CONTOUR:
        return False
    places = np.stack([_unit(across, x), _unit(up, y)], axis=1)
    try:
        triangles = Delaunay(places).simplices
    except QhullError:
        return False
    axes.tricontourf(Triangulation(x, y, triangles), values, levels=10, cmap=shades, alpha=0.55)
    return True


def _unit(dimension: Dimension, positions: Any) -> Any:
    """Positions along a numeric dimension, from 0 to 1."""
    if isinstance(dimension, Categorical):
        return positions
    low, high = float(dimension.low), float(dimension.high)
    if dimension.log:
        low, high, positions = np.log(low), np.log(high), np.log(positions)
    return (positions - low) / max(high - low, 1e-12)


def _height(dimension: Dimension, value: Value | None) -> float:
    """Where a value lies on its axis of the parallel coordinates, 0 to 1; no number if it is not active."""
    if value is None:
        return float("nan")
    if isinstance(dimension, Categorical):
        return _position(dimension, value) / max(1, len(dimension.choices) - 1)
    return float(_unit(dimension, np.float64(value)))


def _axis_ticks(dimension: Dimension) -> list[tuple[float, str]]:
    if isinstance(dimension, Categorical):
        return [(_height(dimension, choice), str(choice)) for choice in dimension.choices]
    middle = dimension.at(0.5)
    values = dict.fromkeys((dimension.low, middle, dimension.high))
    return [(_height(dimension, value), f"{value:.3g}") for value in values]


def _position(dimension: Dimension, value: Value) -> float:
    """A value as a number on an axis: the place of a choice, or the number itself."""
    if isinstance(dimension, Categorical):
        return float([repr(choice) for choice in dimension.choices].index(repr(value)))
    return float(value)


def _label_axis(axes: Axes, dimension: Dimension, which: str) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    limits = axes.set_xlim if which == "x" else axes.set_ylim
    (axes.set_xlabel if which == "x" else axes.set_ylabel)(dimension.name)
    if isinstance(dimension, Categorical):
        names = [_wrapped(str(choice)) for choice in dimension.choices]
        axis.set_ticks(range(len(names)), names, fontsize="x-small" if max(map(len, names)) > _LONG_CHOICE else None)
        limits(-0.5, len(dimension.choices) - 0.5)
        return
    if dimension.log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        ticks = _log_ticks(float(dimension.low), float(dimension.high))
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
        margin = (dimension.high / dimension.low) ** 0.06
        limits(dimension.low / margin, dimension.high * margin)
        return
    margin = 0.06 * (dimension.high - dimension.low)
    limits(dimension.low - margin, dimension.high + margin)
    axis.set_major_formatter(ScalarFormatter())
    axis.set_major_locator(MaxNLocator(4, integer=isinstance(dimension.low, int)))


def _log_ticks(low: float, high: float) -> list[float]:
    decades = [base * 10.0**power for power in range(-9, 10) for base in (1, 2, 5)]
    inside = [round(tick, 12) for tick in decades if low * 0.999 <= tick <= high * 1.001]
    return inside if len(inside) <= 5 else [tick for tick in inside if f"{tick:e}".startswith("1.0")] or inside[::2]


def _sequence(direction: Direction) -> str:
    """Good is dark."""
    return SEQUENCE if direction == "minimize" else f"{SEQUENCE}_r"


def _shades(values: Any, direction: Direction) -> Any:
    map_, scale = colormaps[_sequence(direction)], _scale_of(values)
    return lambda value: map_(0.9 * scale(value))  # the very lightest is lost on paper


def _scale_of(values: Any) -> Any:
    """Values to 0..1, by their logarithms where they spread over more than a factor of 20."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return lambda value: 0.5
    if low > 0 and high / low > 20:
        return lambda value: float(np.log(value / low) / np.log(high / low))
    return lambda value: float((value - low) / (high - low))


def _wrapped(name: str) -> str:
    r"""Break a long name where it has a gap, for narrow places.

    >>> _wrapped("convolutions_per_block"), _wrapped("filters"), _wrapped("image log-loss (nats)")
    ('convolutions_\nper_block', 'filters', 'image log-loss\n(nats)')
    """
    if len(name) <= 13:
        return name
    gaps = [place + 1 for place, letter in enumerate(name) if letter in "_ "]
    if not gaps:
        return name
    middle = min(gaps, key=lambda gap: (abs(gap - len(name) * 0.55), gap))
    return f"{name[:middle].rstrip(' ')}\n{name[middle:]}"
