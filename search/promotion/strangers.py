"""Writers who took no part in a sweep: real strangers, where the corpus has some."""

from dataclasses import replace
from pathlib import Path

from core.corpora.odd_names import set_odd_names_aside
from core.lines.store import build_line_store
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.sweep.preparation import PreparedCorpus

FEWEST_IMAGES = 20
"""Below this many images no rate of 5 % can be told."""
_MOST_IMAGES = 400


def stranger_lines(experiment: Experiment, workspace: Workspace, corpus: PreparedCorpus) -> Path | None:
    """The line store of images by writers whom the experiment left out, or who had too few pages for the split.

    Args:
        experiment: names the corpus.
        workspace: where line stores are kept.
        corpus: as the experiment prepared it.

    Returns:
        The store's folder, of at most 400 images, evenly chosen; `None` if fewer than twenty can be used.
    """
    known = set(corpus.manifest.writer_ids)
    found = set_odd_names_aside(experiment.corpus.open(workspace.generated).index())
    images = [image for image in found.images if image.writer_id not in known]
    if len(images) < FEWEST_IMAGES:
        return None
    chosen = tuple(images[:: -(-len(images) // _MOST_IMAGES)])
    store = build_line_store(replace(found, images=chosen), experiment.ink, workspace.line_stores)
    n_usable = len({line.image_id for line in store.lines})
    return store.folder if n_usable >= FEWEST_IMAGES else None
