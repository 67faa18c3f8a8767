"""Which pages of a corpus a model is scored on when it looks for pages by the same hand.

The question is about hands that the model does not know, so its own writers are left out, unless
they are asked for. Test pages that an experiment keeps sealed stay sealed.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.corpora.index import TextImage
from core.corpora.resemblance import found_below, resembling_layout
from core.errors import ConfigError, CorpusError, RetrievalError, SplitError
from core.identification.model_record import ModelRecord
from search.experiment.experiment import Experiment, load_experiment
from search.identification.identifier_folder import read_record, read_split
from search.sweep.preparation import ReadCorpus, divide_corpus

_EXPERIMENT_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class ChosenPages:
    """Which images of a corpus take part.

    Attributes:
        image_ids: those that do.
        n_known_writers: writers of the corpus that the model was trained on.
        n_sealed: images that stay sealed for the test of a promotion.
    """

    image_ids: tuple[str, ...]
    n_known_writers: int
    n_sealed: int


def open_pages(place: Path | Experiment, overrides: Sequence[str] = ()) -> tuple[Experiment, bool]:
    """The corpus that an experiment file names, or that a folder holds.

    Args:
        place: an experiment or its YAML file, a folder of scans, or a CSV table of them.
        overrides: of single keys of the file.

    Returns:
        An experiment with the corpus, and whether it is the user's own: only those divide their
        pages.

    Raises:
        ConfigError: if there is nothing, the file is wrong, or there are overrides for a folder.
        CorpusError: if no layout is recognised.
    """
    if isinstance(place, Experiment):
        return place, True
    if place.suffix.lower() in _EXPERIMENT_SUFFIXES:
        return load_experiment(place, list(overrides), needs_budget=False), True
    if not place.exists():
        raise ConfigError(f"{place} is not there. Name an experiment's YAML file, or a folder of scans.")
    if overrides:
        raise ConfigError(f"--set changes keys of an experiment file, but {place} is none.")
    like = resembling_layout(place)
    if like is None:
        raise CorpusError(
            f"{place} looks like no known corpus: {found_below(place)}. Put each writer's scans into a folder of "
            "their own, or write an experiment file that names the layout (docs/corpora.md)."
        )
    corpus = {"layout": like.layout, "file" if like.layout == "manifest" else "root": str(like.root)}
    return Experiment.model_validate({"name": "pages", "corpus": corpus, "budget": {"trials": 1}}), False


def choose_pages(
    corpus: ReadCorpus, experiment: Experiment | None, model_folder: Path, includes_known: bool
) -> ChosenPages:
    """Choose the images that take part: those that have a line, are not sealed, and are by writers
    that the model does not know.

    Args:
        corpus: as it was read.
        experiment: whose division seals test pages; `None` where the pages are only a folder.
        model_folder: says on whom the model was trained, and which pages it keeps sealed.
        includes_known: whether the model's own writers take part.

    Raises:
        RetrievalError: if none is left, or sealed pages cannot be told from others.
    """
    record, index = read_record(model_folder), corpus.index
    known = set(record.writer_ids) if record.corpus == index.name else set[str]()
    if known and includes_known and experiment is None and read_split(model_folder) is None:
        raise RetrievalError(
            f"Which pages of {index.name} stay sealed is not known to a trial's network. Give the experiment's file "
            "instead of the folder, or leave --known-writers out."
        )
    sealed = _sealed(corpus, experiment, record, model_folder)
    with_line = {line.image_id for line in corpus.store.lines}
    open_images = [image for image in index.images if image.image_id in with_line and image.image_id not in sealed]
    chosen = [image for image in open_images if includes_known or image.writer_id not in known]
    known_here = {image.writer_id for image in index.images} & known
    if not chosen:
        raise RetrievalError(_why_none(index.name, open_images, len(known_here)))
    n_sealed = sum(image.image_id in with_line and image.image_id in sealed for image in index.images)
    return ChosenPages(tuple(image.image_id for image in chosen), len(known_here), n_sealed)


def _sealed(corpus: ReadCorpus, experiment: Experiment | None, record: ModelRecord, model_folder: Path) -> set[str]:
    """Images of the test subsets of the experiment and of the model's own split."""
    sealed: set[str] = set()
    own = read_split(model_folder) if record.corpus == corpus.index.name else None
    if own is not None:
        sealed.update(own.test)
    if experiment is not None:
        with suppress(SplitError):  # pages that cannot be divided seal nothing
            sealed.update(divide_corpus(corpus, experiment).manifest.test)
    return sealed


def _why_none(corpus: str, open_images: Sequence[TextImage], n_known: int) -> str:
    if not open_images:
        return f"{corpus} has no page with a text line that is not sealed. Give other pages."
    return (
        f"The model was trained on every writer of {corpus} ({n_known}), so that finding their pages says nothing "
        "about other hands. Give pages by other writers, or --known-writers to count these, which is optimistic."
    )
