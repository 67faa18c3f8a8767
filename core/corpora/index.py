"""The one index that every corpus layout is read into."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

OfficialSplit = Literal["train", "test"]
Unit = Literal["line", "page", "form", "auto"]
AmountName = Literal["forms", "sentences", "lines"]


@dataclass(frozen=True)
class Region:
    """A rectangle of an image in pixels, the origin in its upper left corner."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class TextImage:
    """One image (or a part of one) with handwriting by one writer.

    Attributes:
        image_id: unique in its corpus, the same on every machine.
        path: the image file.
        region: the part of the file that counts; `None` for all of it.
        unit: `line` for one text line or word, `page` for an image whose lines are to be found first, `form` for a
            page whose handwriting stands between a printed header and footer that are to be cut off, `auto` where the
            ink must tell.
        writer_id: the label, a string (leading zeros are kept).
        page_id: images with the same page never part at a split; `None` where the corpus has no pages.
        text_id: images with the same text, where known.
        text: the transcription, where known.
        official_split: the corpus's own division, where it has one.
    """

    image_id: str
    path: Path
    writer_id: str
    page_id: str | None = None
    region: Region | None = None
    unit: Unit = "line"
    text_id: str | None = None
    text: str | None = None
    official_split: OfficialSplit | None = None

    @property
    def group_id(self) -> str:
        """What must not be divided: the page, or the image itself where there are no pages."""
        return self.image_id if self.page_id is None else self.page_id


@dataclass(frozen=True)
class SetAside:
    """Something found in a corpus that is not used, and why.

    Attributes:
        path: of the file or folder.
        reason: what is wrong with it, or why it was left out.
        image_id: of the text image, where it is one of an index; `None` for what never became one.
        writer_id: whose it would have been, where the corpus's tables tell that of what never became an image.
    """

    path: Path
    reason: str
    image_id: str | None = None
    writer_id: str | None = None


@dataclass(frozen=True)
class CorpusIndex:
    """All text images of a corpus, in a fixed order.

    Attributes:
        name: of the corpus.
        root: its folder.
        images: in a fixed order.
        generated: whether it is no real handwriting.
        set_aside: what lies in the folder and could not become a text image.
        amounts: how much each writer wrote, where the corpus's own tables say so: `{"forms": {"000": 59}}`.
        left_out: what lies in the folder and was left out on purpose, by the settings or because another file stands
            for it; nothing is wrong with it.
    """

    name: str
    root: Path
    images: tuple[TextImage, ...]
    generated: bool = False
    set_aside: tuple[SetAside, ...] = field(default=())
    amounts: Mapping[AmountName, Mapping[str, int]] = field(default_factory=dict)
    left_out: tuple[SetAside, ...] = ()

    @property
    def writer_ids(self) -> tuple[str, ...]:
        """The writers, sorted; a writer's place in this tuple is not the class of a model."""
        return tuple(sorted({image.writer_id for image in self.images}))

    @property
    def has_pages(self) -> bool:
        """Whether every image belongs to a page."""
        return all(image.page_id is not None for image in self.images)


class Corpus(Protocol):
    """A layout: knows where the files of one kind of corpus lie."""

    def index(self) -> CorpusIndex:
        """Read the layout.

        Raises:
            CorpusError: if the folder is missing, of another layout, or holds fewer than two writers.
        """
        ...
