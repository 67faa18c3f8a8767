"""How many pages there are to be found: counted, before any is described. Light: nothing heavy is
imported.
"""

from collections import Counter
from collections.abc import Sequence

from core.errors import RetrievalError
from core.lines.source import LineSource


def pages_by_writer(lines: LineSource, image_ids: Sequence[str], images_per_page: int = 1) -> Counter[str]:
    """How many pages each writer has to be found by.

    Args:
        lines: holds the lines of the images; one without a line is on no page.
        image_ids: that the pages are made of.
        images_per_page: see `PagesToDescribe`.
    """
    pages = pages_of_images(lines, image_ids)
    if images_per_page == 1:
        return Counter(writer_id for writer_id, _ in set(pages.values()))
    n_images = Counter(writer_id for writer_id, _ in pages.values())
    return Counter({writer_id: n // images_per_page for writer_id, n in n_images.items() if n >= images_per_page})


def pages_of_images(lines: LineSource, image_ids: Sequence[str]) -> dict[tuple[str, str], tuple[str, str]]:
    """Writer and page of each image that has a line.

    Raises:
        RetrievalError: if none has.
    """
    wanted = set(image_ids)
    pages: dict[tuple[str, str], tuple[str, str]] = {
        (line.writer_id, line.image_id): (line.writer_id, line.group_id)
        for line in lines.lines
        if line.image_id in wanted
    }
    if not pages:
        raise RetrievalError(f"Pages are described by their text lines, but none of {len(wanted)} images has one.")
    return pages
