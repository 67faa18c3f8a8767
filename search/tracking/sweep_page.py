"""The sweep's own page in MLflow: leaderboard and history of the search in its description, and the
trials' view.
"""

import time
from collections.abc import Callable, Collection, Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from search.ledger.events import SegmentEnded
from search.ledger.ranking import (
    SCORE_ORDER,
    Direction,
    count_states,
    plain_scores,
    rank,
    readable_duration,
    score_name,
    trial_name,
)
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.tracking.metrics import metrics_at
from search.tracking.runs import VIEW_TAG, TrackedRuns, saved_view

LEADERBOARD_LENGTH = 10
LEADERBOARD_SCORES = 3
NOTE_TAG = "mlflow.note.content"
"""What MLflow shows as a run's description, as Markdown."""
TRACEBACK_FILE = "traceback.txt"
NO_BREAK_SPACE = "\u00a0"


def leaderboard(
    trials: Collection[TrialRecord], objective: str, direction: Direction, links: Mapping[int, str] | None = None
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


def telling_columns(trials: Collection[TrialRecord], score: str) -> tuple[list[str], list[str]]:
    """What to show of trials beside their score: the other main scores, and the hyperparameters
    that differ.
    """
    there = {score_name(name) for trial in trials for name in trial.metrics}
    names = dict.fromkeys(name for trial in trials for name in trial.hyperparameters)
    differing = [name for name in names if len({str(trial.hyperparameters.get(name)) for trial in trials}) > 1]
    return [name for name in SCORE_ORDER if name in there and name != score], differing


def draw_history(trials: Collection[TrialRecord], objective: str, direction: Direction) -> Figure:
    """Draw each trial's value over its number, and the best so far as a line.

    Pruned and failed trials, which have no value, are ticks at the lower edge. Made without pyplot:
    that keeps global state and is not for use in a thread.
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


HISTORY_FILE = "optimisation_history.png"
TEXT_PAUSE_S, PICTURE_PAUSE_S = 2.0, 30.0
_PAUSE_SHARE = 30.0
"""After each update so many times its duration must pass: its cost grows with the trials, the
sweep's must not.
"""


def warning_note(warning: str) -> str:
    """What everyone who reads a run's description must know first, as Markdown; empty if there is
    nothing.
    """
    return f"**{warning}**\n\n" if warning else ""


def annotations(trial: TrialRecord, warning: str) -> dict[str, str]:
    """The user's tags, and the run's description: warning, note, failure."""
    result = trial.result
    failure = ""
    if result is not None and result.state is TrialState.FAILED:
        failure = f"**Failed:** {result.reason} (whole story in `{TRACEBACK_FILE}`)"
    if trial.note is None and not failure:
        return dict(trial.tags)  # a text that somebody wrote in MLflow stays
    parts = (warning_note(warning).strip(), trial.note or "", failure)
    return {**trial.tags, NOTE_TAG: "\n\n".join(filter(None, parts))}


class SweepPage:
    """Keeps the page of one sweep up to date, cheaply: text and picture are made anew only now and
    then.
    """

    def __init__(self, runs: TrackedRuns, run_id: str, objective: str, direction: Direction, warning: str = "") -> None:
        self._warning = warning
        self._runs = runs
        self._run_id = run_id
        self._objective = objective
        self._direction = direction
        self._text = _Turn(TEXT_PAUSE_S)
        self._picture = _Turn(PICTURE_PAUSE_S)
        self._view = ""
        self._is_old = False

    def begin(self, trials: Mapping[int, TrialRecord]) -> None:
        """Make the view of the trials that `whosehand ui` opens, before the first one has ended."""
        self._update_view(tuple(trials.values()))

    def add(self, event: SegmentEnded, trial: TrialRecord, trials: Mapping[int, TrialRecord]) -> None:
        """Add a point to the curve of the best value so far; `refresh` shows the trial on the page.

        The point follows from the trials that had ended by then, so that it is the same whenever it
        is told.
        """
        self._is_old = True
        if trial.state is not TrialState.COMPLETED or trial.value is None:
            return
        ended_by_then = (each for each in trials.values() if each.ended and each.ended.at_ms <= event.at_ms)
        best = rank(ended_by_then, self._direction)[0]
        point = plain_scores({f"best/{score_name(self._objective)}": float(best.value or 0.0)})
        new = self._runs.without_known(self._run_id, metrics_at(point, trial.number, event.at_ms))
        if new:
            self._runs.client.log_batch(self._run_id, metrics=new)

    def refresh(self, trials: Mapping[int, TrialRecord], run_ids: Mapping[int, str]) -> None:
        """Bring the page up to date if trials have ended since and it is time."""
        if self._is_old and self._text.is_due:
            self._is_old = False
            with self._text:
                self._write(trials, run_ids, "")
            if self._picture.is_due:
                with self._picture:
                    self._draw(trials)

    def finish(self, trials: Mapping[int, TrialRecord], run_ids: Mapping[int, str], remark: str = "") -> None:
        """Bring the page up to date for the end of a launch.

        Args:
            trials: all of the sweep.
            run_ids: MLflow's, by the trials' numbers.
            remark: to stand below the leaderboard.
        """
        self._write(trials, run_ids, remark)
        self._draw(trials)

    def _write(self, trials: Mapping[int, TrialRecord], run_ids: Mapping[int, str], remark: str) -> None:
        listed = tuple(trials.values())
        links = {number: f"#/experiments/{self._runs.experiment_id}/runs/{run}" for number, run in run_ids.items()}
        note = warning_note(self._warning) + leaderboard(listed, self._objective, self._direction, links)
        note += f"\n\n{remark}" if remark else ""
        # Relative, so that it holds behind any host and prefix.
        note += f"\n\n![history of the search](get-artifact?path={HISTORY_FILE}&run_uuid={self._run_id})"
        self._runs.set_tags(self._run_id, {NOTE_TAG: note})
        self._update_view(listed)

    def _draw(self, trials: Mapping[int, TrialRecord]) -> None:
        figure = draw_history(tuple(trials.values()), self._objective, self._direction)
        self._runs.client.log_figure(self._run_id, figure, HISTORY_FILE)

    def _update_view(self, trials: Collection[TrialRecord]) -> None:
        score = score_name(self._objective)
        scores, hyperparameters = telling_columns(trials, score)
        view = saved_view(score, scores[:LEADERBOARD_SCORES], hyperparameters, self._direction == "minimize")
        if view != self._view:
            self._runs.client.set_experiment_tag(self._runs.experiment_id, VIEW_TAG, view)
            self._view = view


class _Turn:
    """Something that is done in a `with` block, and not again for a while that grows with how long
    it took.
    """

    def __init__(self, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_s = pause_s
        self._clock = clock
        self._began_s = self._due_s = clock()

    @property
    def is_due(self) -> bool:
        return self._clock() >= self._due_s

    def __enter__(self) -> None:
        self._began_s = self._clock()

    def __exit__(self, *_: object) -> None:
        now_s = self._clock()
        self._due_s = now_s + max(self._pause_s, _PAUSE_SHARE * (now_s - self._began_s))
