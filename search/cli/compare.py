"""`whosehand compare`: what one sweep found, or which of several got further."""

import errno
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import ComparisonError
from core.wording import counted
from search.cli.common import (
    complete_sweeps,
    current_workspace,
    notes,
    output,
    print_note,
    print_table,
    print_warning,
    progress_bar,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from search.comparison.leaderboard import Leaderboard
    from search.comparison.sweep_report import SweepReport
    from search.comparison.tables import Table


_Sort = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Sort by a score, a hyperparameter, time, patches or trial."),
]
_Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Only write all trials as a CSV file; - for standard output."),
]
_Raw = Annotated[
    bool, typer.Option("--raw", help="In the CSV file, write texts as they are, also those like a formula.")
]
_Finalists = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Retrain the best N trials of one sweep under fresh seeds."),
]
_SeedRecipe = Annotated[
    bool, typer.Option("--seed-recipe", help="Retrain the seed recipe's trial too, wherever it stands.")
]
_BySeed = Annotated[
    bool, typer.Option("--by-seed", help="Draw sweeps whose names differ in an ending such as -s1 as one curve.")
]


def compare(
    sweeps: Annotated[
        list[str],
        typer.Argument(metavar="SWEEP...", help="Names of sweeps.", show_default=False, autocompletion=complete_sweeps),
    ],
    sort: _Sort = None,
    top: Annotated[int | None, typer.Option(min=1, metavar="N", help="Show the best N trials.")] = None,
    csv_file: _Csv = None,
    is_raw: _Raw = False,
    as_json: Annotated[bool, typer.Option("--json", help="Only print all trials as one JSON object.")] = False,
    finalists: _Finalists = None,
    repeats: Annotated[int, typer.Option(min=1, help="Fits of each finalist.")] = 3,
    has_seed_recipe: _SeedRecipe = False,
    by_seed: _BySeed = False,
    out: Annotated[Path | None, typer.Option(help="Folder for what is written.", show_default="below mlruns")] = None,
    is_tracked: Annotated[bool, typer.Option("--track/--no-track", help="Record it in MLflow.")] = True,
) -> None:
    """Show what a sweep found, as a leaderboard and an HTML report; or compare several.

    Several sweeps must have the same split and objective; they are compared by the best so far over
    trials, patches trained and time. Running sweeps are compared on what they have so far. Only
    validation pages are looked at.

    The best of many noisy trials is flattered: --finalists 3 --repeats 3 retrains the best three
    under fresh seeds, ranks them by their mean, and says by how much the search flattered them.
    `whosehand promote` then takes the best finalist.
    """
    is_list = csv_file is not None or as_json
    if len(sweeps) > 1:
        if finalists is not None or has_seed_recipe or is_list or sort or top:
            raise ComparisonError(f"Finalists and leaderboards are of one sweep, but got {', '.join(sweeps)}.")
        _compare_several(sweeps, by_seed, out, is_tracked)
        return
    if by_seed:
        raise ComparisonError("`--by-seed` needs two or more sweeps, but got one.")
    if has_seed_recipe and finalists is None:
        raise ComparisonError("`--seed-recipe` adds to the finalists; give `--finalists` too.")
    if is_list and finalists is not None:
        raise ComparisonError("`--csv` and `--json` only list trials; give `--finalists` without them.")
    if is_list:
        _list_trials(sweeps[0], sort, top, csv_file, is_raw, as_json)
    else:
        _report_one(sweeps[0], sort, top, finalists, repeats, has_seed_recipe, out, is_tracked)


_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Of a project that may only be looked at, such as a backup or somebody else's."""


def _list_trials(
    name: str, sort: str | None, top: int | None, csv_file: Path | None, is_raw: bool, as_json: bool
) -> None:
    from search.comparison.leaderboard import leaderboard_json, read_leaderboard, write_leaderboard
    from search.ledger.time_use import read_time_use
    from search.sweep.known_sweeps import read_sweep

    sweep = read_sweep(name, current_workspace())
    board = read_leaderboard(sweep, sort, top)
    if as_json:
        time_use = read_time_use(sweep.state).as_json()
        output.print_json(json.dumps({"sweep": name, **leaderboard_json(board), "worker_time": time_use}))
    if csv_file == Path("-"):
        write_leaderboard(board, sys.stdout, is_raw)
    elif csv_file is not None:
        with csv_file.open("w", encoding="utf-8", newline="") as file:
            write_leaderboard(board, file, is_raw)
        notes.print(f"wrote {csv_file}")


