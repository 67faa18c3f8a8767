"""Files that hold several pages: each page becomes an image of its own, `letter.tif#3`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from core.corpora.index import CorpusIndex, Excluded, TextImage
from core.errors import ImageError
from core.pages.image_files import read_grey
from core.pages.image_formats import Frame, list_frames

_OF_MANY = (".heic", ".heif", ".pdf", ".tif", ".tiff")
"""Only these kinds of file can hold several pages; the others need not be opened for that."""
_DOCUMENTS = (".heic", ".heif", ".pdf")
# The reader's words for a page that shows nothing: `core.pages.scan` and `core.lines.file_reading`.
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
        if entry.image_id in frames and is_blank(entry.reason)
    )


@dataclass(frozen=True)
class Page:
    """One page of a file.

    Attributes:
        path: of the file.
        frame: its number in it, from 1; `None` where the file holds one picture.
    """

    path: Path
    frame: int | None = None

    @property
    def name(self) -> Path:
        """As people are told of it: `letter.tif#3`."""
        return self.path if self.frame is None else self.path.with_name(f"{self.path.name}#{self.frame}")

    @classmethod
    def named(cls, name: Path) -> "Page":
        """The page of that `name`; a file that is called so itself is that file."""
        file, _, frame = name.name.rpartition("#")
        is_of_many = bool(file) and frame.isdecimal() and not name.exists()
        return cls(name.with_name(file), int(frame)) if is_of_many else cls(name)

    def file(self, folder: Path) -> Path:
        """A file that holds this page alone and that anybody can open: its own, or one written into
        a folder.

        Raises:
            ImageError: if it has to be written and cannot be read.
        """
        if self.frame is None and self.path.suffix.lower() not in _DOCUMENTS:
            return self.path
        written = folder / f"page-{self.frame or 1}.png"
        Image.fromarray(read_grey(self.path, frame=self.frame)).save(written)
        return written


def list_pages(path: Path) -> tuple[Page, ...]:
    """The pages of a file, without thumbnails; one where it cannot be opened, for reading it tells
    why.
    """
    return tuple(Page(path, number) for number in number_frames(path)) or (Page(path),)


def is_blank(reason: str) -> bool:
    """Whether the reason why an image gave no lines is that it shows nothing."""
    return any(words in reason for words in _BLANK)


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
