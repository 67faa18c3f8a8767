"""The sweep's own page in MLflow: leaderboard and history of the search in its description, and the trials' view."""

import time
from collections.abc import Callable, Mapping

from search.ledger.ranking import (
    LEADERBOARD_SCORES,
    draw_history,
    leaderboard,
    plain_scores,
    rank,
    score_name,
    telling_columns,
)
from search.ledger.trial import TrialState
from search.sweep.observer import SweepStarted, TrialEnded, TrialSummary
from search.tracking.runs import TrackedRuns, metrics_at
from search.tracking.saved_view import VIEW_TAG, saved_view

HISTORY_FILE = "optimisation_history.png"
TEXT_PAUSE_S, PICTURE_PAUSE_S = 2.0, 30.0
_PAUSE_SHARE = 30.0
"""After each update so many times its duration must pass: its cost grows with the trials, the sweep's must not."""


def warning_note(warning: str) -> str:
    """What everyone who reads a run's description must know first, as Markdown; empty if there is nothing."""
    return f"**{warning}**\n\n" if warning else ""


class SweepPage:
    """Keeps the page of one sweep up to date, cheaply: text and picture are made anew only now and then."""

    def __init__(self, runs: TrackedRuns, run_id: str, sweep: SweepStarted, warning: str = "") -> None:
        self._warning = warning
        self._runs = runs
        self._run_id = run_id
        self._sweep = sweep
        self._text = _Turn(TEXT_PAUSE_S)
        self._picture = _Turn(PICTURE_PAUSE_S)
        self._view = ""
        self._is_old = False
        self._best: float | None = None

    def begin(self, trials: Mapping[int, TrialSummary]) -> None:
        """Take up what earlier launches have found."""
        best = rank(tuple(trials.values()), self._sweep.direction)
        self._best = best[0].value if best else None

    def add(self, event: TrialEnded) -> None:
        """Add a point to the curve of the best value so far; `refresh` shows the trial on the page."""
        self._is_old = True
        value = event.result.value
        if event.result.state is not TrialState.COMPLETED or value is None:
            return
        better = min if self._sweep.direction == "minimize" else max
        self._best = value if self._best is None else better(self._best, value)
        point = plain_scores({f"best/{score_name(self._sweep.objective)}": float(self._best)})
        self._runs.client.log_batch(self._run_id, metrics=metrics_at(point, event.number, event.at_ms))

    def refresh(self, trials: Mapping[int, TrialSummary], run_ids: Mapping[int, str]) -> None:
        """Bring the page up to date if trials have ended since and it is time."""
        if self._is_old and self._text.is_due:
            self._is_old = False
            with self._text:
                self._write(trials, run_ids, "")
            if self._picture.is_due:
                with self._picture:
                    self._draw(trials)

    def finish(self, trials: Mapping[int, TrialSummary], run_ids: Mapping[int, str], remark: str = "") -> None:
        """Bring the page up to date for the end of a launch.

        Args:
            trials: all of the sweep.
            run_ids: MLflow's, by the trials' numbers.
            remark: to stand below the leaderboard.
        """
        self._write(trials, run_ids, remark)
        self._draw(trials)

    def _write(self, trials: Mapping[int, TrialSummary], run_ids: Mapping[int, str], remark: str) -> None:
        sweep, listed = self._sweep, tuple(trials.values())
        links = {number: f"#/experiments/{self._runs.experiment_id}/runs/{run}" for number, run in run_ids.items()}
        note = warning_note(self._warning) + leaderboard(listed, sweep.objective, sweep.direction, links)
        note += f"\n\n{remark}" if remark else ""
        # Relative, so that it holds behind any host and prefix.
        note += f"\n\n![history of the search](get-artifact?path={HISTORY_FILE}&run_uuid={self._run_id})"
        self._runs.set_tags(self._run_id, {"mlflow.note.content": note})
        self._update_view(listed)

    def _draw(self, trials: Mapping[int, TrialSummary]) -> None:
        figure = draw_history(tuple(trials.values()), self._sweep.objective, self._sweep.direction)
        self._runs.client.log_figure(self._run_id, figure, HISTORY_FILE)

    def _update_view(self, trials: tuple[TrialSummary, ...]) -> None:
        score = score_name(self._sweep.objective)
        scores, hyperparameters = telling_columns(trials, score)
        view = saved_view(score, scores[:LEADERBOARD_SCORES], hyperparameters, self._sweep.direction == "minimize")
        if view != self._view:
            self._runs.client.set_experiment_tag(self._runs.experiment_id, VIEW_TAG, view)
            self._view = view


class _Turn:
    """Something that is done in a `with` block, and not again for a while that grows with how long it took."""

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