def _report_one(
    name: str,
    sort: str | None,
    top: int | None,
    n_finalists: int | None,
    repeats: int,
    has_seed_recipe: bool,
    out: Path | None,
    is_tracked: bool,
) -> None:
    from search.comparison.leaderboard import LEADERBOARD_LENGTH, read_leaderboard
    from search.comparison.report_page import record_report, write_report
    from search.comparison.sweep_report import read_report, report_folder
    from search.sweep.finalists import FinalistChoice, train_finalists
    from search.sweep.known_sweeps import read_sweep
    from search.sweep.progress import make_progress
    from search.tracking.project_place import refuse_shared
    from search.tracking.store import open_store

    workspace = current_workspace()
    sweep = read_sweep(name, workspace)
    if is_tracked:
        refuse_shared(workspace.root, name)
    read_leaderboard(sweep, sort)  # a wrong column is an error now, not after the finalists are trained
    if n_finalists is not None:
        choice = FinalistChoice(n_finalists, repeats, has_seed_recipe)
        train_finalists(name, workspace, choice, make_progress(notes))
    store = open_store(sweep.experiment.tracking, workspace.root)
    with progress_bar("reading text lines") as advance:
        report = read_report(name, workspace, shlex.join(["whosehand", *sys.argv[1:]]), store, advance)
    board = read_leaderboard(report.sweep, sort, top or LEADERBOARD_LENGTH, list(report.importance))
    _print_report(report, board)
    try:
        path = write_report(report, out or report_folder(sweep.folder))
    except OSError as error:
        if out is not None or error.errno not in _READ_ONLY:
            raise
        print_note(f"{error.filename} cannot be written ({error.strerror}), so there is no report; see --out")
        return
    output.print(f"wrote {path}")
    if is_tracked and record_report(sweep, path, store) is None:
        print_note(f"{name} has no run in {store.uri}, so the report is not recorded")


def _print_report(report: "SweepReport", board: "Leaderboard") -> None:
    from search.comparison.leaderboard import terminal_table
    from search.comparison.report_page import flattery_text
    from search.comparison.tables import finalists_table
    from search.ledger.time_use import read_time_use

    for warning in report.warnings:
        print_note(warning)
    output.print(f"sweep {report.name}: {counted(len(report.rows), 'trial')}, {report.status}")
    table, optional = terminal_table(board)
    if table.rows:
        left_out = _print(table, optional)
        if "95 %" in table.header:
            output.print(f"95 %: bootstrap over validation {report.item}s")
        if left_out:
            output.print(f"no room for {', '.join(left_out)}: use a wider terminal, --csv or --json")
    else:
        output.print("no trial is completed yet")
    if report.finalists:
        _print(finalists_table(report.finalists))
        output.print(flattery_text(report))
    if time_use := str(read_time_use(report.sweep.state)):
        output.print(f"worker time: {time_use}")
    if report.chosen:
        output.print(f"a promotion takes trial {report.chosen.trial.number}: {report.chosen.rule}")


def _print(table: "Table", optional: "Sequence[int]" = ()) -> list[str]:
    styles = dict.fromkeys(table.marked, "bold")
    return print_table(table.header, table.rows, table.n_text_columns, styles, optional)


def _compare_several(sweeps: list[str], by_seed: bool, out: Path | None, is_tracked: bool) -> None:
    from search.comparison.several_sweeps import (
        compare_sweeps,
        comparison_key,
        draw_comparison,
        record_comparison,
        sweeps_table,
        write_csv,
    )
    from search.comparison.tables import as_markdown
    from search.sweep.known_sweeps import read_sweep
    from search.tracking.store import open_store

    workspace = current_workspace()
    comparison = compare_sweeps(sweeps, workspace)
    folder = out or workspace.root / "mlruns" / "comparisons" / comparison_key(comparison)
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / name for name in ("comparison.png", "comparison.csv")}
    draw_comparison(comparison, by_seed).savefig(files["comparison.png"])
    write_csv(comparison, files["comparison.csv"])
    table = sweeps_table(comparison)
    _print(table)
    if comparison.warning:
        print_warning(comparison.warning)
    for remark in comparison.remarks:
        print_note(remark)
    for sweep in comparison.sweeps:
        if not sweep.steps:
            print_note(f"{sweep.name} has no completed trial yet, so it has no curve")
    output.print(f"wrote {files['comparison.png']} and {files['comparison.csv']}")
    if is_tracked:
        store = open_store(read_sweep(sweeps[0], workspace).experiment.tracking, workspace.root)
        record_comparison(comparison, files, as_markdown(table), store)
        output.print("recorded in MLflow's experiment `comparisons`; see it with `whosehand ui`")
