"""`whosehand compare`: which sweep got further, and what it cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from search.cli.arguments import current_workspace
from search.cli.terminal import notes, output

if TYPE_CHECKING:
    from search.comparison.comparison import Comparison


def compare(
    sweeps: Annotated[list[str], typer.Argument(metavar="SWEEP...", help="Their names.", show_default=False)],
    by_seed: Annotated[
        bool, typer.Option("--by-seed", help="Draw sweeps whose names differ in an ending such as -s1 as one curve.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the picture and the table.", show_default="below mlruns/comparisons")
    ] = None,
    is_tracked: Annotated[bool, typer.Option("--track/--no-track", help="Record it in MLflow.")] = True,
) -> None:
    """Compare sweeps on the same split: the best so far over trials, patches trained and time.

    Sweeps that run still are compared as far as they are; nothing of theirs is touched.
    """
    from search.comparison.comparison import compare_sweeps, write_csv
    from search.comparison.comparison_picture import draw_comparison
    from search.comparison.comparison_record import comparison_key, record_comparison
    from search.known_sweeps import read_sweep
    from search.tracking.store import open_store

    workspace = current_workspace()
    comparison = compare_sweeps(sweeps, workspace)
    folder = out or workspace.root / "mlruns" / "comparisons" / comparison_key(comparison)
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / name for name in ("comparison.png", "comparison.csv")}
    draw_comparison(comparison, by_seed).savefig(files["comparison.png"])
    write_csv(comparison, files["comparison.csv"])
    rows = _rows(comparison)
    output.print(_table(rows))
    if comparison.warning:
        notes.print(f"[bold yellow]warning:[/] {comparison.warning}")
    for remark in comparison.remarks:
        notes.print(f"note: {remark}", markup=False)
    for sweep in comparison.sweeps:
        if not sweep.steps:
            notes.print(f"note: {sweep.name} has no completed trial yet, so it has no curve", markup=False)
    output.print(f"wrote {files['comparison.png']} and {files['comparison.csv']}", markup=False, soft_wrap=True)
    if is_tracked:
        store = open_store(read_sweep(sweeps[0], workspace).experiment.tracking, workspace.root)
        record_comparison(comparison, files, _markdown(rows), store)
        output.print("recorded in MLflow's experiment `comparisons`; see it with `whosehand ui`", markup=False)


def _rows(comparison: "Comparison") -> list[list[str]]:
    from search.report import readable_duration, score_name

    goal = comparison.common_goal
    reached = "patches to " + ("the common best" if goal is None else f"{goal:.4g}")
    header = ["sweep", "engine", "trials", "patches", "time", f"best {score_name(comparison.metric)}", "trial", reached]
    rows = [header]
    for sweep in comparison.sweeps:
        best = sweep.best
        until = None if goal is None else sweep.patches_until(goal)
        counts = ", ".join(f"{count} {state}" for state, count in sweep.counts.items() if count)
        rows.append(
            [
                *(sweep.name, sweep.engine, counts or "none", f"{sweep.n_patches:,}"),
                readable_duration(sweep.elapsed_s),
                "" if best is None else f"{best.value:.4g}",
                "" if best is None else f"{best.trial:03d}",
                "" if until is None else f"{until:,}",
            ]
        )
    return rows


def _table(rows: list[list[str]]) -> Table:
    table = Table(*rows[0])
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _markdown(rows: list[list[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
