"""Figures of a model's mistakes: who is taken for whom, how much writing it needs, whether its
words can be trusted.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from scipy.sparse import csr_array

from core.scoring.answers import AccuracyAt
from core.scoring.diagnostics import Reliability
from search.comparison.figures import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    SKY,
    WIDTH_IN,
    Picture,
    as_picture,
    goal_label,
    new_figure,
    readable_metric,
)
from search.sweep.finalists import FinalistRanking
from search.tracking.sweep_page import NO_BREAK_SPACE

_MOST_NUMBERED = 40
_MOST_NAMED = 60
_LONGEST_NAME = 14


def draw_confusion(
    confusion: csr_array | NDArray[np.integer], writer_ids: Sequence[str], order: NDArray[np.int64], unit: str
) -> Picture:
    """Shares of each true writer's images by named writer, the confused ones side by side.

    Args:
        confusion: (n_writers, n_writers) images, true writers in rows.
        writer_ids: class k is writer_ids[k].
        order: the classes to draw, each once; of very many writers not all.
        unit: what was counted, such as `images`.
    """
    n, counts = len(order), csr_array(confusion)
    ordered = counts[order][:, order].toarray()
    shares = ordered / np.maximum(counts.sum(axis=1)[order][:, np.newaxis], 1)
    side = float(np.clip(0.26 * n, 3.4, 9.5))
    figure = new_figure(side + 1.4, side + 0.5)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.4, vmin=0, vmax=1), interpolation="nearest")
    names = [_shorten(writer_ids[k]) for k in order]
    step = -(-n // _MOST_NAMED)
    size = float(np.clip(side * 72 / n * 0.62, 5, 9))
    axes.set_xticks(range(0, n, step), names[::step], rotation=90, fontsize=size)
    axes.set_yticks(range(0, n, step), names[::step], fontsize=size)
    if n <= _MOST_NUMBERED:
        for row, column in np.argwhere(ordered > 0):
            colour = "white" if shares[row, column] > 0.25 else INK
            text = str(ordered[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size * 0.95)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_xlabel("named writer")
    axes.set_ylabel("true writer")
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, ticks=[0, 0.01, 0.05, 0.25, 0.5, 1])
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=f"{NO_BREAK_SPACE}%"))
    bar.set_label(f"share of the true writer's {unit}")
    n_right, n_all = int(counts.trace()), int(counts.sum())
    writers = f"{n} writers" if n == len(writer_ids) else f"the {n} most confused of {len(writer_ids):,} writers"
    caption = (
        f"Confusion of {writers}: {n_right:,} of {n_all:,} validation {unit} identified correctly "
        f"({n_right / max(n_all, 1):.1%}). Writers who are taken for each other stand side by side; numbers are {unit}."
    )
    return as_picture(figure, "Confusion matrix, ordered by confusion", caption, is_wide=n > 14)


def draw_accuracy(amounts: Sequence[AccuracyAt], n_writers: int) -> Picture:
    """The share identified correctly over how much writing was asked."""
    figure = new_figure()
    axes = figure.add_subplot()
    places = np.arange(len(amounts))
    top1 = np.array([amount.top1 for amount in amounts])
    ends = np.array([amount.interval for amount in amounts]).T
    errors = np.abs(np.stack([np.minimum(ends[0], top1), np.maximum(ends[1], top1)]) - top1)
    n_few = sum(amount.amount.isdigit() for amount in amounts)
    axes.errorbar(places, top1, yerr=errors, fmt="none", ecolor=SKY, elinewidth=2, capsize=3)
    axes.plot(places[:n_few], top1[:n_few], "o-", color=BLUE, linewidth=1.6)
    axes.plot(places[n_few:], top1[n_few:], "s", color=ORANGE, markersize=7)
    for place, amount in zip(places, amounts, strict=True):
        axes.annotate(
            f"{amount.top1:.1%}",
            (place, amount.top1),
            (0, -15 if amount.top1 > 0.6 else 9),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.axhline(1 / n_writers, color=GREY, linestyle=":", linewidth=1)
    axes.annotate(
        "chance", (len(amounts) - 0.65, 1 / n_writers), (0, 3), textcoords="offset points", ha="right", fontsize=8
    )
    labels = [f"{a.amount}\n(n={a.n_items:,})" if not a.amount.isdigit() else a.amount for a in amounts]
    axes.set_xticks(places, labels)
    axes.set_ylim(0, 1.05)
    axes.set_xlim(-0.4, len(amounts) - 0.6)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("patches asked together")
    axes.set_ylabel("identified correctly (top-1)")
    line = next(amount for amount in amounts if amount.amount == "line")
    caption = (
        f"Accuracy against the amount of writing: n = {line.n_items:,} validation lines, 20 random draws of so many "
        f"patches from each; a whole line is {line.mean_patches:.0f} patches on average"
    )
    page = next((amount for amount in amounts if amount.amount == "page"), None)
    caption += f", a whole page {page.mean_patches:.0f}." if page else "."
    return as_picture(figure, "Accuracy over the number of patches", f"{caption} Bars: 95 %, over pages or images.")


def draw_reliability(levels: Mapping[str, Reliability]) -> Picture:
    """How often decisions of a probability were right, for each level that there is."""
    figure = new_figure(WIDTH_IN, 3.6)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    looks = {"patch": (SKY, "o", "-"), "image": (BLUE, "s", "-"), "page": (ORANGE, "D", "--")}
    for name, reliability in levels.items():
        colour, marker, style = looks[name]
        x = [part.mean_probability for part in reliability.bins]
        y = [part.share_right for part in reliability.bins]
        label = f"{name}: ECE {reliability.ece:.3f} (n={reliability.n:,})"
        axes.plot(x, y, style, color=colour, linewidth=1.4, marker=marker, markersize=5, label=label)
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("probability of the named writer")
    axes.set_ylabel("share that was right")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.3)
    caption = (
        "Calibration before any correction: on the dotted line a probability can be taken at its word; above it the "
        "model is too modest, below too sure. Each point stands for as many decisions as the others of its line. ECE: "
        "mean distance from the dotted line; few decisions raise it by chance."
    )
    return as_picture(figure, "Reliability diagram", caption)


def draw_finalists(ranking: FinalistRanking, names: Mapping[int, str]) -> Picture:
    """Each finalist's repeats with mean and interval, beside what the search saw."""
    finalists = ranking.finalists
    figure = new_figure(WIDTH_IN, 1.3 + 0.55 * len(finalists))
    axes = figure.add_subplot()
    for place, finalist in enumerate(reversed(finalists)):
        axes.plot(
            finalist.search_value,
            place,
            "*",
            color=ORANGE,
            markersize=12,
            label="what the search saw" if place == 0 else None,
        )
        values = list(finalist.repeats.values())
        axes.plot(
            values,
            [place] * len(values),
            "o",
            color=BLUE,
            alpha=0.55,
            markersize=5,
            label="fresh seeds" if place == 0 else None,
        )
        spread = finalist.spread
        if spread is not None:
            axes.plot(
                spread.mean,
                place,
                "|",
                color=INK,
                markersize=16,
                markeredgewidth=2,
                label="their mean, 95 %" if place == 0 else None,
            )
        if spread is not None and spread.low is not None and spread.high is not None:
            axes.hlines(place, spread.low, spread.high, color=INK, linewidth=1)
    axes.set_yticks(range(len(finalists)), [names[finalist.trial] for finalist in reversed(finalists)])
    axes.set_ylim(-0.6, len(finalists) - 0.4)
    axes.set_xlabel(goal_label(ranking.metric, ranking.direction).replace("\n", ", "))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderaxespad=0.3, handletextpad=0.3)
    counts = sorted({len(finalist.repeats) for finalist in finalists})
    n = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    caption = (
        f"Finalists, the best mean on top, with {n} completed fits of each under fresh seeds; the interval of the mean "
        f"{readable_metric(ranking.metric)} is Student's."
    )
    return as_picture(figure, "Finalists under fresh seeds", caption)


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:6]}…{name[-7:]}"
