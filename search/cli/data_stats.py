"""`whosehand data stats`: what is in a corpus, what of it is not used, and how well it is read."""

import statistics
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import CorpusError, SplitError
from core.wording import counted
from search.cli.common import (
    ExperimentFile,
    Overrides,
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
    from core.lines.reading_report import ReadImage, ReadingReport
    from core.lines.source import StoredLine
    from search.experiment.experiment import Experiment
    from search.sweep.preparation import PreparedCorpus, ReadCorpus

READINGS_FILE = "readings.csv"
_SHOWN = 10


class Subset(StrEnum):
    """A subset of the split."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


def stats(
    experiment: ExperimentFile,
    overrides: Overrides = [],  # noqa: B006  (typer copies it)
    reports: Annotated[
        Path | None,
        typer.Option(
            help="A folder for the counts (JSON), and tables of how each image was read and what is not used."
        ),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="List every reason, every file not used, and every page that is read badly.")
    ] = False,
) -> None:
    """Count writers, pages, images, lines and patches; list what is read badly, or not used."""
    from core.corpora.corpus_report import write_excluded
    from core.lines.reading_report import report_readings
    from search.sweep.preparation import divide_corpus

    settings = read_experiment(experiment, overrides, needs_budget=False)
    read = read_with_bar(settings)
    index = read.index
    notice = "  (generated, not real handwriting)" if index.generated else ""
    output.print(f"{index.name}  {index.root}{notice}")
    try:
        corpus = divide_corpus(read, settings, reports)
    except (CorpusError, SplitError):  # what was found may tell why
        print_corpus_report(read.corpus_report, show_all)
        raise
    readings = report_readings(index.images, corpus.store.readings, corpus.store.unusable)
    if reports is not None:
        write_excluded(corpus.corpus_report.not_chosen, reports / "not_chosen.csv")
        readings.write(reports / READINGS_FILE)
    _print_readings(readings, show_all)
    print_corpus_report(corpus.corpus_report, show_all)
    _print_other_files(index)
    _print_units(index, readings)
    print_subsets(corpus)
    print_searched(corpus, settings)
    _print_split(corpus, settings)
    _print_expectation(corpus)


def read_with_bar(settings: "Experiment") -> "ReadCorpus":
    """Read a corpus, and show how far it is."""
    from search.sweep.preparation import read_corpus

    with progress_bar("reading the corpus") as advance:
        return read_corpus(settings, current_workspace(), advance)


def print_corpus_report(corpus_report: "CorpusReport", show_all: bool = False) -> None:
    """Print the sum that must come out even, and the reasons behind it."""
    from core.corpora.corpus_report import group_reasons
    from core.lines.copies import COPY

    output.print(
        f"found {corpus_report.n_found:,} = {corpus_report.n_used:,} used + "
        f"{corpus_report.n_not_chosen:,} not chosen + {corpus_report.n_unusable:,} unusable"
    )
    for what, entries in (("unusable", corpus_report.unusable), ("not chosen", corpus_report.not_chosen)):
        groups = group_reasons(entries)
        shown = groups if show_all else groups[:_SHOWN]
        for group in shown:
            number, reason = f"{len(group.entries):,}", f": {group.reason}"
            if reason.startswith(f": {COPY}"):
                number = f"{counted(len(group.entries), 'copy', 'copies')} of another image"
                reason = f", such as of {group.entries[0].reason.removeprefix(f'{COPY}, ')}"
            notes.print(f"{what}, {number}{reason} ({group.names})")
            for entry in group.entries if show_all else ():
                notes.print(f"    {entry.path}: {entry.reason}")
        if len(shown) < len(groups):
            n_more = sum(len(group.entries) for group in groups[_SHOWN:])
            notes.print(
                f"{what}, {n_more:,}: for {counted(len(groups) - len(shown), 'other reason')}; --all lists them"
            )


def print_subsets(corpus: "PreparedCorpus") -> None:
    """Print by which rules the corpus was chosen and divided, and how much is in each subset."""
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


def print_searched(corpus: "PreparedCorpus", settings: "Experiment") -> None:
    """Print what is searched for pages by the same hand, or why nothing can be; nothing where the
    split is not by writer.
    """
    from search.sweep.unseen_writers import searched_pages

    try:
        for pages in searched_pages(settings, corpus):
            output.print(pages.in_words())
    except SplitError as error:  # the division is one to hand on all the same
        print_warning(f"no sweep can be judged on it. {error}")


def _lines(corpus: "PreparedCorpus", subset: Subset) -> "list[StoredLine]":
    """The lines of a subset; those of a leaky split as they are dealt out."""
    ids, leak = set(corpus.manifest.image_ids(subset.value)), corpus.manifest.leak(subset.value)
    lines = [line for line in corpus.store.lines if line.image_id in ids]
    return lines if leak is None else [line for line, is_in in zip(lines, leak.choose(lines), strict=True) if is_in]


def _print_readings(readings: "ReadingReport", show_all: bool) -> None:
    """Which pages to look at, the worst first, and what fell out of them."""
    bad = readings.bad
    if bad:
        output.print(f"read badly, by signs that can be measured: {len(bad):,} of {counted(readings.n_read, 'image')}")
    for read in bad if show_all else bad[:_SHOWN]:
        notes.print(f"read badly: {_name(read)}: {'; '.join(read.reading.signs)}")
    if len(bad) > _SHOWN and not show_all:
        notes.print(f"read badly: {len(bad) - _SHOWN:,} more; --all lists them")
    if bad:
        notes.print("    `whosehand data preview EXPERIMENT --all --out FOLDER` draws all pages, the worst first")
    with_slivers = [read for read in readings.images if read.reading.n_slivers]
    if with_slivers:
        n_slivers = sum(read.reading.n_slivers for read in with_slivers)
        output.print(
            f"no lines, but {counted(n_slivers, 'sliver')} (rests of rules, cut tops of lines) "
            f"fell out of {counted(len(with_slivers), 'image')} ({_names(with_slivers)})"
        )


def _print_other_files(index: "CorpusIndex") -> None:
    """What else lies below the root, so that every file is accounted for."""
    from core.corpora.image_walk import count_other_files, is_picture_name

    others = count_other_files(index) if not index.generated else Counter[str]()
    ranked = sorted(others.items(), key=lambda kind: (-kind[1], kind[0]))
    images = [kind for kind in ranked if is_picture_name(f"x{kind[0]}")]
    for kinds, one, several in (
        (images, "image that the corpus does not name", "images that the corpus does not name"),
        ([kind for kind in ranked if kind not in images], "file that is no image", "files that are no images"),
    ):
        if kinds:
            listed = ", ".join(f"{n_files:,} {suffix}" for suffix, n_files in kinds)
            output.print(f"beside them {counted(sum(n for _, n in kinds), one, several)}: {listed}")


def _print_units(index: "CorpusIndex", readings: "ReadingReport") -> None:
    """What the images were said to be; and where nobody said it, what they were taken for."""
    units = Counter(image.unit for image in index.images)
    names = {"line": "text line", "page": "page", "form": "form", "auto": "image"}
    counts = [
        counted(n_images, names[unit])
        + (" as its ink tells" if n_images == 1 else " as their ink tells") * (unit == "auto")
        for unit, n_images in units.most_common()
    ]
    output.print("read as: " + ", ".join(counts))
    taken = readings.taken_for
    for number, (kind, images) in enumerate(sorted(taken.items(), key=lambda kind: -len(kind[1]))):
        named = f" ({_names(images)})" if number > 0 else ""  # the few are those that may have been taken wrongly
        output.print(f"    taken for {counted(len(images), 'text line' if kind == 'line' else kind)}{named}")
    if readings.n_unknown:
        notes.print(
            f"how well {counted(readings.n_unknown, 'image')} were read was not measured when they were; "
            "delete data/lines, and they are read anew"
        )


def _print_split(corpus: "PreparedCorpus", settings: "Experiment") -> None:
    from core.patches.plan import PatchSampler

    manifest = corpus.manifest
    per_writer = Counter(image.writer_id for image in corpus.index.images)
    output.print(
        f"images per writer: {min(per_writer.values())} to {max(per_writer.values())}, "
        f"median {statistics.median(per_writer.values()):g}; split by {manifest.divided_by}, hash {manifest.hash[:12]}"
    )
    sampler = PatchSampler(
        corpus.store, manifest.train, manifest.writer_ids, settings.patches, settings.seed, manifest.leak("train")
    )
    output.print(
        f"training patches per epoch: {sampler.n_patches_per_epoch:,} of {settings.patches.size_px}x"
        f"{settings.patches.size_px} px (asked for {settings.patches.patches_per_epoch:,}, at most "
        f"{settings.patches.fraction:.0%} of a line's possible offsets)"
    )


def _print_expectation(corpus: "PreparedCorpus") -> None:
    """Print what so much handwriting of each writer may give, as it was measured; nothing where
    training does not see the writers, or sees a part of what it is judged on.
    """
    from core.corpora.expectation import expect

    manifest = corpus.manifest
    if manifest.has_unseen_writers or manifest.leaky is not None:
        return
    images = {image.image_id: image for image in corpus.index.images}
    units: dict[str, set[str]] = {}
    for image_id in manifest.train:
        image = images[image_id]
        units.setdefault(image.writer_id, set()).add(image.group_id if corpus.index.has_pages else image_id)
    output.print(
        expect(
            statistics.median(len(of_writer) for of_writer in units.values()),
            "page" if corpus.index.has_pages else "image",
        ).in_words()
    )


def _names(images: "list[ReadImage]") -> str:
    n_more = len(images) - 3
    return ", ".join(map(_name, images[:3])) + (f" and {n_more:,} more" if n_more > 0 else "")


def _name(read: "ReadImage") -> str:
    return read.image.image_id
