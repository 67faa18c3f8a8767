"""The sweep's own page in MLflow: leaderboard and history of the search in its description, and the trials' view."""

import time
from collections.abc import Mapping

from search.observer import SweepStarted, TrialEnded, TrialSummary
from search.report import LEADERBOARD_SCORES, draw_history, leaderboard, plain_scores, rank, score_name, telling_columns
from search.tracking.saved_view import VIEW_TAG, saved_view
from search.tracking.tracked_runs import TrackedRuns, metrics_at
from search.trial import TrialState

HISTORY_FILE = "optimisation_history.png"
PICTURE_PAUSE_S = 30.0  # drawing takes 0.2 s


def warning_note(warning: str) -> str:
    """What everyone who reads a run's description must know first, as Markdown; empty if there is nothing."""
    return f"**{warning}**\n\n" if warning else ""


class SweepPage:
    """Keeps the page of one sweep up to date, cheaply: the picture is drawn anew only now and then."""

    def __init__(self, runs: TrackedRuns, run_id: str, sweep: SweepStarted, warning: str = "") -> None:
        self._warning = warning
        self._runs = runs
        self._run_id = run_id
        self._sweep = sweep
        self._drawn_at_s = -PICTURE_PAUSE_S
        self._view = ""

    def add_best(self, trials: Mapping[int, TrialSummary], event: TrialEnded) -> None:
        """Add a point to the curve of the best value so far."""
        best = rank(tuple(trials.values()), self._sweep.direction)
        if best and event.result.state is TrialState.COMPLETED:
            value = plain_scores({f"best/{score_name(self._sweep.objective)}": float(best[0].value or 0.0)})
            self._runs.client.log_batch(self._run_id, metrics=metrics_at(value, event.number, event.at_ms))

    def update(self, trials: Mapping[int, TrialSummary], run_ids: Mapping[int, str], final: bool = False) -> None:
        """Write the leaderboard and the trials' view, and draw the history if it is old or final."""
        sweep, listed = self._sweep, tuple(trials.values())
        links = {number: f"#/experiments/{self._runs.experiment_id}/runs/{run}" for number, run in run_ids.items()}
        note = warning_note(self._warning) + leaderboard(listed, sweep.objective, sweep.direction, links)
        # Relative, so that it holds behind any host and prefix.
        note += f"\n\n![history of the search](get-artifact?path={HISTORY_FILE}&run_uuid={self._run_id})"
        self._runs.set_tags(self._run_id, {"mlflow.note.content": note})
        self._update_view(listed)
        if final or time.monotonic() - self._drawn_at_s > PICTURE_PAUSE_S:
            figure = draw_history(listed, sweep.objective, sweep.direction)
            self._runs.client.log_figure(self._run_id, figure, HISTORY_FILE)
            self._drawn_at_s = time.monotonic()

    def _update_view(self, trials: tuple[TrialSummary, ...]) -> None:
        score = score_name(self._sweep.objective)
        scores, hyperparameters = telling_columns(trials, score)
        view = saved_view(score, scores[:LEADERBOARD_SCORES], hyperparameters, self._sweep.direction == "minimize")
        if view != self._view:
            self._runs.client.set_experiment_tag(self._runs.experiment_id, VIEW_TAG, view)
            self._view = view
