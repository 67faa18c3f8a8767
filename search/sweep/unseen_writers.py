"""Whether a corpus divided by writer can be searched for pages by the same hand, and what is a page
there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from core.errors import RetrievalError, SplitError
from core.retrieval.counted_pages import pages_by_writer
from core.splits.manifest import Subset
from core.wording import counted
from search.experiment.experiment import Experiment
from search.sweep.preparation import PreparedCorpus

_JOINED = 10  # single words: some 50 letters, as many as a line or two


@dataclass(frozen=True)
class SearchedPages:
    """What is searched in a subset of writers whom training has not seen.

    Attributes:
        subset: of the split.
        n_writers: who have a page.
        n_pages: by all of them.
        n_alone: pages whose writer has no other; they are searched, but cannot be looked for.
        images_per_page: so many images make a page; 1 where pages are as they are.
        unit: of the corpus, `page` or `image`.
    """

    subset: Literal["validation", "test"]
    n_writers: int
    n_pages: int
    n_alone: int
    images_per_page: int
    unit: str

    def in_words(self) -> str:
        """As a sentence."""
        what = counted(self.n_pages, self.unit if self.images_per_page == 1 else "page")
        what += f" of {self.images_per_page} images each" if self.images_per_page > 1 else ""
        alone = f" ({self.n_alone} of them without another one by the same hand)" if self.n_alone else ""
        return f"{self.subset}: {what}{alone} by {self.n_writers} writers whom training has not seen"


def images_per_page(experiment: Experiment, corpus: PreparedCorpus) -> int | None:
    """So many images of a writer are searched as one page; `None` where the split is not by
    writer.
    """
    if experiment.split.kind != "writer":
        return None
    chosen = experiment.objective.images_per_page
    if chosen != "auto":
        return chosen
    return 1 if corpus.index.has_pages else _JOINED


def searched_pages(experiment: Experiment, corpus: PreparedCorpus) -> tuple[SearchedPages, ...]:
    """What is searched in validation and test; nothing where the split is not by writer.

    Raises:
        SplitError: if there is a subset in which no page can be found.
    """
    n_images = images_per_page(experiment, corpus)
    return () if n_images is None else tuple(_subsets(corpus, n_images))


def _subsets(corpus: PreparedCorpus, n_images: int) -> Iterator[SearchedPages]:
    subsets: tuple[Literal["validation", "test"], ...] = ("validation", "test")
    for subset in subsets:
        if not corpus.manifest.image_ids(subset):
            continue
        counts = _count(corpus, subset, n_images)
        if len(counts) < 2 or max(counts.values()) < 2:
            most = max(counts.values(), default=0)
            raise SplitError(
                f"To find pages by the same hand, {subset} needs two writers, and one of them with two pages; but "
                f"{counted(len(counts), 'writer')} of it {'has' if len(counts) == 1 else 'have'} a page, {most} at most"
                + (f", of {n_images} images a page" if n_images > 1 else "")
                + f". Raise `split.{subset}`, the share of the writers"
                + (", or lower `objective.images_per_page`." if n_images > 1 else ", or add pages.")
            )
        n_alone = sum(n for n in counts.values() if n == 1)
        yield SearchedPages(subset, len(counts), sum(counts.values()), n_alone, n_images, corpus.manifest.unit)


def _count(corpus: PreparedCorpus, subset: Subset, n_images: int) -> dict[str, int]:
    try:
        return pages_by_writer(corpus.store, corpus.manifest.image_ids(subset), n_images)
    except RetrievalError:  # none of the images has a line
        return {}
