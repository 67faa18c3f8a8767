"""Figures of a search: what Optuna's own visualisation draws from the ledger, and the trials'
learning curves.

Optuna draws history, importance, parallel coordinates, slices and contour from a study that is
converted from the ledger, so that they are the same for every engine.
"""

import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import optuna
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from optuna.visualization import matplotlib as optuna_figures

from search.comparison.figures import (
    BLUE,
    GREEN,
    GREY,
    HEIGHT_IN,
    ORANGE,
    SKY,
    WIDTH_IN,
    Picture,
    as_picture,
    goal_label,
    legend_above,
    new_figure,
    readable_metric,
    scale_values,
)
from search.ledger.ranking import Direction
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState

LEAST_TRIALS = 4
"""Completed trials without which importance says nothing."""
MOST_AXES, MOST_SLICES = 7, 4
"""Hyperparameters that parallel coordinates and slices have room for."""
_TARGET_SHARE, _LEAST_TARGETS = 0.1, 2
_FEW_TRIALS = 30
_WRAP_AT = 14  # letters of a hyperparameter's name
_NARROW, _WIDE = 5.0, 30.0  # factors that a logarithmic axis spans: below and above them it has fewer labels


def completed_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The completed trials whose point lies in the space."""
    return [trial for trial in study.get_trials(states=(OptunaState.COMPLETE,)) if trial.params]


def trials_outside(study: optuna.Study) -> list[int]:
    """Numbers of the completed trials whose point does not, such as those of an enqueued recipe."""
    return [trial.number for trial in study.get_trials(states=(OptunaState.COMPLETE,)) if not trial.params]


def varied_names(study: optuna.Study) -> list[str]:
    """The hyperparameters that have different values among the completed trials."""
    trials = completed_trials(study)
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    return [name for name in names if len({repr(t.params[name]) for t in trials if name in t.params}) > 1]


def measure_importance(study: optuna.Study) -> Mapping[str, float]:
    """How much each hyperparameter that varies decides whether a trial is among the best, the most
    important first.

    PED-ANOVA (Watanabe, Bansal and Hutter 2023), in its form for conditional spaces. The best tenth
    counts as the best, but two trials at least: from one alone nothing can be told.

    Returns:
        Shares that sum to 1. Empty for fewer than `LEAST_TRIALS` trials, and for trials that are
        all equally good. A hyperparameter that fewer than `LEAST_TRIALS` trials have is left out.
    """
    trials = completed_trials(study)
    names = [name for name in varied_names(study) if sum(name in trial.params for trial in trials) >= LEAST_TRIALS]
    if len(trials) < LEAST_TRIALS or not names or len({trial.value for trial in trials}) < 2:
        return {}
    with _optuna_warnings():
        return get_param_importances(_inside(study), evaluator=_ped_anova(len(trials)), params=names)


def draw_history(study: optuna.Study, metric: str, direction: Direction) -> Picture | None:
    """Each trial's value over its number, and the best so far as a line; `None` without a completed
    trial.
    """
    values = [trial.value for trial in study.get_trials(states=(OptunaState.COMPLETE,)) if trial.value is not None]
    if not values:
        return None

    def adjust(figure: Figure) -> None:
        (axes,) = figure.axes
        axes.set_ylabel(goal_label(metric, direction))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        scale_values(axes, values)
        legend_above(axes, columns=2)

    n_pruned, n_failed = (len(study.get_trials(states=(state,))) for state in (OptunaState.PRUNED, OptunaState.FAIL))
    caption = f"History: {len(values)} completed trials{_also(n_pruned, 'pruned')}{_also(n_failed, 'failed')}."
    figure = _drawn(lambda: optuna_figures.plot_optimization_history(study), adjust)
    return _as_picture(figure, "Value of each trial, and the best so far", caption)


def draw_importance(study: optuna.Study, importance: Mapping[str, float]) -> Picture | None:
    """A bar for each hyperparameter that could be measured; `None` if none could."""
    if not importance:
        return None

    def adjust(figure: Figure) -> None:
        (axes,) = figure.axes
        axes.set_xlabel("share of importance for being among the best")
        axes.set_ylabel("")
        if (legend := axes.get_legend()) is not None:
            legend.remove()

    n_trials, left_out = len(completed_trials(study)), [n for n in varied_names(study) if n not in importance]
    caption = f"Importance of the hyperparameters that varied, from {n_trials} completed trials (PED-ANOVA)."
    if left_out:
        caption += f" Not measured, because fewer than {LEAST_TRIALS} trials have it: {', '.join(left_out)}."
    if n_trials < _FEW_TRIALS:
        caption += " From so few trials this is no more than a hint."
    figure = _drawn(
        lambda: optuna_figures.plot_param_importances(_inside(study), _ped_anova(n_trials), list(importance)),
        adjust,
        height_in=max(1.9, 0.9 + 0.3 * len(importance)),
    )
    return _as_picture(figure, "Importance of each hyperparameter", caption)


def draw_parallel(study: optuna.Study, order: Sequence[str], metric: str) -> Picture | None:
    """One axis for each hyperparameter, one line for each trial; `None` if there is nothing to
    compare.
    """
    names, trials = list(order)[:MOST_AXES], completed_trials(study)
    if not names or len(trials) < 2:
        return None

    def adjust(figure: Figure) -> None:
        axes = figure.axes[0]
        shown = [label.get_text().removesuffix("...") for label in axes.get_xticklabels()[1:]]  # Optuna cuts them
        labels = [readable_metric(metric), *(next(n for n in names if n.startswith(label)) for label in shown)]
        axes.set_xticks(axes.get_xticks(), [_wrapped(label) for label in labels], rotation=0)
        for each in figure.axes:
            each.tick_params(labelsize=8)
            _thin_out(each.yaxis)

    caption = f"Parallel coordinates: {len(trials)} completed trials, the dark lines are the good ones."
    figure = _drawn(
        lambda: optuna_figures.plot_parallel_coordinate(study, names, target_name=readable_metric(metric)),
        adjust,
        width_in=max(WIDTH_IN, 1.45 * (len(names) + 1)),
    )
    caption += _not_drawn(order, MOST_AXES)
    return _as_picture(figure, "Every completed trial as a line over its hyperparameters", caption, is_wide=True)


def draw_slices(study: optuna.Study, order: Sequence[str], metric: str) -> Picture | None:
    """The objective over each hyperparameter alone; `None` if there is nothing to compare."""
    names, trials = list(order)[:MOST_SLICES], completed_trials(study)
    if not names or len(trials) < 2:
        return None

    def adjust(figure: Figure) -> None:
        for place, axes in enumerate(figure.axes[: len(names)]):
            axes.set_ylabel(readable_metric(metric) if place == 0 else "")
            axes.set_xlabel(_wrapped(axes.get_xlabel()), fontsize=9)
            axes.tick_params(labelsize=8)
            _separate_ticks(axes)
        figure.axes[-1].yaxis.set_major_locator(MaxNLocator(6, integer=True))

    caption = f"Slices: the objective over one hyperparameter at a time, {len(trials)} trials."
    figure = _drawn(
        lambda: optuna_figures.plot_slice(study, names, target_name=readable_metric(metric)),
        adjust,
        width_in=max(WIDTH_IN, 2.4 * len(names) + 0.8),
    )
    caption += _not_drawn(order, MOST_SLICES)
    return _as_picture(figure, "The objective over each hyperparameter", caption, is_wide=len(names) > 2)


def draw_contour(study: optuna.Study, order: Sequence[str], metric: str) -> Picture | None:
    """The objective over the two most important hyperparameters; `None` if too few trials have
    both.
    """
    names = list(order)[:2]
    both = [trial for trial in completed_trials(study) if all(name in trial.params for name in names)]
    if len(names) < 2 or any(len({repr(trial.params[name]) for trial in both}) < 2 for name in names):
        return None

    def adjust(figure: Figure) -> None:
        _separate_ticks(figure.axes[0])

    caption = f"Contour of {names[0]} and {names[1]}: {len(both)} trials as dots, the shades between are interpolated."
    figure = _drawn(lambda: optuna_figures.plot_contour(study, names, target_name=readable_metric(metric)), adjust)
    return _as_picture(figure, f"The objective over {names[0]} and {names[1]}", caption)


def draw_curves(
    trials: Sequence[TrialRecord], metric: str, direction: Direction, best: int | None, baseline: int | None
) -> Picture | None:
    """The objective of every trial over the patches trained; `None` before the first epoch."""
    known = [trial for trial in trials if any(metric in event.report.metrics for event in trial.reports)]
    if not known:
        return None
    figure = new_figure()
    axes = figure.add_subplot()
    drawn: list[float] = []
    for trial in sorted(known, key=lambda trial: (trial.number == best, trial.number == baseline)):
        patches = np.cumsum([event.report.n_patches for event in trial.reports]) / 1000
        values = [event.report.metrics.get(metric, np.nan) for event in trial.reports]
        drawn += [value for value in values if np.isfinite(value)]
        colour, width, label = "#b5b5b5", 1.0, None
        if trial.number == best:
            colour, width, label = ORANGE, 2.4, f"best: {trial.number:03d}"
        elif trial.number == baseline:
            colour, width, label = GREEN, 2.0, f"seed recipe: {trial.number:03d}"
        style = "--" if trial.number == baseline and trial.number != best else "-"
        axes.plot(patches, values, style, color=colour, linewidth=width, label=label, marker=".", markersize=4)
    axes.set_xlabel("patches trained (thousands)")
    axes.set_ylabel(goal_label(metric, direction))
    scale_values(axes, drawn)
    axes.set_xlim(left=0)
    if axes.get_legend_handles_labels()[0]:
        legend_above(axes, columns=2)
    n_pruned = sum(trial.state is TrialState.PRUNED for trial in known)
    caption = f"Learning curves of {len(known)} trials on the validation pages" + _also(n_pruned, "pruned") + "."
    return as_picture(figure, "Learning curves of all trials", caption)


def draw_fit(trial: TrialRecord, name: str) -> Picture | None:
    """Training and validation loss of one trial; `None` where its epochs do not report them."""
    lines = {
        "train/loss": ("training", GREY, ":"),
        "val/patch_logloss": ("validation, patches", SKY, "-"),
        "val/image_logloss": ("validation, images", BLUE, "-"),
        "val/page_logloss": ("validation, pages", ORANGE, "--"),
    }
    there = [name for name in lines if any(name in event.report.metrics for event in trial.reports)]
    if not there:
        return None
    figure = new_figure()
    axes = figure.add_subplot()
    for key in there:
        label, colour, style = lines[key]
        values = [event.report.metrics.get(key, np.nan) for event in trial.reports]
        epochs = [event.report.epoch for event in trial.reports]
        axes.plot(epochs, values, style, color=colour, label=label, marker="o", markersize=3.5, linewidth=1.8)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss (nats)\nlower is better")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(axes, columns=2)
    caption = f"Loss of {name}: {trial.n_epochs} epochs, {trial.n_patches:,} patches."
    return as_picture(figure, f"Training and validation loss of {name}", caption)


def _ped_anova(n_trials: int) -> PedAnovaImportanceEvaluator:
    return PedAnovaImportanceEvaluator(target_quantile=min(0.5, max(_TARGET_SHARE, _LEAST_TARGETS / n_trials)))


def _inside(study: optuna.Study) -> optuna.Study:
    """The study without the trials outside of the space: a trial without a value says nothing about
    a parameter.
    """
    inside = optuna.create_study(direction=study.direction, sampler=optuna.samplers.RandomSampler(seed=0))
    inside.add_trials(completed_trials(study))
    return inside


@contextmanager
def _optuna_warnings() -> Iterator[None]:
    """Keep quiet about what is known: the figures are experimental, and conditional parameters have
    few trials.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", "Some regimes for parameter .* have less than", UserWarning)
        yield


