"""Pages by writers whom a model does not know, to calibrate likelihood ratios on: others than those
that it takes along.
"""

import hashlib
from pathlib import Path

from core.errors import RetrievalError
from core.lines.reading import ProgressCallback
from core.retrieval.described_corpus import describe_corpus
from core.retrieval.known_hands import PagesByInk
from search.comparison.retrieval_pages import choose_pages, open_pages
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.identification.kept_register import load_hands
from search.identification.page_reader import PageReader
from search.identification.verification import CalibrationPages
from search.sweep.preparation import read_corpus


def calibration_pages(
    place: Path | Experiment | None,
    model_folder: Path,
    reader: PageReader,
    workspace: Workspace,
    on_progress: ProgressCallback,
) -> CalibrationPages:
    """The pages that are named, or else those that the model takes along.

    Args:
        place: see `describe_calibration_pages`; `None` for the model's own.
        model_folder: of the model's files.
        reader: of the same model.
        workspace: keeps lines and descriptors.
        on_progress: called with (images read, in all).

    Raises:
        RetrievalError: if the model takes none along.
        WhosehandError: says what is wrong with the corpus.
    """
    if place is not None:
        return describe_calibration_pages(place, model_folder, reader, workspace, on_progress)
    hands = load_hands(model_folder)
    if hands is None:
        raise RetrievalError(
            "This model takes no pages along to calibrate on: it was promoted before there was `verify`, or is a "
            "trial's. Give pages by writers whom training never saw: `whosehand verify A B --calibrate-on FOLDER`."
        )
    return CalibrationPages(hands.set_aside, hands.set_aside_from)


def describe_calibration_pages(
    place: Path | Experiment,
    model_folder: Path,
    reader: PageReader,
    workspace: Workspace,
    on_progress: ProgressCallback,
) -> CalibrationPages:
    """Describe the pages of a corpus by writers whom the model was not trained on, once.

    Args:
        place: an experiment, its file, or a folder of scans whose writers are known. Test pages
            that stay sealed are left out.
        model_folder: says on whom the model was trained.
        reader: of the same model.
        workspace: keeps lines and descriptors.
        on_progress: called with (images read, in all).

    Raises:
        WhosehandError: says what is wrong with the corpus.
    """
    record = reader.identifier.record
    experiment, is_own = open_pages(place)
    corpus = read_corpus(experiment.model_copy(update={"ink": record.ink}), workspace, on_progress)
    chosen = choose_pages(corpus, experiment if is_own else None, model_folder, includes_known=False)
    origin = f"writers of {corpus.index.name} whom training never saw"
    key = hashlib.sha256("\0".join((reader.source, str(corpus.store.folder), *chosen.image_ids)).encode())
    kept = workspace.indexes / f"{key.hexdigest()[:16]}.npz"
    if not kept.is_file():
        pages = describe_corpus(corpus.store, chosen.image_ids, record.patches, reader.embedder)
        described = PagesByInk.of(pages, len(pages[0].descriptor) if pages else 0)
        described.save(kept)
        return CalibrationPages(described, origin)
    return CalibrationPages(PagesByInk.load(kept), origin)
