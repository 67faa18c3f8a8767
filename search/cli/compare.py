"""`whosehand compare`: what one sweep found, or which of several got further."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import ComparisonError
from search.cli.common import current_workspace, notes, output, print_note, print_table, print_warning, progress_bar

if TYPE_CHECKING:
    from search.comparison.sweep_report import SweepReport
    from search.comparison.tables import Table

_LONG_HEADER = 6  # letters; a longer one is broken at its gaps


def compare(
    sweeps: Annotated[list[str], typer.Argument(metavar="SWEEP...", help="Their names.", show_default=False)],
    finalists: Annotated[
        int | None,
        typer.Option(
            min=1, help="Train the best so many trials of one sweep again, under fresh seeds.", show_default=False
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Fits of each finalist.")] = 3,
    has_seed_recipe: Annotated[
        bool, typer.Option("--seed-recipe", help="Repeat the seed recipe's trial too, wherever it stands.")
    ] = False,
    by_seed: Annotated[
        bool, typer.Option("--by-seed", help="Draw sweeps whose names differ in an ending such as -s1 as one curve.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for what is written.", show_default="below mlruns")] = None,
    is_tracked: Annotated[bool, typer.Option("--track/--no-track", help="Record it in MLflow.")] = True,
) -> None:
    """Say what a sweep found, as a leaderboard and a report in one HTML file; or compare several sweeps.

    Several sweeps must have the same split and objective; they are compared by the best so far over trials, patches
    trained and time. Sweeps that run still are taken as far as they are. Only validation pages are looked at.

    The best of many noisy trials is flattered: --finalists 3 --repeats 3 trains the best three again under fresh
    seeds, ranks them by their mean, and says by how much the search flattered them. `whosehand promote` then takes
    the best finalist.
    """
    if len(sweeps) > 1:
        if finalists is not None or has_seed_recipe:
            raise ComparisonError(f"Finalists are of one sweep, but got {', '.join(sweeps)}. Name one of them.")
        _compare_several(sweeps, by_seed, out, is_tracked)
        return
    if by_seed:
        raise ComparisonError("`--by-seed` needs two sweeps or more, but got one.")
    if has_seed_recipe and finalists is None:
        raise ComparisonError("`--seed-recipe` adds to the finalists; say `--finalists` too.")
    _report_one(sweeps[0], finalists, repeats, has_seed_recipe, out, is_tracked)


def _report_one(
    name: str, n_finalists: int | None, repeats: int, has_seed_recipe: bool, out: Path | None, is_tracked: bool
) -> None:
    from search.comparison.report_page import record_report, write_report
    from search.comparison.sweep_report import read_report, report_folder
    from search.sweep.finalists import FinalistChoice, train_finalists
    from search.sweep.known_sweeps import read_sweep
    from search.sweep.progress import make_progress
    from search.tracking.store import open_store

    workspace = current_workspace()
    sweep = read_sweep(name, workspace)
    with progress_bar("reading text lines") as advance:
        if n_finalists is not None:
            choice = FinalistChoice(n_finalists, repeats, has_seed_recipe)
            train_finalists(name, workspace, choice, make_progress(notes), advance)
        store = open_store(sweep.experiment.tracking, workspace.root)
        report = read_report(name, workspace, shlex.join(["whosehand", *sys.argv[1:]]), store, advance)
    path = write_report(report, out or report_folder(sweep.folder))
    _print_report(report)
    output.print(f"wrote {path}")
    if is_tracked and record_report(sweep, path, store) is None:
        print_note(f"{name} has no run in {store.shown_uri}, so the report is not recorded")


def _print_report(report: "SweepReport") -> None:
    from search.comparison.report_page import flattery_text
    from search.comparison.tables import LEADERBOARD_LENGTH, finalists_table, short_leaderboard

    for warning in report.warnings:
        print_note(warning)
    output.print(f"sweep {report.name}: {len(report.rows)} trials, {report.status}")
    leaderboard = short_leaderboard(report.rows, report.metric, report.scores, LEADERBOARD_LENGTH)
    if leaderboard.rows:
        _print(leaderboard)
        unit = f"validation {report.item}s"
        output.print(f"in brackets: 95 %, bootstrap over {unit}")
    else:
        output.print("no trial is completed yet")
    if report.finalists:
        _print(finalists_table(report.finalists))
        output.print(flattery_text(report))
    if report.chosen:
        output.print(f"a promotion takes trial {report.chosen.trial.number}: {report.chosen.rule}")


def _print(table: "Table") -> None:
    """Print a table for a narrow terminal: long headers are broken."""
    header = [name if len(name) <= _LONG_HEADER else name.replace(" ", "\n") for name in table.header]
    print_table(header, table.rows, table.n_text_columns, dict.fromkeys(table.marked, "bold"))


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
