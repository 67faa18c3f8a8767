"""The report of one sweep as one HTML file that needs nothing beside it: figures, patches and style
are inside.
"""

import base64
from dataclasses import dataclass
from pathlib import Path

from core.durable_files import write_atomically
from core.html_page import render_html
from search.comparison.error_figures import draw_accuracy, draw_confusion, draw_finalists, draw_reliability
from search.comparison.figures import Picture, report_style
from search.comparison.leaderboard import report_table
from search.comparison.search_figures import (
    LEAST_TRIALS,
    completed_trials,
    draw_contour,
    draw_curves,
    draw_fit,
    draw_history,
    draw_importance,
    draw_parallel,
    draw_slices,
    trials_outside,
    varied_names,
)
from search.comparison.sweep_report import SweepReport
from search.comparison.tables import (
    Table,
    against_baseline_table,
    costs_table,
    counts_text,
    data_table,
    finalists_table,
    hyperparameters_table,
    paired_text,
    score_text,
    trials_table,
)
from search.comparison.time_figures import draw_time_use, time_table
from search.comparison.trial_table import trial_file
from search.ledger.ranking import readable_duration, score_name
from search.ledger.state import TrialRecord
from search.ledger.time_use import read_time_use
from search.objectives.tasks import RETRIEVAL_PICTURE
from search.sweep.known_sweeps import KnownSweep
from search.tracking.runs import find_sweep_run
from search.tracking.store import TrackingStore, tracking_errors

REPORT_FILE = "report.html"
_TEMPLATE = "report.html.j2"
_FOUND_WIDTH_PX = 1056  # drawn 1320 wide, sharp also where it is enlarged


@dataclass(frozen=True)
class Pictures:
    """The report's figures; `None` where there is too little to draw.

    Attributes:
        history: of the search.
        importance: of the hyperparameters.
        parallel: coordinates.
        slices: one hyperparameter at a time.
        contour: two hyperparameters.
        curves: of all trials.
        fit: of the chosen one.
        finalists: under fresh seeds.
        confusion: of writers.
        accuracy: by the amount of writing.
        reliability: of the probabilities.
        time_use: what worker time went into.
        found: how well pages by unseen writers are found.
    """

    history: Picture | None
    importance: Picture | None
    parallel: Picture | None
    slices: Picture | None
    contour: Picture | None
    curves: Picture | None
    fit: Picture | None
    finalists: Picture | None
    confusion: Picture | None
    accuracy: Picture | None
    reliability: Picture | None
    time_use: Picture | None
    found: Picture | None


def write_report(report: SweepReport, folder: Path) -> Path:
    """Write the page into a folder; it appears whole or not at all."""
    path = folder / REPORT_FILE
    write_atomically(path, render_report(report).encode())
    return path


def render_report(report: SweepReport) -> str:
    """The page as text."""
    with report_style():
        pictures = draw_pictures(report)
    tables, facts = _tables(report), _facts(report)
    return render_html("search.comparison", _TEMPLATE, report=report, pictures=pictures, tables=tables, facts=facts)


def draw_pictures(report: SweepReport) -> Pictures:
    """Draw all that there is enough for."""
    metric, direction = report.metric, report.direction
    best = report.chosen.trial if report.chosen else None
    number = best.number if best else None
    study, mistakes, ranking = report.study, report.mistakes, report.finalists
    order = list(dict.fromkeys([*report.importance, *varied_names(study)]))
    return Pictures(
        history=draw_history(study, metric, direction),
        importance=draw_importance(study, report.importance),
        parallel=draw_parallel(study, order, metric),
        slices=draw_slices(study, order, metric),
        contour=draw_contour(study, order, metric),
        curves=draw_curves(
            list(report.sweep.state.trials.values()),
            metric,
            direction,
            number,
            report.baseline.number if report.baseline else None,
        ),
        fit=draw_fit(best, f"trial {best.number:03d}") if best else None,
        finalists=draw_finalists(ranking, {f.trial: report.row(f.trial).name for f in ranking.finalists})
        if ranking and any(finalist.repeats for finalist in ranking.finalists)
        else None,
        confusion=draw_confusion(mistakes.confusion, mistakes.writer_ids, mistakes.order, "images")
        if mistakes
        else None,
        accuracy=draw_accuracy(mistakes.amounts, len(mistakes.writer_ids)) if mistakes and mistakes.amounts else None,
        reliability=draw_reliability(mistakes.reliability) if mistakes and mistakes.reliability else None,
        time_use=draw_time_use(read_time_use(report.sweep.state)),
        found=_found_picture(best) if best else None,
    )


