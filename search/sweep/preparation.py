"""From an experiment to what its trials read: the index, the line store, the report on both, and
the split.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.corpora.catalogue import open_corpus
from core.corpora.corpus_report import CorpusReport, check_share, report_corpus, write_excluded
from core.corpora.index import Choice, CorpusIndex, Excluded, exclude_odd_names
from core.corpora.writer_choice import choose_writers
from core.errors import LineStoreError, SplitError
from core.lines.copies import exclude_copies
from core.lines.fingerprints import fingerprints_of, once_it_takes_long
from core.lines.reading import ProgressCallback
from core.lines.store import LineStore, build_line_store
from core.pages.frames import blank_frames, index_frames
from core.pages.text_lines import READER_VERSION
from core.splits.division import divide
from core.splits.manifest import SUBSETS, SplitManifest
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace

SPLIT_FILE = "split.json"
UNUSABLE_FILE = "unusable.csv"
CORPUS_REPORT_FILE = "corpus_report.json"
READER_FILE = "reader.txt"
_READER_OF_0_1 = "1"


@dataclass(frozen=True)
class ReadCorpus:
    """A corpus whose lines were read, but that is not divided yet.

    Attributes:
        index: what of the corpus takes part; whom `writers` excludes is in its `not_chosen`.
        choice: the rule by which writers and pages take part; `None` where there is no rule.
        store: the text lines of its images.
        corpus_report: what became of everything that was found.
    """

    index: CorpusIndex
    choice: Choice | None
    store: LineStore
    corpus_report: CorpusReport


@dataclass(frozen=True)
class PreparedCorpus:
    """A corpus that is ready to be trained on.

    Attributes:
        index: what of the corpus takes part; whom `writers` excludes is in its `not_chosen`.
        manifest: which images are for training, validation and test.
        store: their text lines.
        corpus_report: what became of everything that was found; images in no subset of the split
            are not chosen.
    """

    index: CorpusIndex
    manifest: SplitManifest
    store: LineStore
    corpus_report: CorpusReport

    @property
    def shortcomings(self) -> str:
        """How many images are unusable and how many writers excluded, in words; empty if none."""
        counts = {
            "unusable image": self.corpus_report.n_unusable,
            "excluded writer": len(self.manifest.excluded_writers),
        }
        return ", ".join(f"{n} {what}{'' if n == 1 else 's'}" for what, n in counts.items() if n)


def prepare_corpus(
    experiment: Experiment,
    workspace: Workspace,
    on_progress: ProgressCallback | None = None,
    reports: Path | None = None,
) -> PreparedCorpus:
    """Read the corpus and divide it; see `read_corpus` and `divide_corpus`."""
    return divide_corpus(read_corpus(experiment, workspace, on_progress), experiment, reports)


def index_corpus(
    experiment: Experiment, workspace: Workspace, on_progress: ProgressCallback | None = None
) -> CorpusIndex:
    """List the images of a corpus: one for each page, none twice, all under names that can be
    written down.

    Args:
        experiment: names the corpus.
        workspace: where generated pages, and what is known of files, are kept.
        on_progress: called with (files done, files in all) while copies are looked for, if that
            takes more than a second.

    Raises:
        CorpusError: if the corpus is missing or holds too little.
    """
    found = exclude_odd_names(open_corpus(experiment.handwriting, workspace.generated).index())
    if found.generated:  # one page a file, and none twice
        return found
    try:
        workspace.line_stores.mkdir(parents=True, exist_ok=True)
        kept_in = fingerprints_of(found.root, workspace.line_stores)
        return index_frames(exclude_copies(found, kept_in, once_it_takes_long(on_progress)))
    except OSError as error:
        raise LineStoreError(
            f"What is known of a corpus must be written to {workspace.line_stores}, but that failed ({error}). "
            "Free space, or choose another folder."
        ) from error


def read_corpus(
    experiment: Experiment, workspace: Workspace, on_progress: ProgressCallback | None = None
) -> ReadCorpus:
    """Read the corpus and build its line store, or open what is there already.

    Args:
        experiment: names corpus and ink settings.
        workspace: where generated pages and line stores are kept.
        on_progress: called with (files done, files in all) while files are looked at, then with
            (images done, images in all) while lines are built.

    Raises:
        CorpusError: if the corpus is missing or holds too little, or its writers cannot be chosen
            as asked.
        LineStoreError: if the lines cannot be written.
    """

    def build(index: CorpusIndex) -> LineStore:
        return build_line_store(index, experiment.ink, workspace.line_stores, on_progress)

    found = index_corpus(experiment, workspace, on_progress)
    # Only who takes part is read. By ink all others are read first; the second store reads no image
    # again.
    chosen = choose_writers(found, experiment.writers, count_ink=lambda index: _count_ink(build(index)))
    store = build(chosen.index)
    return ReadCorpus(chosen.index, chosen.choice, store, _report(chosen.index, store))


def divide_corpus(corpus: ReadCorpus, experiment: Experiment, reports: Path | None = None) -> PreparedCorpus:
    """Divide what can be read of a corpus, unless too much of it cannot.

    Args:
        corpus: as it was read.
        experiment: says how much may be unusable, and how to divide.
        reports: a folder where the counts and the table of what is unusable are written, also if it
            is too much.

    Raises:
        CorpusError: if too many images are unusable (`quarantine.max_share`).
        SplitError: if the pages cannot be divided as asked.
    """
    files = write_reports(corpus.corpus_report, reports) if reports is not None else {}
    check_share(corpus.corpus_report, experiment.quarantine, files.get(UNUSABLE_FILE))
    unusable = {str(entry.image_id) for entry in corpus.store.unusable}
    manifest = replace(divide(corpus.index, experiment.split, unusable), choice=corpus.choice)
    manifest.check_fits(corpus.index)
    corpus_report = _report(corpus.index, corpus.store, _in_no_subset(corpus.index, manifest))
    if reports is not None:
        write_reports(corpus_report, reports)
    return PreparedCorpus(corpus.index, manifest, corpus.store, corpus_report)


def write_reports(corpus_report: CorpusReport, folder: Path) -> Mapping[str, Path]:
    """Write what became of a corpus into a folder: the counts as JSON, what is unusable as a table
    in CSV.

    Returns:
        The files by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / name for name in (CORPUS_REPORT_FILE, UNUSABLE_FILE)}
    corpus_report.write(files[CORPUS_REPORT_FILE])
    write_excluded(corpus_report.unusable, files[UNUSABLE_FILE])
    return files


