"""`whosehand doctor`: what is wrong with this machine, store or corpus, and how to fix it."""

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
import typer
from rich.text import Text

from core.wording import counted
from search.cli.common import (
    Overrides,
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


class Became(StrEnum):
    """What became of a project that is found elsewhere."""

    MOVED = "moved"
    COPIED = "copied"


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
        bool,
        typer.Option("--apply", help="Make a moved or copied project whole: rewrite addresses, after a backup."),
    ] = False,
    as_what: Annotated[
        Became | None,
        typer.Option("--as", help="What became of the project.", show_default="what can be told from here"),
    ] = None,
    is_cluster: Annotated[
        bool,
        typer.Option("--cluster", help="Examine the nodes of the Ray cluster instead, each by an agent on it."),
    ] = False,
    was_mend: Annotated[bool, typer.Option("--mend", hidden=True, help="What --apply was called in 0.1.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Examine machine, tracking store, sweeps and corpus; say what is wrong and how to fix it.

    With an EXPERIMENT its corpus is read as a sweep would read it. The exit code is 1 if there is a
    problem.
    """
    settings = read_experiment(experiment, overrides, needs_budget=False) if experiment is not None else None
    if is_applied or was_mend:
        _fix(settings, as_what)
    with notes.status("examining"):
        findings = _examine(settings, is_cluster)
    n_problems = sum(finding.level == "problem" for finding in findings)
    if as_json:
        output.print_json(json.dumps({"n_problems": n_problems, "findings": [asdict(found) for found in findings]}))
    else:
        print_table(("", "about", "found"), [_row(finding) for finding in findings], n_text_columns=3)
        n_notes = sum(finding.level == "note" for finding in findings)
        output.print(f"{counted(n_problems, 'problem')}, {counted(n_notes, 'note')}")
    raise typer.Exit(1 if n_problems else 0)


def _examine(experiment: "Experiment | None", is_cluster: bool) -> "list[Finding]":
    if is_cluster:
        from search.experiment.settings import ExecutorSettings
        from search.upkeep.cluster_checks import examine_cluster

        return examine_cluster(ExecutorSettings(name="ray") if experiment is None else experiment.executor)
    from search.upkeep.doctor import examine

    return examine(current_workspace(), experiment)


def _fix(experiment: "Experiment | None", as_what: Became | None) -> None:
    from search.sweep.known_sweeps import project_tracking
    from search.tracking.project_place import find_displacement
    from search.tracking.store import locate_store
    from search.upkeep.moved_projects import settle_project

    workspace = current_workspace()
    store = locate_store(experiment.tracking if experiment else project_tracking(workspace), workspace.root)
    displaced = find_displacement(workspace.root)
    if displaced is not None and displaced.how == "unknown" and as_what is None and sys.stdin.isatty():
        notes.print(f"{displaced}; then it was on the machine {displaced.was.host}")
        as_what = Became(typer.prompt("moved or copied?", type=click.Choice([*Became]), err=True))
    done = settle_project(workspace, store, as_what.value if as_what else None)
    for line in done or ["There are no addresses to fix."]:
        notes.print(line)


def _row(finding: "Finding") -> tuple[Text, str, Text]:
    found = Text(visible(finding.text))
    if finding.fix:
        found.append(f"\n-> {visible(finding.fix)}", style="italic")
    return Text(finding.level, style=_STYLES[finding.level]), finding.topic, found