def _drawn(
    draw: Callable[[], Any],
    adjust: Callable[[Figure], None],
    width_in: float = WIDTH_IN,
    height_in: float = HEIGHT_IN,
) -> Figure:
    """Let Optuna draw, at the size that the report has room for.

    Optuna draws with pyplot, in a style of its own, which would stay for the figures after it.
    """
    pyplot.switch_backend("agg")  # no window
    with mpl.rc_context({"figure.constrained_layout.use": True}), _optuna_warnings():
        figure: Figure = np.ravel(draw())[0].figure
        figure.suptitle("")
        for axes in figure.axes:
            axes.set_title("")
            axes.set_title("", loc="left")
        figure.set_size_inches(width_in, height_in)
        adjust(figure)
    return figure


def _as_picture(figure: Figure, text: str, caption: str, is_wide: bool = False) -> Picture:
    try:
        return as_picture(figure, text, caption, is_wide)
    finally:
        pyplot.close(figure)


def _not_drawn(order: Sequence[str], n_drawn: int) -> str:
    """Which hyperparameters there was no room for, in a sentence; empty if all are drawn."""
    rest = list(order)[n_drawn:]
    return (
        f" Drawn are the {n_drawn} most important of {len(order)} that varied, not {', '.join(rest)}." if rest else ""
    )


