"""The pages of a corpus and their writers: what a split deals out."""

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from core.corpora.index import CorpusIndex, TextImage
from core.corpora.left_out import LeftOutWriter
from core.corpora.natural_order import natural_key
from core.errors import SplitError
from core.splits.manifest import Part

_SHOWN = 10


def split_unit(index: CorpusIndex) -> Literal["page", "image"]:
    """What is not divided: the page, or the image where the corpus has no pages."""
    return "page" if index.has_pages else "image"


def usable_images(index: CorpusIndex, unusable: Collection[str]) -> tuple[TextImage, ...]:
    """The images that can be read."""
    return tuple(image for image in index.images if image.image_id not in unusable)


def pages_of_writers(images: Iterable[TextImage], corpus: str) -> dict[str, list[str]]:
    """The pages of each writer, writers in natural order, pages in that of the corpus.

    Raises:
        SplitError: if a page has two writers.
    """
    writer_of_page: dict[str, str] = {}
    for image in images:
        page = image.group_id
        if writer_of_page.setdefault(page, image.writer_id) != image.writer_id:
            raise SplitError(
                f"A page must have one writer, but page {page!r} of {corpus!r} has {writer_of_page[page]!r} and "
                f"{image.writer_id!r}."
            )
    pages: dict[str, list[str]] = {}
    for page, writer_id in writer_of_page.items():
        pages.setdefault(writer_id, []).append(page)
    return {writer_id: pages[writer_id] for writer_id in sorted(pages, key=natural_key)}


def images_of_part(images: Iterable[TextImage], part_of_page: Mapping[str, Part], part: Part) -> tuple[str, ...]:
    """The ids of the images whose page is in a part."""
    return tuple(image.image_id for image in images if part_of_page.get(image.group_id) == part)


def name_writers(writers: Collection[LeftOutWriter]) -> str:
    """The first of them with their reasons, and how many more there are."""
    first = "; ".join(f"writer {writer.writer_id!r} {writer.reason}" for writer in list(writers)[:_SHOWN])
    return f"{first}; and {len(writers) - _SHOWN} more" if len(writers) > _SHOWN else first
