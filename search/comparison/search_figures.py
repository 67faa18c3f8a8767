"""Figures of the course of a search: its history, the trials' learning curves."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from search.comparison.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    Picture,
    as_picture,
    goal_label,
    legend_above,
    new_figure,
    scale_values,
)
from search.comparison.trial_table import TrialRow
from search.ledger.ranking import Direction
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState


def draw_history(rows: Sequence[TrialRow], metric: str, direction: Direction) -> Picture:
    """Each trial's value over its number, the best so far as a line, pruned and failed ones as ticks."""
    figure = new_figure()
    axes = figure.add_subplot()
    done = sorted((row for row in rows if row.score is not None), key=lambda row: row.number)
    scored = [(row.number, row.score) for row in done if row.score is not None]
    if scored:
        numbers, values = [number for number, _ in scored], [score.value for _, score in scored]
        best = (np.minimum if direction == "minimize" else np.maximum).accumulate(values)
        axes.step(numbers, best, where="post", color=BLUE, linewidth=1.8, label="best so far")
        spans = [(number, s.low, s.high) for number, s in scored if s.low is not None and s.high is not None]
        if spans:
            axes.vlines(*zip(*spans, strict=True), color=SKY, linewidth=1.2, label="95 % interval")
        axes.plot(numbers, values, "o", color=BLUE, markersize=4.5, label="completed")
        winner = next(row for row in done if row.place == 1)
        axes.plot(
            winner.number, winner.score.value if winner.score else 0, "*", color=ORANGE, markersize=14, label="best"
        )
        scale_values(axes, [*values, *(low for _, low, _ in spans if low is not None)])
    for state, colour, marker in ((TrialState.PRUNED, GREY, "|"), (TrialState.FAILED, ORANGE, "x")):
        ends = [row.number for row in rows if row.state is state]
        if ends:
            axes.plot(
                ends,
                [0.02] * len(ends),
                marker,
                color=colour,
                markersize=7,
                transform=axes.get_xaxis_transform(),
                label=str(state),
                linestyle="none",
            )
    axes.set_xlabel("trial")
    axes.set_ylabel(goal_label(metric, direction))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(axes, columns=3)
    n_pruned, n_failed = (sum(row.state is s for row in rows) for s in (TrialState.PRUNED, TrialState.FAILED))
    caption = f"{len(done)} completed trials" + _also(n_pruned, "pruned") + _also(n_failed, "failed")
    interval = (
        " Intervals are over pages (or images) of the same validation part."
        if any(score.low is not None for _, score in scored)
        else ""
    )
    return as_picture(figure, "Value of each trial, and the best so far", f"Optimisation history: {caption}.{interval}")


def draw_curves(
    trials: Sequence[TrialRecord], metric: str, direction: Direction, best: int | None, seed: int | None
) -> Picture | None:
    """The objective of every trial over the patches trained; `None` before the first epoch."""
    known = [trial for trial in trials if any(metric in event.report.metrics for event in trial.reports)]
    if not known:
        return None
    figure = new_figure()
    axes = figure.add_subplot()
    drawn: list[float] = []
    for trial in sorted(known, key=lambda trial: (trial.number == best, trial.number == seed)):
        patches = np.cumsum([event.report.n_patches for event in trial.reports]) / 1000
        values = [event.report.metrics.get(metric, np.nan) for event in trial.reports]
        drawn += [value for value in values if np.isfinite(value)]
        colour, width, label = "#b5b5b5", 1.0, None
        if trial.number == best:
            colour, width, label = ORANGE, 2.4, f"best: {trial.number:03d}"
        elif trial.number == seed:
            colour, width, label = GREEN, 2.0, f"seed recipe: {trial.number:03d}"
        style = "--" if trial.number == seed and trial.number != best else "-"
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


def _also(count: int, what: str) -> str:
    return f", {count} {what}" if count else ""
