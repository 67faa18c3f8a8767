"""Where a sweep's time went, as a picture and as a table."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from search.comparison.figures import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    Picture,
    as_picture,
    legend_above,
    new_figure,
)
from search.comparison.tables import Table
from search.ledger.ranking import readable_duration
from search.ledger.time_use import PARTS, TimeUse

_COLOURS = (SKY, BLUE, ORANGE, PURPLE, "#9fc7e0", "#f0e442", "#e69f00", GREEN, "#7a5c00", GREY, FAINT)
_MOST_BARS = 40


def time_table(use: TimeUse) -> Table:
    """Each part's seconds and its share of all worker time."""
    rows = [
        (part, PARTS[part], readable_duration(use.total[part]), f"{100 * share:.1f} %")
        for part, share in use.shares.items()
    ]
    return Table(("part", "what", "worker time", "share"), tuple(rows), n_text_columns=2)


def draw_time_use(use: TimeUse) -> Picture | None:
    """A stacked bar for each trial, and one of shares for all together; `None` without a trial."""
    if not use.trials:
        return None
    shown = list(use.trials)[-_MOST_BARS:]
    figure = new_figure(width_in=9.6, height_in=1.9 + 0.2 * len(shown))
    in_sum, each = figure.subplots(2, 1, height_ratios=(1.3, max(1.5, 0.3 * len(shown))))
    shares = use.shares
    _stack(in_sum, ["all"], [{part: 100 * share for part, share in shares.items()}], list(shares))
    in_sum.set_xlim(0, 100)
    in_sum.set_xlabel("% of worker time")
    legend_above(in_sum, columns=6)
    _stack(each, [f"{number:03d}" for number in shown], [use.trials[number] for number in shown], list(shares))
    each.invert_yaxis()
    each.set_xlabel("seconds of its worker")
    each.set_ylabel("trial")
    left_out = f" The last {_MOST_BARS} of {len(use.trials)} trials are drawn." if len(shown) < len(use.trials) else ""
    gap = "" if use.is_recorded else " What went into an epoch is not recorded in this ledger."
    caption = f"Where the time went: {use}.{left_out}{gap}"
    return as_picture(figure, "Worker time by what it went into, in all and for each trial", caption, is_wide=True)


def _stack(axes: Axes, names: Sequence[str], bars: Sequence[Mapping[str, float]], parts: Sequence[str]) -> None:
    left = [0.0] * len(bars)
    for part, colour in zip(PARTS, _COLOURS, strict=True):
        if part in parts:
            widths = [bar.get(part, 0.0) for bar in bars]
            axes.barh(list(names), widths, left=left, color=colour, label=part, height=0.75)
            left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.grid(axis="y", visible=False)
