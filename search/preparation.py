"""From an experiment to what its trials read: the index, the split and the line store."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.corpora.base import CorpusIndex
from core.errors import SplitError
from core.linestore import LineStore, build_line_store
from core.split import SplitManifest, split_pages
from search.config import Experiment
from search.workspace import Workspace

Progress = Callable[[int, int], None]
SPLIT_FILE = "split.json"


@dataclass(frozen=True)
class PreparedCorpus:
    """A corpus that is ready to be trained on.

    Attributes:
        index: what the corpus holds.
        manifest: which images are for training, validation and test.
        store: their text lines.
    """

    index: CorpusIndex
    manifest: SplitManifest
    store: LineStore

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
        CorpusError: if the corpus is missing or holds too little.
        SplitError: if its pages cannot be divided as asked.
    """
    index = experiment.corpus.open(workspace.generated).index()
    manifest = split_pages(index, experiment.split)
    manifest.check_fits(index)
    store = build_line_store(index, experiment.ink, workspace.line_stores, on_progress)
    return PreparedCorpus(index, manifest, store)


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
