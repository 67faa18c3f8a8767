"""`whosehand gc`: free the disk of what is not needed any more."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from search.cli.common import complete_sweeps, current_workspace, output, print_note, print_table

if TYPE_CHECKING:
    from search.upkeep.gc import Collection


def gc(
    sweeps: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SWEEP]...",
            help="Names of sweeps.",
            show_default="all, and unused lines and indexes",
            autocompletion=complete_sweeps,
        ),
    ] = None,
    keep: Annotated[
        int, typer.Option(min=1, help="Keep model and files of the best N trials of each sweep.", metavar="N")
    ] = 5,
    is_applied: Annotated[bool, typer.Option("--apply", help="Delete. Without it, nothing is changed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with every folder.")] = False,
) -> None:
    """Delete what nobody needs: weaker models, spent checkpoints, unused lines, unused indexes.

    Without --apply it only says what would be deleted. Scores, curves and pictures stay in MLflow.
    Never deleted: a registered model, with an alias or without; anything of the best trials but
    spent checkpoints; anything of a running sweep, of a trial that may be resumed, or of a refit.
    """
    from search.upkeep.gc import collect_garbage

    found = collect_garbage(sweeps or [], current_workspace(), keep, is_dry_run=not is_applied)
    if as_json:
        output.print_json(json.dumps(_as_json(found, is_applied)))
        return
    for reason in found.skipped:
        print_note(reason)
    if not found.freed:
        output.print("There is nothing to delete.")
        return
    rows = [
        (freed.sweep, freed.what, str(freed.n_trials or ""), str(len(freed.paths)), decimal(freed.n_bytes))
        for freed in found.freed
    ]
    print_table(("sweep", "what", "trials", "folders", "size"), rows, n_text_columns=2)
    if is_applied:
        output.print(f"deleted {decimal(found.n_bytes)}")
    else:
        output.print(f"{decimal(found.n_bytes)} would be deleted; nothing was changed. --apply deletes it.")


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
