"""How well a model finds pages by the same hand in a corpus: the usual protocol, each page a
query.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.identification.model_record import ModelRecord
from core.lines.reading import ProgressCallback
from core.lines.source import LineSource
from core.retrieval.adaptation import Adaptation
from core.retrieval.descriptors import describe_pages
from core.retrieval.page_embeddings import PER_PAGE, EmbeddedPage, JoinedLines, PatchEmbedder, embed_pages
from core.retrieval.scores import RetrievalScores, score_retrieval
from core.retrieval.similarities import Cosines, Similarities, rerank
from search.comparison.retrieval_pages import ChosenPages, choose_pages, open_pages
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.identification.identifier_folder import read_record
from search.identification.page_reader import load_embedder
from search.sweep.preparation import ReadCorpus, read_corpus

Progress = Callable[[str], ProgressCallback]
"""Gives a callback for each of several long steps, by what is done."""


def _say_nothing(_done: int, _total: int) -> None:
    """No progress is asked for."""


@dataclass(frozen=True)
class RetrievalChoice:
    """How pages are compared.

    Attributes:
        per_page: most patches of a page.
        join: so many images of a writer make an artificial page; `None` takes pages as they are.
        n_neighbours: nearest pages that reranking looks at; `None` does not rerank.
        is_adapted: whether descriptors are adapted to these pages.
        includes_known: whether writers that the model was trained on take part.
        seed: of joining, and of the intervals.
    """

    per_page: int = PER_PAGE
    join: int | None = None
    n_neighbours: int | None = None
    is_adapted: bool = True
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
    """

    corpus: str
    model: str
    choice: RetrievalChoice
    item: str
    scores: RetrievalScores
    pages: ChosenPages
    n_left_over: int
    n_unusable: int

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
            "is_adapted": choice.is_adapted,
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
        runs_own_code: whether a network of the user's own may import the module beside it.
        say: shows how far the steps are.

    Raises:
        WhosehandError: says what is wrong with the corpus, the model or the choice.
    """
    record = read_record(model_folder)
    experiment, is_own = open_pages(place, overrides)
    corpus = _read(experiment, record, workspace, say("reading the corpus"))
    chosen = choose_pages(corpus, experiment if is_own else None, model_folder, choice.includes_known)
    lines, image_ids, n_left_over = _joined(corpus, chosen.image_ids, choice)
    embedding = _Embedding(record, choice.per_page, load_embedder(model_folder, runs_own_code)[1])
    pages = embedding.embed(lines, image_ids, say("embedding pages"))
    alike = _compare(describe_pages([page.embeddings for page in pages]), choice)
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
    if choice.is_adapted:
        descriptors = Adaptation.fit(descriptors).adapt(descriptors)
    return Cosines(descriptors) if choice.n_neighbours is None else rerank(descriptors, choice.n_neighbours)


@dataclass(frozen=True)
class _Embedding:
    """A network and what must be known to ask it about pages."""

    record: ModelRecord
    per_page: int
    embedder: PatchEmbedder

    def embed(self, lines: LineSource, image_ids: Sequence[str], on_progress: ProgressCallback) -> list[EmbeddedPage]:
        return list(embed_pages(lines, image_ids, self.record.patches, self.per_page, self.embedder, on_progress))


def _read(
    experiment: Experiment, record: ModelRecord, workspace: Workspace, on_progress: ProgressCallback
) -> ReadCorpus:
    """The corpus, its lines found and scaled as those that the model was trained on."""
    return read_corpus(experiment.model_copy(update={"ink": record.ink}), workspace, on_progress)
