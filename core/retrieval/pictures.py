"""A picture of how well pages by the same hand are found, written as a PNG file."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from core.retrieval.described_pages import DescribedPages
from core.retrieval.pairs import collect_pairs
from core.retrieval.scores import RetrievalScores

_GREY, _BLUE, _ORANGE = "#8a8a8a", "#0072b2", "#d55e00"  # Okabe and Ito: safe for colour blindness
_MOST_NAMED = 40
_MOST_PAIRS = 200_000
_LONGEST_NAME = 18


def retrieval_picture(pages: DescribedPages, scores: RetrievalScores, path: Path) -> None:
    """Draw how alike pages by one hand and by two are, and how well each writer's pages are found.

    Args:
        pages: that were searched.
        scores: of them.
        path: of the PNG file.
    """
    figure = Figure(figsize=(11, 4.8), dpi=120, layout="constrained")
    alike, found = figure.subplots(1, 2)
    _draw_pairs(alike, pages, scores)
    _draw_writers(found, pages, scores)
    for axes in (alike, found):
        axes.grid(color="#e4e4e4", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _draw_pairs(axes: Axes, pages: DescribedPages, scores: RetrievalScores) -> None:
    pairs = collect_pairs(pages.similarities, pages.writer_ids, most=_MOST_PAIRS)
    edges = np.linspace(float(pairs.scores.min()), 1.0, 51).tolist()
    kinds = ((pairs.is_same, "one hand", _BLUE), (~pairs.is_same, "two hands", _GREY))
    for chosen, label, colour in kinds:
        shares = np.full(int(chosen.sum()), 1 / max(1, int(chosen.sum())))
        axes.hist(pairs.scores[chosen], edges, weights=shares, color=colour, alpha=0.65, label=label)
    eer = scores.metrics["eer"]
    axes.set_title(f"similarity of two pages (equal error rate {eer:.1%})", loc="left", fontsize=11)
    axes.set_xlabel("cosine of their descriptors")
    axes.set_ylabel("share of pairs")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(frameon=False)


def _draw_writers(axes: Axes, pages: DescribedPages, scores: RetrievalScores) -> None:
    own: dict[str, list[float]] = {}
    for place, precision in zip(scores.queries.tolist(), scores.average_precisions.tolist(), strict=True):
        own.setdefault(pages.writer_ids[place], []).append(precision)
    ranked = sorted(own.items(), key=lambda item: (float(np.mean(item[1])), item[0]))
    for place, (_, precisions) in enumerate(ranked):
        axes.plot([place] * len(precisions), precisions, ".", color=_GREY, alpha=0.5, markersize=5)
    means = [float(np.mean(precisions)) for _, precisions in ranked]
    axes.plot(range(len(ranked)), means, "o", color=_ORANGE, markersize=6, label="mean of the writer's pages")
    mean = scores.metrics["map"]
    axes.axhline(mean, color=_BLUE, linewidth=1.4, label=f"mean of all pages, {mean:.3f}")
    axes.set_title("average precision of each page, by writer", loc="left", fontsize=11)
    axes.set_ylim(0, 1.05)
    is_named = len(ranked) <= _MOST_NAMED
    names = [_shorten(name) for name, _ in ranked] if is_named else []
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8, parse_math=False)
    if not is_named:
        axes.set_xlabel(f"{len(ranked):,} writers, the hardest to find first")
    axes.legend(frameon=False, loc="lower right")


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."
