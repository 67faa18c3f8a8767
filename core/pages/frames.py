"""Files that hold several pages: each page becomes an image of its own, `letter.tif#3`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from PIL import Image

from core.corpora.index import CorpusIndex, Excluded, TextImage
from core.errors import ImageError
from core.pages.image_files import read_grey
from core.pages.image_formats import Frame, list_frames

_OF_MANY = (".heic", ".heif", ".pdf", ".tif", ".tiff")
"""Only these kinds of file can hold several pages; the others need not be opened for that."""
# In the order of their reasons: the reader's words for a page that shows nothing (see `core.pages.scan`).
_BLANK = ("Is the image blank?", "none was found on")


def number_frames(path: Path) -> tuple[int, ...]:
    """The numbers of a file's pages, from 1; none where it holds one picture, or cannot be opened.

    What cannot be opened stays one image: reading it tells why.
    """
    return tuple(frame.number for frame in _frames(path) if frame.is_page)


def index_frames(index: CorpusIndex, frames_of: Callable[[Path], tuple[Frame, ...]] | None = None) -> CorpusIndex:
    """Make an image of each page of the files that hold several; thumbnails are not chosen.

    Args:
        index: as a layout reads it, where a file is one image, or is cut into regions, which stay.
        frames_of: lists the frames of a file, where somebody knows them already.

    Returns:
        The index, the same one where every file holds one page.
    """
    look = frames_of or _frames
    found: Mapping[Path, tuple[Frame, ...]] = {
        image.path: frames for image in index.images if image.region is None and (frames := look(image.path))
    }
    if not found:
        return index
    images = [page for image in index.images for page in _pages(image, found.get(image.path, ()))]
    thumbnails = [
        Excluded(path, f"{path}#{frame.number} is a small copy of another page of the file")
        for path, frames in found.items()
        for frame in frames
        if not frame.is_page
    ]
    return replace(index, images=tuple(images), not_chosen=(*index.not_chosen, *thumbnails))


def blank_frames(images: Iterable[TextImage], unusable: Iterable[Excluded]) -> tuple[Excluded, ...]:
    """Of the images without lines those that are empty pages of a file with several.

    A scanner that takes both sides makes one of every empty back: nothing is wrong with it.
    """
    frames = {image.image_id for image in images if image.frame is not None}
    return tuple(
        replace(entry, reason="is an empty page of a file with several")
        for entry in unusable
        if entry.image_id in frames and any(words in entry.reason for words in _BLANK)
    )


@contextmanager
def page_file(image: TextImage, folder: Path) -> Iterator[Path]:
    """A file that holds this page alone: the image's own, or one that is written into a folder."""
    if image.frame is None:
        yield image.path
        return
    written = folder / f"{image.path.stem}-{image.frame}.png"
    Image.fromarray(read_grey(image.path, frame=image.frame)).save(written)
    yield written


def _frames(path: Path) -> tuple[Frame, ...]:
    if path.suffix.lower() not in _OF_MANY:
        return ()
    try:
        frames = list_frames(path)
    except ImageError:
        return ()
    return frames if len(frames) > 1 else ()


def _pages(image: TextImage, frames: tuple[Frame, ...]) -> Iterable[TextImage]:
    if not frames:
        yield image
    for frame in frames:
        if frame.is_page:
            number = frame.number
            page_id = image.page_id if image.unit == "line" or image.page_id is None else f"{image.page_id}#{number}"
            yield replace(image, image_id=f"{image.image_id}#{number}", page_id=page_id, frame=number)