def _found_picture(trial: TrialRecord) -> Picture | None:
    """The picture that a trial left of the pages it found; `None` if it left none."""
    path = trial_file(trial, RETRIEVAL_PICTURE)
    if path is None:
        return None
    source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    caption = (
        f"Validation pages by writers whom trial {trial.number:03d} was not trained on. Left: how alike two pages are. "
        "Right: how well the other pages of each page's writer are found, from 0 to 1."
    )
    return Picture(source, "How well pages by unseen writers are found", caption, True, _FOUND_WIDTH_PX)


def flattery_text(report: SweepReport) -> str:
    """By how much the search's value of its favourite was too good, in a sentence; empty without
    finalists.
    """
    ranking = report.finalists
    spread = ranking.flattery(ranking.favourite) if ranking else None
    if ranking is None or spread is None:
        return ""
    favourite, name = ranking.favourite, score_name(ranking.metric)
    mean = favourite.spread.mean if favourite.spread else float("nan")
    interval = f" (95 % {spread.low:+.3g} to {spread.high:+.3g})" if spread.low is not None else ""
    verb = "flattered it" if spread.mean > 0 else "did not flatter it; the difference is"
    n = f"{spread.n} fresh fit{'s' if spread.n > 1 else ''} of the same point"
    return (
        f"Trial {favourite.trial:03d} had the best {name} that the search saw, {favourite.search_value:.4g}; {n} gave "
        f"{mean:.4g} on average: the search {verb} by {abs(spread.mean):.3g}{interval}."
    )


def _tables(report: SweepReport) -> dict[str, Table | None]:
    best = report.row(report.chosen.trial.number) if report.chosen else None
    baseline = report.row(report.baseline.number) if report.baseline else None
    has_both = best is not None and baseline is not None and best.number != baseline.number
    return {
        "leaderboard": report_table(report.leaderboard),
        "trials": trials_table(report.rows, report.metric, varied_names(report.study)),
        "finalists": finalists_table(report.finalists) if report.finalists else None,
        "baseline": against_baseline_table(best, baseline, report.metric) if best and baseline and has_both else None,
        "hyperparameters": hyperparameters_table(best, baseline) if best and baseline and has_both else None,
        "costs": costs_table(report.sweep, report.finalists, report.finalist_costs),
        "time": time_table(read_time_use(report.sweep.state)),
        "data": data_table(report.corpus) if report.corpus else None,
    }


def _corpus_report_text(report: SweepReport) -> str:
    if report.corpus is None:
        return ""
    corpus_report = report.corpus.corpus_report
    text = f"Found {corpus_report.n_found:,} images: {corpus_report.n_used:,} used"
    text += f", {corpus_report.n_not_chosen:,} excluded on purpose" if corpus_report.n_not_chosen else ""
    return text + (f", {corpus_report.n_unusable:,} unusable." if corpus_report.n_unusable else ".")


def _importance_gap(report: SweepReport) -> str:
    """Why there is no importance, in a sentence; empty where there is."""
    n = len(completed_trials(report.study))
    if report.importance:
        return ""
    if n < LEAST_TRIALS:
        return f"Importance needs {LEAST_TRIALS} completed trials that lie in the space; there are {n}."
    return f"Importance needs trials that differ: these {n} have the same value, or the same hyperparameters."


def _facts(report: SweepReport) -> dict[str, str]:
    """Sentences and figures that the page shows in several places."""
    state = report.sweep.state
    best = report.row(report.chosen.trial.number) if report.chosen else None
    asked_s = sum(trial.ask_s for trial in state.trials.values())
    return {
        "best": score_text(score_name(report.metric), best.score) if best else "",
        "best_name": best.name if best else "",
        "counts": counts_text(report.sweep),
        "elapsed": readable_duration(state.elapsed_s(state.last_ms)),
        "asked": readable_duration(asked_s),
        "patches": f"{state.n_patches:,}",
        "flattery": flattery_text(report),
        "importance_gap": _importance_gap(report),
        "outside": ", ".join(f"{number:03d}" for number in trials_outside(report.study)),
        "corpus_report": _corpus_report_text(report),
        "disk": report.disk,
        "paired": paired_text(report.paired, report.item) if report.paired else "",
        "goal": "lower is better" if report.direction == "minimize" else "higher is better",
    }


def record_report(sweep: KnownSweep, path: Path, store: TrackingStore) -> str | None:
    """Log the report as an artifact of the sweep's run, over an earlier one.

    Returns:
        The run's id; `None` if the sweep was never tracked there.

    Raises:
        TrackingError: if the store cannot be written.
    """
    run = find_sweep_run(store, sweep.created.name, sweep.created.sweep_id)
    if run is None:
        return None
    with tracking_errors(f"record the report of {sweep.created.name!r}", store):
        store.client().log_artifact(run.info.run_id, str(path))
    return str(run.info.run_id)
