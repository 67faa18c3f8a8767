"""The one index that every corpus layout is read into, and what is excluded from it, with reasons.

Nobody can write down a file name that is no text: bytes that are no UTF-8, as old archives and
foreign disks leave them. Python reads them (with surrogates in their place), but no manifest, table
or terminal can hold them: such files are excluded.
"""

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

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
        unit: `line` for one text line or word, `page` for an image whose lines are to be found
            first, `form` for a page whose handwriting stands between a printed header and footer
            that are to be cut off, `auto` where the ink must tell.
        writer_id: the label, a string (leading zeros are kept).
        page_id: images with the same page never part at a split; `None` where the corpus has no
            pages.
        text_id: images with the same text, where known.
        text: the transcription, where known.
        official_split: the corpus's own division, where it has one.
        frame: of a file with several pages, from 1; `None` where the file holds one.
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
    frame: int | None = None

    @property
    def group_id(self) -> str:
        """What must not be divided: the page, or the image itself where there are no pages."""
        return self.image_id if self.page_id is None else self.page_id


@dataclass(frozen=True)
class Excluded:
    """Something found in a corpus that is not used, and why.

    Attributes:
        path: of the file or folder.
        reason: what is wrong with it, or why it was not chosen.
        image_id: of the text image, where it is one of an index; `None` for what never became one.
        writer_id: whose it would have been, where the corpus's tables tell that of what never
            became an image.
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
        unusable: what lies in the folder and could not become a text image.
        amounts: how much each writer wrote, where the corpus's own tables say so: `{"forms":
            {"000": 59}}`.
        not_chosen: what lies in the folder and was excluded on purpose, by the settings or because
            another file stands for it; nothing is wrong with it.
    """

    name: str
    root: Path
    images: tuple[TextImage, ...]
    generated: bool = False
    unusable: tuple[Excluded, ...] = field(default=())
    amounts: Mapping[AmountName, Mapping[str, int]] = field(default_factory=dict)
    not_chosen: tuple[Excluded, ...] = ()

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
            CorpusError: if the folder is missing, of another layout, or holds fewer than two
                writers.
        """
        ...


@dataclass(frozen=True)
class ExcludedWriter:
    """A writer who is in no part, and why, such as `has 2, needs 3`."""

    writer_id: str
    n_pages: int
    reason: str


@dataclass(frozen=True)
class ExcludedPage:
    """A page (or image, where the corpus has no pages) that is excluded of a writer who takes
    part.
    """

    page_id: str
    writer_id: str
    reason: str


@dataclass(frozen=True)
class Choice:
    """Which writers and pages take part, by which rule.

    Attributes:
        rule: in words; a sentence for each setting that chose.
        writers: those excluded, in natural order.
        pages: those excluded of the other writers, in the order of the corpus.
    """

    rule: str
    writers: tuple[ExcludedWriter, ...] = ()
    pages: tuple[ExcludedPage, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "rule": self.rule,
            # These two keys are 0.1's: they are part of the hash of a split.
            "left_out_writers": [asdict(writer) for writer in self.writers],
            "left_out_pages": [asdict(page) for page in self.pages],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Choice":
        """From plain values; KeyError or TypeError if they are others."""
        return cls(
            rule=content["rule"],
            writers=tuple(ExcludedWriter(**writer) for writer in content["left_out_writers"]),
            pages=tuple(ExcludedPage(**page) for page in content["left_out_pages"]),
        )


def compose(name: str) -> str:
    """A name in the Unicode form in which all ids are written (NFC)."""
    return unicodedata.normalize("NFC", name)


NaturalKey = tuple[list[tuple[int, int, str]], str]


def natural_key(name: str) -> NaturalKey:
    """A key to sort names by, without regard to case; the plain name decides between `1` and `01`.

    >>> sorted(["10", "9", "Ann", "ann 2"], key=natural_key)
    ['9', '10', 'Ann', 'ann 2']
    """
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part], name


def exclude_odd_names(index: CorpusIndex) -> CorpusIndex:
    """Exclude the images whose names cannot be written down, and make the names of all that is
    excluded printable.

    Ids are written in one Unicode form (NFC): a name with an accent comes decomposed from one
    system and composed from another, and is one name. Of two files that then have one id the first
    counts.

    Returns:
        The index, the same one where nothing is odd.
    """
    index = _in_one_form(index)
    odd = [image for image in index.images if _is_odd(image)]
    others = (*index.unusable, *index.not_chosen)
    if not odd and not any(_has_surrogates(f"{entry.path}{entry.reason}") for entry in others):
        return index
    reason = "its name holds bytes that are no UTF-8; rename it"
    images = tuple(image for image in index.images if not _is_odd(image))
    unusable = (*index.unusable, *(Excluded(image.path, reason, writer_id=image.writer_id) for image in odd))
    return replace(
        index,
        images=images,
        unusable=tuple(map(_printable, unusable)),
        not_chosen=tuple(map(_printable, index.not_chosen)),
    )


def _in_one_form(index: CorpusIndex) -> CorpusIndex:
    if all(
        unicodedata.is_normalized("NFC", f"{i.image_id}\n{i.writer_id}\n{i.group_id}\n{i.text_id}")
        for i in index.images
    ):
        return index
    images: dict[str, TextImage] = {}
    twice = []
    for image in map(_composed, index.images):
        first = images.setdefault(image.image_id, image)
        if first is not image:
            reason = f"has the name of {first.path}, which is used, in another Unicode form; rename one of them"
            twice.append(Excluded(image.path, reason, writer_id=image.writer_id))
    amounts = {name: _sum_by_composed(counts) for name, counts in index.amounts.items()}
    return replace(index, images=tuple(images.values()), unusable=(*index.unusable, *twice), amounts=amounts)


def _composed(image: TextImage) -> TextImage:
    return replace(
        image,
        image_id=compose(image.image_id),
        writer_id=compose(image.writer_id),
        page_id=image.page_id and compose(image.page_id),
        text_id=image.text_id and compose(image.text_id),
    )


def _sum_by_composed(counts: Mapping[str, int]) -> dict[str, int]:
    summed: dict[str, int] = {}
    for writer_id, count in counts.items():
        summed[compose(writer_id)] = summed.get(compose(writer_id), 0) + count
    return summed


def _is_odd(image: TextImage) -> bool:
    return _has_surrogates(f"{image.image_id}{image.writer_id}{image.group_id}{image.path}")


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _printable(entry: Excluded) -> Excluded:
    return replace(entry, path=Path(_escape(str(entry.path))), reason=_escape(entry.reason))


def _escape(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "backslashreplace")
