"""`whosehand reconcile`: compare a sweep's records with its ledger, and fix what differs."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from core.wording import counted
from search.cli.common import complete_sweeps, current_workspace, labelled, output, print_note, print_table

if TYPE_CHECKING:
    from search.upkeep.reconcile import Difference, Reconciliation

_SHOWN_ROWS = 40


def reconcile(
    sweep: Annotated[
        str,
        typer.Argument(metavar="SWEEP", help="The sweep's name.", show_default=False, autocompletion=complete_sweeps),
    ],
    is_applied: Annotated[bool, typer.Option("--apply", help="Fix what differs. Without it, nothing is changed.")] = (
        False
    ),
    shows_all: Annotated[bool, typer.Option("--all", help="Show every trial, also of a long sweep.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare engine, MLflow and disk with a sweep's ledger, and fix what differs.

    Without --apply it only says what differs. The ledger is the truth: what MLflow lacks is told
    again, what the ledger does not know is deleted (runs so that MLflow can restore them; never a
    registered model). Refused while a driver is on the sweep. The exit code is 1 if something still
    differs.
    """
    from search.upkeep.reconcile import reconcile_sweep

    found = reconcile_sweep(sweep, current_workspace(), is_dry_run=not is_applied)
    if as_json:
        output.print_json(json.dumps(_as_json(found)))
    else:
        _print(found, is_applied, shows_all)
    if found.left:
        raise typer.Exit(1)


def _print(found: "Reconciliation", is_applied: bool, shows_all: bool) -> None:
    odd = {difference.trial for difference in (*found.found, *found.left)}
    shown = found.rows if shows_all or len(found.rows) <= _SHOWN_ROWS else [r for r in found.rows if r.number in odd]
    rows = [
        (str(row.number), row.ledger_text, row.engine, row.run_text, row.model_text, row.disk_text) for row in shown
    ]
    styles = {place: "yellow" for place, row in enumerate(shown) if row.number in odd}
    print_table(("trial", "ledger", "engine", "MLflow run", "MLflow model", "disk"), rows, 6, styles)
    if len(shown) < len(found.rows):
        output.print(f"and {counted(len(found.rows) - len(shown), 'trial')} without a difference (--all shows all)")
    fixed = [difference for difference in found.found if difference not in found.left]
    for difference in fixed:
        output.print(labelled("fixed", _text(difference), "green"))
    for difference in found.left:
        label, style = ("cannot fix", "red") if difference.fix is None else ("differs", "yellow")
        output.print(labelled(label, f"{_text(difference)}; {difference.remedy}", style))
    for warning in found.warnings:
        print_note(warning)
    if any(row.engine == "outside" for row in shown):
        print_note("Trials marked `outside` were enqueued outside of the search space: no study can hold them.")
    if not found.found:
        output.print("Ledger, engine, MLflow and disk agree.")
    elif not is_applied:
        n_fixable = sum(difference.fix is not None for difference in found.left)
        output.print(f"{n_fixable} of {counted(len(found.left), 'difference')} can be fixed: --apply does it.")
        output.print("Nothing was changed.")
    else:
        output.print(f"{len(fixed)} fixed, {len(found.left)} left.")


def _text(difference: "Difference") -> str:
    return difference.what if difference.trial is None else f"trial {difference.trial}: {difference.what}"


def _as_json(found: "Reconciliation") -> dict[str, object]:
    return {
        "trials": [
            {
                "trial": row.number,
                "ledger": row.ledger_text,
                "engine": row.engine,
                "runs": [run.run_id for run in row.runs],
                "run": row.run_text,
                "models": [model.known.model_id for model in row.models],
                "model": row.model_text,
                "disk": row.disk_text,
            }
            for row in found.rows
        ],
        "found": [_difference(difference) for difference in found.found],
        "left": [_difference(difference) for difference in found.left],
        "warnings": list(found.warnings),
    }


def _difference(difference: "Difference") -> dict[str, object]:
    return {
        "trial": difference.trial,
        "what": difference.what,
        "remedy": difference.remedy,
        "can_be_fixed": difference.fix is not None,
    }
