"""How a sweep reads: a trial's short name, the leaderboard, the history of the search as a picture."""

from collections.abc import Mapping, Sequence
from typing import Literal

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from core.space import Point
from search.ledger.trial import TrialState
from search.sweep.observer import TrialSummary

Direction = Literal["minimize", "maximize"]
LEADERBOARD_LENGTH = 10
LEADERBOARD_SCORES = 3
SCORE_DIGITS = 5
NO_BREAK_SPACE = "\u00a0"
COUNTED_STATES = (TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED, TrialState.PAUSED, TrialState.RUNNING)
SCORE_ORDER = ("page_top1", "image_top1", "patch_top1", "page_logloss", "image_logloss", "patch_logloss")


def trial_name(number: int, hyperparameters: Point) -> str:
    """A name that tells trials apart in a table or a legend.

    Blocks x convolutions a block x filters of the first block, then what else stands out.

    >>> trial_name(7, {"n_blocks": 4, "convolutions_per_block": 2, "filters": 32, "batch_norm": True, "input_px": 56})
    '007 4x2x32 56px bn'
    >>> trial_name(12, {"x": 0.5})
    'trial 012'
    """
    shape = [hyperparameters.get(name) for name in ("n_blocks", "convolutions_per_block", "filters")]
    if None in shape:
        return f"trial {number:03d}"
    words = [f"{number:03d}", "x".join(map(str, shape))]
    if "input_px" in hyperparameters:
        words.append(f"{hyperparameters['input_px']}px")
    if hyperparameters.get("batch_norm") is True:
        words.append("bn")
    return " ".join(words)


def score_name(metric: str) -> str:
    """The name of a trial's final score: that of the epochs' metric without `val/`.

    The prefix parts the two: a curve ends at the last epoch, the score belongs to the best weights.

    >>> score_name("val/image_logloss"), score_name("train/loss")
    ('image_logloss', 'train/loss')
    """
    return metric.removeprefix("val/")


def plain_scores(metrics: Mapping[str, float]) -> dict[str, float]:
    """Final scores under their short names, with as many digits as a table's column shows.

    >>> plain_scores({"val/image_logloss": 0.675065091, "n": 1234567.0})
    {'image_logloss': 0.67507, 'n': 1234567.0}
    """
    return {score_name(name): _shown(float(value)) for name, value in metrics.items()}


def rank(trials: Sequence[TrialSummary], direction: Direction) -> list[TrialSummary]:
    """The completed trials, the best first, the earlier one at a tie."""
    sign = 1.0 if direction == "minimize" else -1.0
    completed = [trial for trial in trials if trial.state is TrialState.COMPLETED and trial.value is not None]
    return sorted(completed, key=lambda trial: (sign * float(trial.value or 0.0), trial.number))


def count_states(trials: Sequence[TrialSummary]) -> str:
    """How many trials are in which state, such as `12 completed, 3 pruned`."""
    counts = [(sum(trial.state is state for trial in trials), state) for state in COUNTED_STATES]
    return ", ".join(f"{count} {state}" for count, state in counts if count) or "no trials yet"


def leaderboard(
    trials: Sequence[TrialSummary], objective: str, direction: Direction, links: Mapping[int, str] | None = None
) -> str:
    """The best trials as a Markdown table, narrow enough for a run's description in MLflow.

    Args:
        trials: of the sweep, in any order and state.
        objective: the metric that was searched for; its column comes first.
        direction: whether low or high values are better.
        links: address of a trial's page by its number.
    """
    best = rank(trials, direction)[:LEADERBOARD_LENGTH]
    goal = "lower" if direction == "minimize" else "higher"
    summary = f"**{count_states(trials)}**, ranked by `{score_name(objective)}` ({goal} is better)"
    if not best:
        return summary
    scores = telling_columns(best, score_name(objective))[0][:LEADERBOARD_SCORES]
    header = ["", "trial", score_name(objective), *scores, "time"]
    rows = [header, ["---:", "---", *("---:" for _ in header[2:])]]
    for place, trial in enumerate(best, start=1):
        name, metrics = trial_name(trial.number, trial.hyperparameters), plain_scores(trial.metrics)
        rows.append(
            [
                str(place),
                f"[{name}]({links[trial.number]})" if links and trial.number in links else name,
                f"{trial.value:.4g}",
                *(_score(score, metrics.get(score)) for score in scores),
                readable_duration(trial.duration_s),
            ]
        )
    lines = [f"| {' | '.join(_padded(cell) for cell in row)} |" for row in rows]
    return "\n".join([summary, "", *lines])


def telling_columns(trials: Sequence[TrialSummary], score: str) -> tuple[list[str], list[str]]:
    """What to show of trials beside their score: the other main scores, and the hyperparameters that differ."""
    there = {score_name(name) for trial in trials for name in trial.metrics}
    names = dict.fromkeys(name for trial in trials for name in trial.hyperparameters)
    differing = [name for name in names if len({str(trial.hyperparameters.get(name)) for trial in trials}) > 1]
    return [name for name in SCORE_ORDER if name in there and name != score], differing


def readable_duration(duration_s: float) -> str:
    """Seconds as a short text.

    >>> readable_duration(8.31), readable_duration(75), readable_duration(7325)
    ('8.3 s', '1 min 15 s', '2 h 2 min')
    """
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def draw_history(trials: Sequence[TrialSummary], objective: str, direction: Direction) -> Figure:
    """Draw each trial's value over its number, and the best so far as a line.

    Pruned and failed trials, which have no value, are ticks at the lower edge. Made without pyplot: that keeps global
    state and is not for use in a thread.
    """
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    completed = sorted(rank(trials, direction), key=lambda trial: trial.number)
    if completed:
        numbers = [trial.number for trial in completed]
        values = [float(trial.value or 0.0) for trial in completed]
        better = min if direction == "minimize" else max
        best_so_far = [better(values[: place + 1]) for place in range(len(values))]
        axes.step(numbers, best_so_far, where="post", color="#0b6e99", linewidth=2, label="best so far")
        axes.plot(numbers, values, "o", color="#0b6e99", alpha=0.55, label="completed")
        winner = rank(trials, direction)[0]
        axes.plot(
            winner.number,
            float(winner.value or 0.0),
            "*",
            color="#d9730d",
            markersize=16,
            label=f"best: {winner.number:03d}",
        )
    for state, colour in ((TrialState.PRUNED, "#8a8a8a"), (TrialState.FAILED, "#c4322c")):
        numbers = [trial.number for trial in trials if trial.state is state]
        if numbers:
            edge = [0.02] * len(numbers)
            axes.plot(
                numbers, edge, "|", color=colour, markersize=12, transform=axes.get_xaxis_transform(), label=state
            )
    axes.set_xlabel("trial")
    axes.set_ylabel(f"{score_name(objective)} ({'lower' if direction == 'minimize' else 'higher'} is better)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper center", ncols=5, frameon=False)
    return figure


def _score(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if "logloss" in name else f"{100 * value:.1f} %"


def _padded(cell: str) -> str:
    """MLflow shows tables without space between the columns."""
    return cell if set(cell) <= set(":-") else f"{cell.replace(' ', NO_BREAK_SPACE)}{NO_BREAK_SPACE * 3}"


def _shown(value: float) -> float:
    return value if value.is_integer() else float(f"{value:.{SCORE_DIGITS}g}")
