"""`whosehand doctor`: what is wrong with this machine, store or corpus, and how to fix it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from search.cli.common import (
    Overrides,
    counted,
    current_workspace,
    notes,
    output,
    print_table,
    read_experiment,
    visible,
)

if TYPE_CHECKING:
    from search.experiment.experiment import Experiment
    from search.upkeep.machine_checks import Finding

_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


def doctor(
    experiment: Annotated[
        Path | None,
        typer.Argument(
            metavar="[EXPERIMENT]", help="An experiment's YAML file, to read its corpus.", show_default="none"
        ),
    ] = None,
    overrides: Overrides = [],  # noqa: B006
    is_applied: Annotated[
        bool, typer.Option("--apply", help="Rewrite addresses after the project was moved; a backup is made first.")
    ] = False,
    was_mend: Annotated[bool, typer.Option("--mend", hidden=True, help="What --apply was called in 0.1.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Examine machine, tracking store, sweeps and corpus; say what is wrong and how to fix it.

    With an EXPERIMENT its corpus is read as a sweep would read it. The exit code is 1 if there is a
    problem.
    """
    from search.upkeep.doctor import examine

    settings = read_experiment(experiment, overrides, needs_budget=False) if experiment is not None else None
    if is_applied or was_mend:
        _fix(settings)
    with notes.status("examining"):
        findings = examine(current_workspace(), settings)
    n_problems = sum(finding.level == "problem" for finding in findings)
    if as_json:
        output.print_json(json.dumps({"n_problems": n_problems, "findings": [asdict(found) for found in findings]}))
    else:
        print_table(("", "about", "found"), [_row(finding) for finding in findings], n_text_columns=3)
        n_notes = sum(finding.level == "note" for finding in findings)
        output.print(f"{counted(n_problems, 'problem')}, {counted(n_notes, 'note')}")
    raise typer.Exit(1 if n_problems else 0)


def _fix(experiment: "Experiment | None") -> None:
    from search.tracking.store import locate_store
    from search.upkeep.moved_projects import find_moved_addresses, fix_addresses, refuse_while_used

    workspace = current_workspace()
    store = locate_store(experiment.tracking if experiment else None, workspace.root)
    moved = find_moved_addresses(store)
    if moved is None:
        notes.print("There are no addresses to fix.")
        return
    refuse_while_used(workspace)
    backup = fix_addresses(store, moved)
    notes.print(f"rewritten: {moved}; the database as it was is {backup}")


def _row(finding: "Finding") -> tuple[Text, str, Text]:
    found = Text(visible(finding.text))
    if finding.fix:
        found.append(f"\n-> {visible(finding.fix)}", style="italic")
    return Text(finding.level, style=_STYLES[finding.level]), finding.topic, found