def _separate_ticks(axes: Axes) -> None:
    """Turn the names of choices where they would overlap, and label a logarithmic axis sparsely."""
    labels = [label.get_text().strip("'") for label in axes.get_xticklabels()]
    if any(label and label[0].isalpha() for label in labels):
        axes.set_xticks(axes.get_xticks(), labels, rotation=35 if sum(map(len, labels)) > _WRAP_AT else 0)
    _thin_out(axes.xaxis)
    _thin_out(axes.yaxis)


def _thin_out(axis: Axis) -> None:
    """Label a logarithmic axis at few places, in plain numbers."""
    if axis.get_scale() != "log":
        return
    low, high = axis.get_view_interval()
    if high < _NARROW * low:
        axis.set_major_locator(MaxNLocator(3))
    else:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < _WIDE * low else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _wrapped(name: str) -> str:
    r"""Break a long name at its gaps, for narrow places.

    >>> _wrapped("convolutions_per_block"), _wrapped("filters"), _wrapped("image log-loss (nats)")
    ('convolutions_\nper_block', 'filters', 'image log-loss\n(nats)')
    """
    words = name.replace("_", "_ ").replace("_ _", "__")
    return "\n".join(line.replace("_ ", "_") for line in textwrap.wrap(words, _WRAP_AT, break_long_words=False))


def _also(count: int, what: str) -> str:
    return f", {count} {what}" if count else ""