def save_split(manifest: SplitManifest, folder: Path) -> Path:
    """Write the split's manifest into a sweep's folder, or see that it is the one that is there.

    Raises:
        SplitError: if the sweep was begun with another split: the corpus has changed since, and
            scores of trials before and after could not be compared.
    """
    path = folder / SPLIT_FILE
    if not path.exists():
        manifest.save(path)
        return path
    begun_with = SplitManifest.load(path)
    if begun_with.hash != manifest.hash:
        raise SplitError(
            f"A sweep goes on with the split that it was begun with, but the corpus has changed since: {path} has hash "
            f"{begun_with.hash[:12]} ({_counts(begun_with)}), the corpus now gives {manifest.hash[:12]} "
            f"({_counts(manifest)}). Restore the corpus, or give the experiment another name."
        )
    return path


def check_reader(index: CorpusIndex, folder: Path, is_begun: bool) -> str:
    """See whether a sweep's pages are read as they were when it was begun, and keep by which reader
    they are.

    Args:
        index: of the corpus; images that are single lines every reader reads alike.
        folder: of the sweep.
        is_begun: whether it was launched before; if nothing is kept then, 0.1 has begun it.

    Returns:
        What the user must know; empty if nothing has changed.
    """
    if all(image.unit == "line" for image in index.images):
        return ""
    path, now = folder / READER_FILE, str(READER_VERSION)
    before = path.read_text(encoding="utf-8").strip() if path.is_file() else _READER_OF_0_1 if is_begun else now
    if not path.is_file():
        path.write_text(f"{before}\n", encoding="utf-8")
    if before == now:
        return ""
    return (
        f"Pages are read by reader {now}, but this sweep was begun with reader {before}, which finds other lines: what "
        "is trained from here on cannot be compared with its earlier trials. Give the experiment another name to "
        "search anew."
    )


def _counts(manifest: SplitManifest) -> str:
    return f"{len(manifest.train)} + {len(manifest.validation)} + {len(manifest.test)} images"


def _report(index: CorpusIndex, store: LineStore, not_chosen: Sequence[Excluded] = ()) -> CorpusReport:
    blank = blank_frames(index.images, store.unusable)
    blank_ids = {entry.image_id for entry in blank}
    unreadable = [entry for entry in store.unusable if entry.image_id not in blank_ids]
    return report_corpus(index, {line.image_id for line in store.lines}, unreadable, (*not_chosen, *blank))


def _count_ink(store: LineStore) -> Counter[str]:
    """Ink pixels of each writer's lines."""
    counts: Counter[str] = Counter()
    for number, line in enumerate(store.lines):
        counts[line.writer_id] += int(store.n_ink(number)[-1])
    return counts


def _in_no_subset(index: CorpusIndex, manifest: SplitManifest) -> list[Excluded]:
    """The images of the index that are in no subset of the split, and why."""
    divided = {image_id for subset in SUBSETS for image_id in manifest.image_ids(subset)}
    why = {writer.writer_id: f"writer {writer.writer_id!r} {writer.reason}" for writer in manifest.excluded_writers}
    return [
        Excluded(image.path, why.get(image.writer_id, "is in no subset of the split"), image.image_id)
        for image in index.images
        if image.image_id not in divided
    ]
