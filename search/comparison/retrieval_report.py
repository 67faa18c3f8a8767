"""How well a model finds pages by the same hand in a corpus: the usual protocol, each page a
query.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import RetrievalError
from core.identification.model_record import ModelRecord
from core.lines.reading import ProgressCallback
from core.lines.source import LineSource
from core.retrieval.descriptors import DescriptorSettings, PageDescriber
from core.retrieval.page_embeddings import EmbeddedPage, JoinedLines, PatchEmbedder, embed_pages
from core.retrieval.scores import RetrievalScores, score_retrieval
from core.retrieval.similarities import Cosines, Similarities, rerank
from search.comparison.retrieval_pages import ChosenPages, choose_pages, open_pages, training_images
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.identification.identifier_folder import read_record
from search.identification.page_reader import PER_PAGE, load_embedder
from search.sweep.preparation import ReadCorpus, read_corpus

Progress = Callable[[str], ProgressCallback]
"""Gives a callback for each of several long steps, by what is done."""


def _say_nothing(_done: int, _total: int) -> None:
    """No progress is asked for."""


@dataclass(frozen=True)
class RetrievalChoice:
    """How pages are compared.

    Attributes:
        descriptor: how patches become one vector.
        per_page: most patches of a page.
        join: so many images of a writer make an artificial page; `None` takes pages as they are.
        n_neighbours: nearest pages that reranking looks at; `None` does not rerank.
        includes_known: whether writers that the model was trained on take part.
        seed: of joining, of what is learned for the descriptor, and of the intervals.
    """

    descriptor: DescriptorSettings = field(default_factory=DescriptorSettings)
    per_page: int = PER_PAGE
    join: int | None = None
    n_neighbours: int | None = None
    includes_known: bool = False
    seed: int = 0


@dataclass(frozen=True, eq=False)
class RetrievalReport:
    """How well a model finds pages by the same hand.

    Attributes:
        corpus: its name.
        model: what the model is called.
        choice: how pages were compared.
        item: what was a page: `page`, `image` where the corpus has no pages, `joined page`.
        scores: with intervals.
        pages: which took part. Writers that the model was trained on did not, unless
            `choice.includes_known`.
        n_left_over: images that were on no joined page.
        n_unusable: images of the corpus that could not be read, or show no handwriting.
        describer_key: of what pages were described by.
    """

    corpus: str
    model: str
    choice: RetrievalChoice
    item: str
    scores: RetrievalScores
    pages: ChosenPages
    n_left_over: int
    n_unusable: int
    describer_key: str

    def as_json(self) -> dict[str, Any]:
        """Plain values of all but the single queries."""
        scores, choice = self.scores, self.choice
        return {
            "corpus": self.corpus,
            "model": self.model,
            "item": self.item,
            "n_pages": scores.n_pages,
            "n_writers": scores.n_writers,
            "n_queries": len(scores.queries),
            "n_excluded": scores.n_excluded,
            "n_same_pairs": scores.n_same_pairs,
            "n_different_pairs": scores.n_different_pairs,
            "n_known_writers": self.pages.n_known_writers,
            "includes_known": choice.includes_known,
            "n_sealed_images": self.pages.n_sealed,
            "n_left_over_images": self.n_left_over,
            "n_unusable_images": self.n_unusable,
            "patches_per_page": choice.per_page,
            "joined": choice.join,
            "reranked_by": choice.n_neighbours,
            "descriptor": choice.descriptor.model_dump(mode="json") | {"key": self.describer_key},
            "scores": {
                name: {"value": value, "interval": list(scores.intervals[name])}
                for name, value in scores.metrics.items()
            },
        }


def report_retrieval(
    place: Path | Experiment,
    model_folder: Path,
    model: str,
    workspace: Workspace,
    choice: RetrievalChoice,
    *,
    overrides: Sequence[str] = (),
    fit_on: Path | Experiment | None = None,
    runs_own_code: bool = False,
    say: Progress = lambda _: _say_nothing,
) -> RetrievalReport:
    """Score a model on a corpus, each page a query.

    Args:
        place: an experiment, its file or a folder of scans; lines are read as the model's were.
        model_folder: of a promoted model, or of a trial's.
        model: what to call it.
        workspace: where line stores are kept.
        choice: how pages are compared.
        overrides: of single keys of the experiment file.
        fit_on: other pages, likewise, from which centres or components are learned.
        runs_own_code: whether a network of the user's own may import the module beside it.
        say: shows how far the steps are.

    Raises:
        WhosehandError: says what is wrong with the corpus, the model or the choice.
    """
    _check_fit(choice.descriptor, fit_on)
    record = read_record(model_folder)
    experiment, is_own = open_pages(place, overrides)
    corpus = _read(experiment, record, workspace, say("reading the corpus"))
    chosen = choose_pages(corpus, experiment if is_own else None, model_folder, choice.includes_known)
    lines, image_ids, n_left_over = _joined(corpus, chosen.image_ids, choice)
    embedding = _Embedding(record, choice.per_page, load_embedder(model_folder, runs_own_code)[1])
    describer = _describer(fit_on, corpus, image_ids, workspace, choice, embedding, say)
    pages = embedding.embed(lines, image_ids, say("embedding pages"))
    alike = _compare(describer.describe_all([page.embeddings for page in pages]), choice)
    scores = score_retrieval(alike, [page.writer_id for page in pages], seed=choice.seed)
    return RetrievalReport(
        corpus=corpus.index.name,
        model=model,
        choice=choice,
        item=_item(corpus, choice),
        scores=scores,
        pages=chosen,
        n_left_over=n_left_over,
        n_unusable=corpus.corpus_report.n_unusable,
        describer_key=describer.key,
    )


def _joined(
    corpus: ReadCorpus, image_ids: Sequence[str], choice: RetrievalChoice
) -> tuple[LineSource, Sequence[str], int]:
    """What is described, by id: images as they are, or joined ones; and how many images are on no
    joined page.
    """
    if choice.join is None:
        return corpus.store, image_ids, 0
    joined = JoinedLines(corpus.store, image_ids, choice.join, choice.seed)
    return joined, joined.image_ids, joined.n_left_over


def _item(corpus: ReadCorpus, choice: RetrievalChoice) -> str:
    if choice.join is not None:
        return "joined page"
    return "page" if corpus.index.has_pages else "image"


def _compare(descriptors: NDArray[np.float32], choice: RetrievalChoice) -> Similarities:
    return Cosines(descriptors) if choice.n_neighbours is None else rerank(descriptors, choice.n_neighbours)


@dataclass(frozen=True)
class _Embedding:
    """A network and what must be known to ask it about pages."""

    record: ModelRecord
    per_page: int
    embedder: PatchEmbedder

    def embed(self, lines: LineSource, image_ids: Sequence[str], on_progress: ProgressCallback) -> list[EmbeddedPage]:
        return list(embed_pages(lines, image_ids, self.record.patches, self.per_page, self.embedder, on_progress))


def _check_fit(descriptor: DescriptorSettings, fit_on: Path | Experiment | None) -> None:
    is_needed = descriptor.pooling == "vlad" or descriptor.n_whitened is not None
    if is_needed and fit_on is None:
        raise RetrievalError(
            "VLAD and whitening learn from other pages than those that are scored: name them by --fit-on, such as an "
            "experiment on the corpus that the model was trained on."
        )
    if fit_on is not None and not is_needed:
        raise RetrievalError("Without VLAD or whitening nothing is learned from other pages: leave --fit-on out.")


def _read(
    experiment: Experiment, record: ModelRecord, workspace: Workspace, on_progress: ProgressCallback
) -> ReadCorpus:
    """The corpus, its lines found and scaled as those that the model was trained on."""
    return read_corpus(experiment.model_copy(update={"ink": record.ink}), workspace, on_progress)


def _describer(
    fit_on: Path | Experiment | None,
    scored: ReadCorpus,
    scored_ids: Sequence[str],
    workspace: Workspace,
    choice: RetrievalChoice,
    embedding: _Embedding,
    say: Progress,
) -> PageDescriber:
    """What makes a vector of a page: centres and components are learned from pages that are not
    among the scored ones.
    """
    if fit_on is None:
        return PageDescriber.fit(choice.descriptor)
    experiment, is_own = open_pages(fit_on)
    corpus = _read(experiment, embedding.record, workspace, say("reading the pages to learn from"))
    image_ids = training_images(corpus, experiment if is_own else None)
    shared = set(image_ids) & set(scored_ids) if corpus.index.root == scored.index.root else set()
    if shared:
        raise RetrievalError(
            f"Nothing may be learned from pages that are scored, but of {len(image_ids)} images to learn from so many "
            f"are: {len(shared)}, such as {min(shared)!r}. Fit on other pages."
        )
    lines, joined_ids, _ = _joined(corpus, image_ids, choice)
    pages = embedding.embed(lines, joined_ids, say(f"embedding pages of {corpus.index.name}"))
    return PageDescriber.fit(choice.descriptor, [page.embeddings for page in pages], choice.seed)
