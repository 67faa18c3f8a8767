"""The corpus of an experiment, or what lies in `data/`: readable, and its line store as it was written."""

from collections.abc import Iterator
from pathlib import Path

from core.corpora.resemblance import resembling_layout
from core.errors import LineStoreError, WhosehandError
from core.lines.store import LineStore
from core.lines.view import LIST
from search.experiment.experiment import Experiment
from search.sweep.preparation import divide_corpus, read_corpus
from search.upkeep.machine_checks import Finding, Level, Subject

GENERATED = "hands"
_NO_CORPORA = ("lines",)


def check_corpora(subject: Subject) -> Iterator[Finding]:
    """Read the experiment's corpus as a sweep would; without one, look at what is there."""
    if subject.experiment is not None:
        yield from _check_corpus(subject, subject.experiment)
        return
    for folder in sorted(subject.workspace.generated.glob("*")):
        if folder.is_dir() and folder.name not in _NO_CORPORA and not folder.name.startswith((".", "benchmark-")):
            yield _check_folder(folder)
    for path in sorted(subject.workspace.line_stores.glob(f"*/{LIST}")):
        yield _check_lines(path.parent)


def _check_corpus(subject: Subject, experiment: Experiment) -> Iterator[Finding]:
    try:
        corpus = read_corpus(experiment, subject.workspace)
        corpus.store.verify()
        census = corpus.census
        text = (
            f"{census.corpus}: {census.n_found:,} images found, {census.n_used:,} used, {census.n_left_out:,} left "
            f"out, {census.n_quarantined:,} set aside; {len(corpus.store):,} lines, all as they were written"
        )
        yield Finding(Level.OK, "corpus", text)
        manifest = divide_corpus(corpus, experiment).manifest
    except WhosehandError as error:
        yield Finding(Level.PROBLEM, "corpus", str(error))
        return
    if census.n_quarantined:
        text = f"{census.n_quarantined:,} images cannot be used"
        yield Finding(Level.NOTE, "corpus", text, "`whosehand data stats` lists them")
    counts = f"{len(manifest.train):,} + {len(manifest.validation):,} + {len(manifest.test):,} images"
    yield Finding(Level.OK, "split", f"{counts} of {len(manifest.writer_ids)} writers, hash {manifest.hash[:12]}")


def _check_folder(folder: Path) -> Finding:
    if folder.name == GENERATED:
        n_corpora = sum(path.is_dir() for path in folder.iterdir())
        return Finding(Level.OK, "corpora", f"{folder.name}: generated handwriting, {n_corpora} of its settings")
    try:
        found = resembling_layout(folder)
    except (OSError, WhosehandError) as error:
        return Finding(Level.PROBLEM, "corpora", f"{folder} cannot be read: {error}", "mend its permissions")
    if found is None:
        return Finding(Level.OK, "corpora", f"{folder.name}: of no layout that is told by its look")
    return Finding(Level.OK, "corpora", f"{folder.name}: looks like the layout {found.layout}")


def _check_lines(folder: Path) -> Finding:
    try:
        store = LineStore.open(folder)
        store.verify()
    except LineStoreError as error:
        return Finding(Level.PROBLEM, "lines", str(error))
    return Finding(Level.OK, "lines", f"{folder.name}: {len(store):,} lines, all as they were written")
