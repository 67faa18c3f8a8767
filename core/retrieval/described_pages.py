"""Pages with their descriptors and writers: what a network is scored on that finds pages by hands
it was not trained on.

The descriptors of a subset are small, and all that rankings, scores and tests are made of. So they
are kept in a file: a score can be looked into, or compared with another network's, without a page
being read again.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import RetrievalError
from core.lines.source import LineSource
from core.retrieval.counted_pages import pages_of_images
from core.retrieval.descriptors import describe_patches
from core.retrieval.page_embeddings import JoinedLines, PatchEmbedder, embed_pages
from core.retrieval.rank_tests import PairedRankings, compare_rankings
from core.retrieval.scores import RetrievalScores, score_retrieval
from core.retrieval.similarities import Cosines
from core.settings import PatchSettings


@dataclass(frozen=True)
class Query:
    """What was found for one page.

    Attributes:
        page_id: the page that was looked for.
        writer_id: who wrote it.
        average_precision: from 0 to 1.
        first_right: the rank of the first page by the same hand, from 1.
        nearest_page_id: the page that is most like it, itself left out.
        nearest_writer_id: who wrote that.
        similarity: of the two, a cosine.
    """

    page_id: str
    writer_id: str
    average_precision: float
    first_right: int
    nearest_page_id: str
    nearest_writer_id: str
    similarity: float


@dataclass(frozen=True, eq=False)
class DescribedPages:
    """Pages by known writers.

    Attributes:
        page_ids: of pages, of images where the corpus has no pages, or of joined pages.
        writer_ids: of each page.
        descriptors: (n_pages, n_dimensions), each row of length 1.
    """

    page_ids: tuple[str, ...]
    writer_ids: tuple[str, ...]
    descriptors: NDArray[np.float32]

    @cached_property
    def similarities(self) -> Cosines:
        """Of any two of the pages."""
        return Cosines(self.descriptors)

    def scores(self, n_resamples: int = 1000) -> RetrievalScores:
        """How well pages by the same hand are found, each page a query.

        Args:
            n_resamples: of the bootstrap over writers; 0 for no intervals.

        Raises:
            RetrievalError: if there are fewer than two writers, or none with two pages.
        """
        return score_retrieval(self.similarities, self.writer_ids, n_resamples)

    def queries(self, scores: RetrievalScores) -> tuple[Query, ...]:
        """What was found for each page that is a query in these scores."""
        found = []
        for number, place in enumerate(scores.queries.tolist()):
            row = self.similarities.rows(place, place + 1)[0].copy()
            row[place] = -np.inf
            nearest = int(row.argmax())
            found.append(
                Query(
                    self.page_ids[place],
                    self.writer_ids[place],
                    float(scores.average_precisions[number]),
                    int(scores.first_right[number]),
                    self.page_ids[nearest],
                    self.writer_ids[nearest],
                    float(row[nearest]),
                )
            )
        return tuple(found)

    def of_writers(self, writer_ids: Collection[str]) -> "DescribedPages":
        """The pages by some of the writers."""
        return self._chosen([writer_id in writer_ids for writer_id in self.writer_ids])

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Writer and page of each: hands on a shared page count apart."""
        return list(zip(self.writer_ids, self.page_ids, strict=True))

    def only(self, keys: Collection[tuple[str, str]]) -> "DescribedPages":
        """Some of the pages, by their keys."""
        return self._chosen([key in keys for key in self.keys])

    def save(self, path: Path) -> None:
        """Write them into one file (NumPy's `.npz`)."""
        ids = {"page_ids": np.array(self.page_ids), "writer_ids": np.array(self.writer_ids)}
        np.savez_compressed(path, allow_pickle=False, descriptors=self.descriptors, **ids)

    @classmethod
    def load(cls, path: Path) -> "DescribedPages":
        """Read them.

        Raises:
            RetrievalError: if the file is missing, or none of `save`.
        """
        try:
            with np.load(path, allow_pickle=False) as content:
                page_ids, writer_ids = (content[name].tolist() for name in ("page_ids", "writer_ids"))
                return cls(tuple(page_ids), tuple(writer_ids), content["descriptors"])
        except (OSError, ValueError, KeyError) as error:
            raise RetrievalError(f"{path} must hold page descriptors, but cannot be read ({error!r}).") from error

    def _chosen(self, is_kept: Sequence[bool]) -> "DescribedPages":
        return DescribedPages(
            tuple(compress(self.page_ids, is_kept)),
            tuple(compress(self.writer_ids, is_kept)),
            self.descriptors[np.array(is_kept, dtype=np.bool_)],
        )


def compare_pages(first: DescribedPages, second: DescribedPages) -> PairedRankings | None:
    """Compare how well two networks find the pages that both have described, query by query.

    Returns:
        `None` if these are too few to look for a page among them.
    """
    both = {*first.keys} & {*second.keys}
    ours, theirs = first.only(both), second.only(both)
    try:
        scores = ours.scores(n_resamples=0), theirs.scores(n_resamples=0)
    except RetrievalError:
        return None
    writers = [ours.writer_ids[place] for place in scores[0].queries.tolist()]
    return compare_rankings(scores[0].average_precisions, scores[1].average_precisions, writers)


class PagesToDescribe:
    """The pages of a subset, described as often as asked; always by the same patches.

    Args:
        lines: holds the lines of the images.
        image_ids: that the pages are made of.
        settings: of the patches; those of the network.
        per_image: most patches of one image. A page gets so many for each of its images, as many
            as the page with the most of them, spaced evenly over its lines.
        images_per_page: so many images of a writer are joined to a page; 1 takes pages as they are.

    Raises:
        RetrievalError: if no writer has so many images.
    """

    def __init__(
        self,
        lines: LineSource,
        image_ids: Sequence[str],
        settings: PatchSettings,
        per_image: int,
        images_per_page: int = 1,
    ) -> None:
        joined = JoinedLines(lines, image_ids, images_per_page) if images_per_page > 1 else None
        self._lines: LineSource = joined or lines
        self._image_ids = joined.image_ids if joined else tuple(image_ids)
        self._settings = settings
        self._per_page = per_image * max(Counter(pages_of_images(self._lines, self._image_ids).values()).values())

    def describe(
        self, embedder: PatchEmbedder, on_progress: Callable[[int, int], None] | None = None
    ) -> DescribedPages:
        """Describe all pages by a network.

        Args:
            embedder: of the network.
            on_progress: called with (pages done, pages in all).

        Raises:
            PatchError: if a patch is higher than the lines.
        """
        found = embed_pages(self._lines, self._image_ids, self._settings, self._per_page, embedder, on_progress)
        page_ids, writer_ids, descriptors = [], [], []
        for page in found:
            page_ids.append(page.page_id)
            writer_ids.append(page.writer_id)
            descriptors.append(describe_patches(page.embeddings))
        return DescribedPages(tuple(page_ids), tuple(writer_ids), np.stack(descriptors))
