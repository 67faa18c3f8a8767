"""From an experiment to what its trials read: the index, the split and the line store."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from core.corpora.base import CorpusIndex, SetAside
from core.errors import SplitError
from core.linestore import LineStore, build_line_store
from core.split import PARTS, SplitManifest, split_pages
from core.writer_choice import choose_writers
from search.config import Experiment
from search.workspace import Workspace

Progress = Callable[[int, int], None]
SPLIT_FILE = "split.json"


@dataclass(frozen=True)
class PreparedCorpus:
    """A corpus that is ready to be trained on.

    Attributes:
        index: what of the corpus takes part; whom `writers` leaves out is in its `left_out`.
        manifest: which images are for training, validation and test.
        store: their text lines.
    """

    index: CorpusIndex
    manifest: SplitManifest
    store: LineStore

    @property
    def left_out(self) -> tuple[SetAside, ...]:
        """The images of the index that are in no part of the split on purpose, and why."""
        used = {image_id for part in PARTS for image_id in self.manifest.image_ids(part)}
        reasons = {writer.writer_id: writer.reason for writer in self.manifest.left_out}
        return tuple(
            SetAside(
                image.path,
                f"writer {image.writer_id!r} {reasons[image.writer_id]}"
                if image.writer_id in reasons
                else "is in no part of the split",
                image.image_id,
            )
            for image in self.index.images
            if image.image_id not in used
        )

    @property
    def shortcomings(self) -> str:
        """How many images were set aside and how many writers left out, in words; empty if none."""
        counts = {
            "images set aside": len(self.index.set_aside) + len(self.store.set_aside),
            "writers left out": len(self.manifest.left_out),
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def prepare_corpus(experiment: Experiment, workspace: Workspace, on_progress: Progress | None = None) -> PreparedCorpus:
    """Read the corpus, divide it and build its line store, or open what is there already.

    Args:
        experiment: names corpus, split and ink settings.
        workspace: where generated pages and line stores are kept.
        on_progress: called with (images done, images in all) while lines are built.

    Raises:
        CorpusError: if the corpus is missing or holds too little, or its writers cannot be chosen as asked.
        SplitError: if its pages cannot be divided as asked.
    """

    def build(index: CorpusIndex) -> LineStore:
        return build_line_store(index, experiment.ink, workspace.line_stores, on_progress)

    found = experiment.corpus.open(workspace.generated).index()
    # Only who takes part is read. By ink all others are read first; the second store reads no image again.
    chosen = choose_writers(found, experiment.writers, count_ink=lambda index: _count_ink(build(index)))
    manifest = replace(split_pages(chosen.index, experiment.split), choice=chosen.choice)
    manifest.check_fits(chosen.index)
    return PreparedCorpus(chosen.index, manifest, build(chosen.index))


def save_split(manifest: SplitManifest, folder: Path) -> Path:
    """Write the split's manifest into a sweep's folder, or see that it is the one that is there.

    Raises:
        SplitError: if the sweep was begun with another split: the corpus has changed since, and scores of trials
            before and after could not be compared.
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


def _counts(manifest: SplitManifest) -> str:
    return f"{len(manifest.train)} + {len(manifest.validation)} + {len(manifest.test)} images"


def _count_ink(store: LineStore) -> Counter[str]:
    """Ink pixels of each writer's lines."""
    counts: Counter[str] = Counter()
    for number, line in enumerate(store.lines):
        counts[line.writer_id] += int(store.n_ink(number)[-1])
    return counts
