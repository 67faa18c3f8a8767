"""`whosehand data audit`: what a split by patch or line would pretend."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Column, Table

from search.cli.common import ExperimentFile, Overrides, current_workspace, read_experiment
from search.cli.terminal import notes, output, progress_bar

_INTERRUPTED = 130


def audit(
    experiment: ExperimentFile,
    overrides: Overrides = [],  # noqa: B006  (typer copies it)
    recipe: Annotated[
        Literal["default", "seed_recipe"],
        typer.Option(help="The network: the experiment's fixed values and defaults, or the published one."),
    ] = "default",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of each arm.", show_default="training.epochs")
    ] = None,
    patches: Annotated[
        int | None, typer.Option(min=1, help="Training patches of an epoch.", show_default="patches.patches_per_epoch")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the table.", show_default="below mlruns/audits")] = None,
) -> None:
    """Train one recipe under splits by patch, line, page and text, and show what leakage is worth.

    Training and validation pages are divided anew for each; no test page is in any of them, and nothing is written
    to MLflow. Ctrl-C is safe: the same command goes on, and what is trained is not trained again.
    """
    from search.comparison.audit_report import narrow_rows, remarks, write_audit
    from search.comparison.leakage_audit import AuditChoice, run_audit
    from search.sweep.progress import make_progress

    settings = read_experiment(experiment, overrides)
    choice = AuditChoice(recipe, epochs, patches)
    with progress_bar("reading text lines") as advance:
        found = run_audit(settings, current_workspace(), choice, lambda: make_progress(notes), advance)
    if found.arms:
        (first, *head), *rows = narrow_rows(found)
        table = Table(Column(first, no_wrap=True), *head)
        for row in rows:
            table.add_row(*row)
        output.print(table)
        for remark in remarks(found):
            output.print(remark, markup=False)
        written = write_audit(found, out or found.folder)
        output.print(f"wrote {written[0]} and {written[1]}", markup=False)
    if found.is_interrupted:
        notes.print("The audit was stopped; the same command goes on from here.")
        raise typer.Exit(_INTERRUPTED)
