"""`whosehand gc`: free the disk of what is not needed any more."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from search.cli.common import current_workspace, notes, output

if TYPE_CHECKING:
    from search.upkeep.gc import Collection


def gc(
    sweeps: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SWEEP]...", help="Their names.", show_default="all, and unused lines"),
    ] = None,
    keep: Annotated[
        int, typer.Option(min=1, help="So many of each sweep's best trials keep their model and files.")
    ] = 5,
    is_applied: Annotated[bool, typer.Option("--apply", help="Delete; without it nothing is changed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with every folder.")] = False,
) -> None:
    """Delete models and files of trials below the best, spent checkpoints, and lines that no sweep needs.

    A dry run that says what would go, unless --apply is given. Scores, curves and pictures stay in MLflow. Never
    deleted: a registered model, with an alias or without; anything of the best trials but spent checkpoints; anything
    of a running sweep, of a trial that may go on, or of a refit.
    """
    from search.upkeep.gc import collect_garbage

    found = collect_garbage(sweeps or [], current_workspace(), keep, is_dry_run=not is_applied)
    if as_json:
        output.print_json(json.dumps(_as_json(found, is_applied)))
        return
    for reason in found.skipped:
        notes.print(f"note: {escape(reason)}")
    if not found.freed:
        output.print("There is nothing to delete.")
        return
    output.print(_table(found), soft_wrap=False)
    if is_applied:
        output.print(f"deleted {decimal(found.n_bytes)}")
    else:
        output.print(f"{decimal(found.n_bytes)} would go; nothing was deleted. --apply deletes it.")


def _table(found: "Collection") -> Table:
    table = Table("sweep", "what", "trials", "folders", "size")
    for name in ("trials", "folders", "size"):
        next(column for column in table.columns if column.header == name).justify = "right"
    for freed in found.freed:
        trials = str(freed.n_trials) if freed.n_trials else ""
        table.add_row(freed.sweep, freed.what, trials, str(len(freed.paths)), decimal(freed.n_bytes))
    return table


def _as_json(found: "Collection", is_applied: bool) -> dict[str, object]:
    return {
        "is_applied": is_applied,
        "n_bytes": found.n_bytes,
        "freed": [
            {
                "sweep": freed.sweep,
                "what": freed.what,
                "n_trials": freed.n_trials,
                "n_bytes": freed.n_bytes,
                "paths": [str(path) for path in freed.paths],
            }
            for freed in found.freed
        ],
        "skipped": list(found.skipped),
    }
