"""`whosehand status` and `whosehand show`: what sweeps there are, how far they are, and one trial
whole.
"""

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.errors import LedgerError
from search.cli.common import SweepName, complete_sweeps, current_workspace, output, print_table, visible

if TYPE_CHECKING:
    from search.ledger.state import TrialRecord
    from search.sweep.known_sweeps import KnownSweep
    from search.sweep.status import SweepOverview

_WATCH_S = 2.0
_STYLES = {"running": "bold green", "failed": "bold red", "damaged": "bold red", "killed": "yellow"}


def status(
    sweep: Annotated[
        str | None,
        typer.Argument(
            metavar="[SWEEP]", help="One sweep's name.", show_default="all sweeps", autocompletion=complete_sweeps
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every two seconds, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")] = False,
) -> None:
    """List the sweeps of this folder: state, trials, best value, time left, and what runs now.

    It reads their ledgers alone, which disturbs no running sweep and needs no MLflow.
    """
    if watch and not as_json:
        _watch(sweep)
        return
    found = _look(sweep)
    if as_json:
        output.print_json(json.dumps({"sweeps": [each.as_json() for each in found]}))
    elif not found:
        output.print("There is no sweep here yet; `whosehand sweep EXPERIMENT` makes one.")
    else:
        output.print(_drawn(found, has_details=sweep is not None), soft_wrap=False)


def show(
    sweep: SweepName,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="The trial's number.", min=0, show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")] = False,
) -> None:
    """Show one TRIAL of SWEEP whole: point, learning curve, scores, files, and its run in
    MLflow.
    """
    from search.sweep.known_sweeps import read_sweep
    from search.sweep.status import trial_as_json

    known = read_sweep(sweep, current_workspace())
    record = known.state.trials.get(trial)
    if record is None:
        n_trials = len(known.state.trials)
        there = f"trials 0 to {n_trials - 1}" if n_trials else "no trial yet"
        raise LedgerError(f"{sweep} has {there}, but got {trial}.")
    if as_json:
        output.print_json(json.dumps(trial_as_json(record)))
        return
    _print_trial(known, record)


def _look(sweep: str | None) -> "list[SweepOverview]":
    from search.sweep.status import list_sweeps, look_at_sweep

    now_ms, workspace = time.time_ns() // 1_000_000, current_workspace()
    if sweep is None:
        return list_sweeps(workspace, now_ms)
    from search.sweep.known_sweeps import find_sweep  # which reads whole experiments: not for the list

    return [look_at_sweep(find_sweep(sweep, workspace), now_ms)]


def _watch(sweep: str | None) -> None:
    from rich.live import Live

    try:
        with Live(console=output, auto_refresh=False, screen=output.is_terminal) as live:
            while True:
                live.update(_drawn(_look(sweep), has_details=True), refresh=True)
                time.sleep(_WATCH_S)
    except KeyboardInterrupt:
        return


def _drawn(found: "list[SweepOverview]", has_details: bool) -> RenderableType:
    from search.sweep.sweep_view import clock

    table = Table(box=None, pad_edge=False, collapse_padding=True, padding=(0, 2, 0, 0))
    for name in ("sweep", "state", "trials", "best", "budget", "left"):
        table.add_column(name, overflow="fold")
    for each in found:
        best = "-" if each.best is None else f"{each.best.value:.4g} (trial {each.best.number})"
        table.add_row(
            each.name,
            Text(each.condition, style=_STYLES.get(each.condition, "")),
            _counts(each),
            best,
            each.budget or "-",
            clock(each.remaining_s) if each.condition == "running" else "-",
        )
    running = [each for each in found if each.running]
    parts: list[RenderableType] = [table, *(_running_table(each) for each in running)]
    if has_details:
        parts += [Text(visible(f"{each.name}: {each.reason}")) for each in found if each.reason]
        parts += [Text(visible(f"{each.name}: its driver is {each.where}")) for each in found if each.where]
    return Group(*parts)


def _counts(overview: "SweepOverview") -> str:
    counts = overview.counts or {}
    n_running = len(overview.running)
    words = {"completed": "done"}
    shown = [f"{count} {words.get(state, state)}" for state, count in counts.items() if count and state != "running"]
    n_waiting = counts.get("running", 0) - n_running  # type: ignore[call-overload]
    shown += [f"{n_running} running"] if n_running else []
    shown += [f"{n_waiting} unfinished"] if n_waiting > 0 else []
    return ", ".join(shown) or "none yet"


def _running_table(overview: "SweepOverview") -> Table:
    from search.sweep.sweep_view import clock

    table = Table(box=None, pad_edge=False, collapse_padding=True, padding=(0, 2, 0, 0), title="")
    for name in (f"running in {overview.name}", "epoch", overview.metric, "since", "where"):
        table.add_column(name, overflow="fold")
    for trial in overview.running:
        value = trial.reports[-1].report.metrics.get(overview.metric) if trial.reports else None
        table.add_row(
            f"trial {trial.number}",
            f"{trial.n_epochs}/{trial.proposed.horizon_epochs}",
            "-" if value is None else f"{value:.4g}",
            clock((overview.now_ms - trial.starts[-1].at_ms) / 1000),
            _where(trial),
        )
    return table


def _where(trial: "TrialRecord") -> str:
    """Process and host of its latest worker, as far as they are known."""
    start = trial.starts[-1]
    return visible(" on ".join(part for part in (f"process {start.pid}" if start.pid else "", start.host) if part))


def _print_trial(known: "KnownSweep", record: "TrialRecord") -> None:
    from search.ledger.ranking import readable_duration
    from search.ledger.time_use import trial_time
    from search.sweep.status import hosts_of

    metric = known.experiment.objective.metric
    output.print(f"trial {record.number} of {known.created.name}: {record.state}")
    if record.reason:
        output.print(f"  reason     {record.reason}")
    if record.value is not None:
        output.print(f"  {metric}  {record.value:.6g}")
    if record.note:
        output.print(f"  note       {visible(record.note)}")
    if record.tags:
        output.print(f"  tags       {visible(', '.join(f'{key}={text}' for key, text in record.tags.items()))}")
    attempts = f"{record.n_attempts} attempt{'' if record.n_attempts == 1 else 's'}, {record.n_lost} lost"
    if record.nodes_lost_at:
        attempts += f", {len(record.nodes_lost_at)} lost with their nodes"
    if hosts := hosts_of(record):
        attempts += visible(f", on {', '.join(hosts)}")
    output.print(
        f"  trained    {record.n_epochs} of {record.proposed.horizon_epochs} epochs, {record.n_patches:,} patches, "
        f"{readable_duration(record.duration_s)}"
    )
    output.print(f"  workers    {attempts}; seed {record.seed}")
    if time_use := str(trial_time(record)):
        output.print(f"  time       {time_use}")
    searched = set(record.proposed.point) - set(known.experiment.space.fixed)
    rows = [
        (name, str(value), "searched" if name in searched else "") for name, value in record.hyperparameters.items()
    ]
    print_table(("hyperparameter", "value", ""), rows, n_text_columns=3)
    _print_curve(record, metric)
    if record.result is not None and record.result.metrics:
        scores = [(name, f"{value:.6g}") for name, value in record.result.metrics.items()]
        print_table(("score", "value"), scores)
    _print_files(known, record)


def _print_curve(record: "TrialRecord", metric: str) -> None:
    if not record.reports:
        return
    others = ("train/loss", "val/image_top1", "val/page_top1", "val/retrieval_top1", "val/retrieval_eer")
    names = [metric, *(name for name in others if name != metric)]
    there = [name for name in names if any(name in event.report.metrics for event in record.reports)]
    rows = [
        (
            str(event.report.epoch),
            *(f"{event.report.metrics[name]:.4g}" if name in event.report.metrics else "-" for name in there),
            f"{event.report.duration_s:.1f}",
            "" if event.decision == "go" else str(event.decision),
        )
        for event in record.reports
    ]
    print_table(("epoch", *there, "seconds", "decision"), rows, n_text_columns=0)


def _print_files(known: "KnownSweep", record: "TrialRecord") -> None:
    from search.ledger.ranking import trial_name
    from search.sweep.plan import trial_dir

    files = {} if record.result is None else {name: file.path for name, file in record.result.artifacts.items()}
    if record.result is not None and record.result.model is not None:
        files["model"] = record.result.model.path
    for name, path in files.items():
        gone = "" if path.exists() else "  (gone)"
        output.print(f"  {name}  {path}{gone}")
    output.print(f"  folder     {trial_dir(known.folder, record.number)}")
    tracked = "all of it is recorded" if record.is_tracked else "not all of it is recorded yet"
    name = trial_name(record.number, record.hyperparameters)
    output.print(f"  run        {name!r} of MLflow's experiment {known.created.name!r}; {tracked} (`whosehand ui`)")
