"""`whosehand data`: what is in a corpus, before anything is trained on it."""

import statistics
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from core.errors import CorpusError, SplitError
from search.cli import data_fetch, data_preview
from search.cli.common import (
    ExperimentFile,
    Overrides,
    counted,
    current_workspace,
    notes,
    output,
    print_table,
    print_warning,
    progress_bar,
    read_experiment,
)

if TYPE_CHECKING:
    from core.corpora.corpus_report import CorpusReport
    from core.corpora.index import CorpusIndex
    from core.lines.source import StoredLine
    from core.patches.plan import PatchSampler
    from search.experiment.experiment import Experiment
    from search.sweep.preparation import PreparedCorpus, ReadCorpus

app = typer.Typer(help="Look at a corpus, its split and its patches.", no_args_is_help=True)
app.command()(data_fetch.fetch)
app.command()(data_preview.preview)
_INTERRUPTED = 130
_SHOWN_REASONS = 10
_SHOWN_NAMES = 3


class Subset(StrEnum):
    """A subset of the split."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@app.command()
def stats(
    experiment: ExperimentFile,
    overrides: Overrides = [],  # noqa: B006  (typer copies it)
    reports: Annotated[
        Path | None, typer.Option(help="A folder for the counts (JSON) and tables of all that is not used (CSV).")
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="List every reason and every file that is not used.")] = False,
) -> None:
    """Count writers, pages, images, lines and patches, and list what is not used, and why."""
    from core.corpora.corpus_report import write_excluded
    from core.corpora.image_walk import count_other_files
    from search.sweep.preparation import divide_corpus

    settings = read_experiment(experiment, overrides, needs_budget=False)
    read = _read(settings)
    index = read.index
    notice = "  (generated, not real handwriting)" if index.generated else ""
    output.print(f"{index.name}  {index.root}{notice}")
    try:
        corpus = divide_corpus(read, settings, reports)
    except (CorpusError, SplitError):  # what was found may tell why
        _print_corpus_report(read.corpus_report, show_all)
        raise
    if reports is not None:
        write_excluded(corpus.corpus_report.not_chosen, reports / "not_chosen.csv")
    manifest = corpus.manifest
    _print_corpus_report(corpus.corpus_report, show_all)
    others = count_other_files(index)
    if others and not index.generated:
        ranked = sorted(others.items(), key=lambda kind: (-kind[1], kind[0]))
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in ranked)
        output.print(
            f"beside them {counted(others.total(), 'file that is no image', 'files that are no images')}: {kinds}"
        )
    _print_units(index)
    _print_subsets(corpus)
    per_writer = Counter(image.writer_id for image in index.images)
    output.print(
        f"images per writer: {min(per_writer.values())} to {max(per_writer.values())}, "
        f"median {statistics.median(per_writer.values()):g}; split by {manifest.divided_by}, hash {manifest.hash[:12]}"
    )
    sampler = _sampler(corpus, settings)
    output.print(
        f"training patches per epoch: {sampler.n_patches_per_epoch:,} of {settings.patches.size_px}x"
        f"{settings.patches.size_px} px (asked for {settings.patches.patches_per_epoch:,}, at most "
        f"{settings.patches.fraction:.0%} of a line's possible offsets)"
    )


@app.command()
def split(
    experiment: ExperimentFile,
    overrides: Overrides = [],  # noqa: B006
    out: Annotated[Path, typer.Option(help="The manifest to write.")] = Path("split.json"),
) -> None:
    """Divide the pages into train, validation and test, and write the manifest with its hash."""
    corpus = _prepare(read_experiment(experiment, overrides, needs_budget=False))
    corpus.manifest.save(out)
    _print_corpus_report(corpus.corpus_report)
    _print_subsets(corpus)
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
    with progress_bar("reading text lines") as advance:
        found = run_audit(settings, current_workspace(), choice, lambda: make_progress(notes), advance)
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


def _read(settings: "Experiment") -> "ReadCorpus":
    from search.sweep.preparation import read_corpus

    with progress_bar("reading text lines") as advance:
        return read_corpus(settings, current_workspace(), advance)


def _prepare(settings: "Experiment") -> "PreparedCorpus":
    from search.sweep.preparation import divide_corpus

    return divide_corpus(_read(settings), settings)


def _sampler(corpus: "PreparedCorpus", settings: "Experiment") -> "PatchSampler":
    from core.patches.plan import PatchSampler

    manifest = corpus.manifest
    return PatchSampler(
        corpus.store, manifest.train, manifest.writer_ids, settings.patches, settings.seed, manifest.leak("train")
    )


def _print_subsets(corpus: "PreparedCorpus") -> None:
    """By which rules the corpus was chosen and divided, and how much is in each subset."""
    manifest = corpus.manifest
    if manifest.warning:
        print_warning(manifest.warning)
    if manifest.choice is not None:
        notes.print(f"writers: {manifest.choice.rule}")
    images = {image.image_id: image for image in corpus.index.images}
    pages = ("pages",) if corpus.index.has_pages else ()
    rows = []
    for subset in Subset:
        ids = corpus.manifest.image_ids(subset.value)
        n_lines = Counter(line.image_id for line in _lines(corpus, subset))
        if corpus.manifest.leaky is not None:  # by line not every image is in both
            ids = tuple(image_id for image_id in ids if n_lines[image_id])
        counts = [len({images[i].writer_id for i in ids}), len(ids), n_lines.total()]
        if corpus.index.has_pages:
            counts.insert(1, len({images[i].page_id for i in ids}))
        rows.append((subset.value, *(f"{count:,}" for count in counts)))
    print_table(("subset", "writers", *pages, "images", "lines"), rows)


def _lines(corpus: "PreparedCorpus", subset: Subset) -> "list[StoredLine]":
    """The lines of a subset; those of a leaky split as they are dealt out."""
    ids, leak = set(corpus.manifest.image_ids(subset.value)), corpus.manifest.leak(subset.value)
    lines = [line for line in corpus.store.lines if line.image_id in ids]
    return lines if leak is None else [line for line, is_in in zip(lines, leak.choose(lines), strict=True) if is_in]


def _print_corpus_report(corpus_report: "CorpusReport", show_all: bool = False) -> None:
    """The sum that must come out even, and the reasons behind it."""
    from core.corpora.corpus_report import group_reasons

    output.print(
        f"found {corpus_report.n_found:,} = {corpus_report.n_used:,} used + "
        f"{corpus_report.n_not_chosen:,} not chosen + {corpus_report.n_unusable:,} unusable"
    )
    for what, entries in (("unusable", corpus_report.unusable), ("not chosen", corpus_report.not_chosen)):
        groups = group_reasons(entries)
        shown = groups if show_all else groups[:_SHOWN_REASONS]
        for group in shown:
            named = group.entries[:_SHOWN_NAMES]
            more = len(group.entries) - len(named)
            names = ", ".join(entry.image_id or str(entry.path) for entry in named)
            names += f" and {more:,} more" if more else ""
            notes.print(f"{what}, {len(group.entries):,}: {group.reason} ({names})")
            for entry in group.entries if show_all else ():
                notes.print(f"    {entry.path}: {entry.reason}")
        if len(shown) < len(groups):
            n_more = sum(len(group.entries) for group in groups[_SHOWN_REASONS:])
            notes.print(
                f"{what}, {n_more:,}: for {counted(len(groups) - len(shown), 'other reason')}; --all lists them"
            )


def _print_units(index: "CorpusIndex") -> None:
    """What the images were taken for."""
    units = Counter(image.unit for image in index.images)
    names = {"line": "text line", "page": "page", "form": "form", "auto": "image"}
    counts = [
        counted(n_images, names[unit]) + (" as its ink tells" * (unit == "auto"))
        for unit, n_images in units.most_common()
    ]
    output.print("read as: " + ", ".join(counts))
