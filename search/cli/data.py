"""`whosehand data`: what is in a corpus, before anything is trained on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from search.cli import data_fetch, data_preview, data_stats
from search.cli.common import (
    ExperimentFile,
    Overrides,
    current_workspace,
    notes,
    output,
    print_table,
    read_experiment,
)
from search.cli.data_stats import Subset, print_corpus_report, print_searched, print_subsets, read_with_bar

if TYPE_CHECKING:
    from search.experiment.experiment import Experiment
    from search.sweep.preparation import PreparedCorpus

app = typer.Typer(help="Look at a corpus, its split and its patches.", no_args_is_help=True)
app.command()(data_fetch.fetch)
app.command()(data_preview.preview)
app.command()(data_stats.stats)
_INTERRUPTED = 130


@app.command()
def split(
    experiment: ExperimentFile,
    overrides: Overrides = [],  # noqa: B006
    out: Annotated[Path, typer.Option(help="The manifest to write.")] = Path("split.json"),
) -> None:
    """Divide the pages into train, validation and test, and write the manifest with its hash."""
    settings = read_experiment(experiment, overrides, needs_budget=False)
    corpus = _prepare(settings)
    corpus.manifest.save(out)
    print_corpus_report(corpus.corpus_report)
    print_subsets(corpus)
    print_searched(corpus, settings)
    output.print(f"wrote {out}, hash {corpus.manifest.hash[:12]}, split by {corpus.manifest.divided_by}")


@app.command()
def pages(
    experiment: ExperimentFile,
    overrides: Overrides = [],  # noqa: B006
    subset: Annotated[Subset, typer.Option(help="Which pages of the split.")] = Subset.TEST,
    part: Annotated[Subset | None, typer.Option(hidden=True, help="The name of --subset in version 0.1.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, spread over the writers.")] = 5,
) -> None:
    """Print paths of images of one subset of the split, such as unseen ones to identify."""
    corpus = _prepare(read_experiment(experiment, overrides, needs_budget=False))
    chosen = part or subset
    wanted = set(corpus.manifest.image_ids(chosen.value))
    paths = list(dict.fromkeys(image.path for image in corpus.index.images if image.image_id in wanted))
    step = max(1, len(paths) // limit)
    if not paths:
        notes.print(f"The {chosen.value} subset of the split is empty.")
    for path in paths[::step][:limit]:
        output.print(str(path))


@app.command()
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

    Training and validation pages are divided anew for each; no test page is in any of them, and
    nothing is written to MLflow. Ctrl-C is safe: the same command goes on, and what is trained is
    not trained again.
    """
    from search.comparison.leakage_audit import AuditChoice, run_audit
    from search.comparison.leakage_table import remarks, table_rows, write_audit
    from search.sweep.progress import make_progress

    settings = read_experiment(experiment, overrides, needs_budget=False)
    choice = AuditChoice(recipe, epochs, patches)
    found = run_audit(settings, current_workspace(), choice, make_progress(notes))
    if found.arms:
        header, *rows = table_rows(found, narrow=True)
        print_table(header, rows)
        for remark in remarks(found):
            output.print(remark)
        written = write_audit(found, out or found.folder)
        output.print(f"wrote {written[0]} and {written[1]}")
    if found.is_interrupted:
        notes.print("The audit was stopped; the same command goes on from here.")
        raise typer.Exit(_INTERRUPTED)


def _prepare(settings: "Experiment") -> "PreparedCorpus":
    from search.sweep.preparation import divide_corpus

    return divide_corpus(read_with_bar(settings), settings)
