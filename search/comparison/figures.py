"""How the report's figures look, and how they get into a page: small, plain, colour-blind-safe, as
inline SVG.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from core.scoring.score_names import LEVELS, SCORES
from search.ledger.ranking import Direction, score_name

# Okabe and Ito's colours; what matters also differs in shape, width or place.
BLUE, ORANGE, GREEN, SKY, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#56b4e9", "#cc79a7", "#8a8a8a"
INK, FAINT = "#222222", "#d9d9d9"
SEQUENCE = "cividis"
"""The colour map for ordered values: made to be read alike with and without colour blindness."""

WIDTH_IN, HEIGHT_IN = 4.8, 3.3
"""Of a common figure: narrow, so that its letters can still be read on a phone."""

_STYLE: Any = {
    "font.size": 9.5,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "text.parse_math": False,  # a writer's name may have dollar signs in it
    "svg.fonttype": "none",  # text stays text: smaller, and sharp at any size
    "svg.hashsalt": "whosehand",  # the same figure, the same bytes
    "axes.edgecolor": "#777777",
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


@dataclass(frozen=True)
class Picture:
    """A figure for a page.

    Attributes:
        source: a `data:` address.
        text: what it shows, for those who cannot see it.
        caption: below it.
        is_wide: whether it needs the whole width, and may be scrolled on a phone.
        width_px: at its natural size.
    """

    source: str
    text: str
    caption: str
    is_wide: bool
    width_px: int


@contextmanager
def report_style() -> Iterator[None]:
    """Within this block figures are made and saved in the report's style."""
    with mpl.rc_context(_STYLE):
        yield


def new_figure(width_in: float = WIDTH_IN, height_in: float = HEIGHT_IN) -> Figure:
    """Make an empty figure without pyplot, which keeps global state."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


def as_picture(figure: Figure, text: str, caption: str, is_wide: bool = False) -> Picture:
    """Turn a figure into inline SVG."""
    content = BytesIO()
    # Cut to what is drawn: beside a square matrix the layout would push the axis label off the
    # edge.
    figure.savefig(
        content,
        format="svg",
        metadata={"Date": None, "Creator": None},
        dpi=150,
        bbox_inches="tight",
        pad_inches=0.04,
    )
    source = "data:image/svg+xml;base64," + base64.b64encode(content.getvalue()).decode()
    return Picture(source, text, caption, is_wide, round(figure.get_figwidth() * 96))


def readable_metric(metric: str) -> str:
    """A metric's name in words, with its unit.

    >>> readable_metric("val/image_logloss"), readable_metric("val/page_top1"), readable_metric("val/loss")
    ('image log-loss (nats)', 'page top-1 (share right)', 'loss')
    """  # noqa: W505
    level, _, score = score_name(metric).partition("_")
    if level not in LEVELS or score not in SCORES:
        return score_name(metric)
    kind = SCORES[score]
    return f"{level} {kind.title}" + (f" ({kind.unit})" if kind.unit else "")


def goal_label(metric: str, direction: Direction) -> str:
    """An axis label that says which end is good."""
    return f"{readable_metric(metric)}\n{'lower' if direction == 'minimize' else 'higher'} is better"


def scale_values(axes: Axes, values: list[float], axis: str = "y") -> None:
    """A logarithmic axis where a few diverged values would flatten all that matters."""
    if values and min(values) > 0 and max(values) / min(values) > 20:
        scaled = axes.yaxis if axis == "y" else axes.xaxis
        (axes.set_yscale if axis == "y" else axes.set_xscale)("log")
        scaled.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        scaled.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        scaled.set_minor_formatter(NullFormatter())


def legend_above(axes: Axes, columns: int) -> None:
    """Name what is drawn above the axes, where it hides nothing; no legend where nothing has a
    name.
    """
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=columns,
            borderaxespad=0.3,
            handlelength=1.6,
            columnspacing=1.2,
        )
