"""`whosehand reconcile`: ledger, engine, MLflow and disk side by side, and what differs mended."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from search.cli.common import current_workspace, notes, output

if TYPE_CHECKING:
    from search.upkeep.reconcile import Difference, Reconciliation
    from search.upkeep.sweep_records import SweepRow

_SHOWN_ROWS = 40


def reconcile(
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="The sweep's name.", show_default=False)],
    is_applied: Annotated[bool, typer.Option("--apply", help="Mend what differs; without it nothing is changed.")] = (
        False
    ),
    shows_all: Annotated[bool, typer.Option("--all", help="Show every trial, also of a long sweep.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare a sweep's ledger with the engine's study, MLflow and the disk, and mend what differs.

    A dry run, unless --apply is given. The ledger is the truth: what MLflow lacks is told again, what the ledger does
    not know is deleted (runs so that MLflow can restore them; never a registered model). Refused while a driver is on
    the sweep. The exit code is 1 if something differs still.
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
    output.print(_table(shown, odd), soft_wrap=False)
    if len(shown) < len(found.rows):
        output.print(f"and {len(found.rows) - len(shown)} trials more that are alike everywhere (--all shows them)")
    fixed_rows = [difference for difference in found.found if difference not in found.left]
    for difference in fixed_rows:
        output.print(f"[green]mended[/] {_trial(difference.trial)}{escape(difference.what)}")
    for difference in found.left:
        word = "[red]cannot mend[/]" if difference.fix is None else "[yellow]differs[/]"
        output.print(f"{word} {_trial(difference.trial)}{escape(difference.what)}; {escape(difference.remedy)}")
    for warning in found.warnings:
        notes.print(f"note: {escape(warning)}")
    n_fixable = sum(difference.fix is not None for difference in found.left)
    if not found.found:
        output.print("Ledger, engine, MLflow and disk say the same.")
    elif not is_applied:
        output.print(f"{n_fixable} of {len(found.left)} can be mended: --apply does it. Nothing was changed.")
    else:
        output.print(f"{len(fixed_rows)} mended, {len(found.left)} left.")


def _table(rows: "Sequence[SweepRow]", odd: set[int | None]) -> Table:
    table = Table("trial", "ledger", "engine", "MLflow run", "MLflow model", "disk")
    for row in rows:
        cells = (str(row.number), row.ledger_text, row.engine, row.run_text, row.model_text, row.disk_text)
        table.add_row(*cells, style="yellow" if row.number in odd else None)
    return table


def _trial(number: int | None) -> str:
    return "" if number is None else f"trial {number}: "


def _as_json(found: "Reconciliation") -> dict[str, object]:
    return {
        "trials": [
            {
                "trial": row.number,
                "ledger": row.ledger_text,
                "engine": row.engine,
                "runs": [run.run_id for run in row.runs],
                "run": row.run_text,
                "models": [model.model_id for model in row.models],
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
        "can_be_mended": difference.fix is not None,
    }
