r"""Corpora whose file names say everything: who wrote, which page, which text.

A layout gives a `Naming`, and gets the index: every image below the root, the ones that another copy stands for left
out, and the ones that are named in another way unusable.

Any naming, told by a regular expression with named groups.

    corpus:
      layout: pattern
      root: scans
      pattern: '(?P<writer>\d+)_(?P<page>\d+)'         # scans/017_2.jpg

The pattern is matched against the whole path below the root, with `/` between folders and without the suffix. The
groups are `writer`, and where there are any `page`, `line`, `text` and `split` (`train` or `test`).

CERUG: Chinese and English pages of 105 writers (CERUG-CN, CERUG-EN, CERUG-MIXED).

    Writer0101_01.png
    writer, whatever follows the first `_`

Each file counts as a page. Where two files are halves of one sheet, say so with `corpus.layout: pattern`, or a split
by page divides the sheet.

Source: He, Wiering, Schomaker, "Junction detection in handwritten documents and its application to writer
identification", Pattern Recognition 48, 2015.

The CSAFE Handwriting Database: 90 writers (later more), three sessions, three prompts, three repetitions.

    w0009_s01_pWOZ_r01.png
    writer, session, prompt, repetition

The prompts are the London Letter (`pLND`), a phrase (`pPHR`) and a passage of the Wizard of Oz (`pWOZ`): everybody
wrote the same ones, nine times each. A scan is a page; the prompt is its text.

Source: Crawford, Ray, Carriquiry, "A database of handwriting samples for applications in forensic statistics", Data in
Brief 28, 2020; https://forensicstats.org/handwritingdatabase/

Firemaker: four pages each by 250 writers, in Dutch, at 300 dpi.

    00101-1.tif             writer, page
    p1/00101.tif            the same, where each page lies in a folder of its own

Pages 1 to 3 were copied (in the natural hand, in capitals, and in an attempt to write like somebody else), page 4 is
in the writer's own words about a cartoon. So pages 1 to 3 have the same texts for everybody, and each page 4 has its
own. Usual in the field is page 1 against page 4; `writers.exclude` excludes the other two.

Source: Bulacu, Schomaker, Vuurpijl, "Writer identification using edge-based directional features", ICDAR 2003;
https://zenodo.org/record/1194612

HisIR19, the data of the ICDAR 2019 competition on image retrieval for historical handwritten documents.

    0001_0001.jpg
    writer, image

Up to five pages a writer, and many writers with one page only: set `split.too_few_pages: leave_out`. For books, the
organisers take consecutive pages of one homogeneous part to be by one hand.

Source: Christlein, Nicolaou, Seuret, Stutzmann, Maier, "ICDAR 2019 Competition on Image Retrieval for Historical
Handwritten Documents"; https://clamm.irht.cnrs.fr/icdar2019-hdrc-ir/data-set

The data of the ICDAR 2013 competition on writer identification: four texts a writer, bilevel.

    001_1.tif
    writer, text

All writers copied the same four texts, two in Greek and two in English: the number is page and text at once.

Source: Louloudis, Gatos, Stamatopoulos, Papandreou, "ICDAR 2013 Competition on Writer Identification".

ICDAR 2017 Historical-WI: historical letters and documents of the 13th to 20th century.

    0001-IMG_MAX_0001.jpg
    writer, image

The images come in colour (`.jpg`) and bilevel (`.png`), under the same names: where both lie below the root, the ones
in colour are used. Nobody copied a text: texts are unknown.

Source: Fiel et al., "ICDAR2017 Competition on Historical Document Writer Identification (Historical-WI)";
https://zenodo.org/record/1324999
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from core.corpora.image_walk import one_file_each, walk_images
from core.corpora.index import CorpusIndex, Excluded, OfficialSplit, TextImage, Unit
from core.corpora.resemblance import layout_error
from core.corpora.settings import (
    CerugSettings,
    CsafeSettings,
    FiremakerSettings,
    Hisir19Settings,
    Icdar2013Settings,
    Icdar2017Settings,
    PatternSettings,
)
from core.errors import CorpusError


@dataclass(frozen=True)
class FileName:
    """What the name of one image says.

    Attributes:
        image_id: files with the same one show the same image.
        writer_id: as it is written, zeros kept.
        page_id: see `TextImage`.
        unit: see `TextImage`.
        text_id: see `TextImage`.
        official_split: see `TextImage`.
    """

    image_id: str
    writer_id: str
    page_id: str | None
    unit: Unit
    text_id: str | None = None
    official_split: OfficialSplit | None = None


@dataclass(frozen=True)
class Naming:
    """How the files of a corpus are named.

    Attributes:
        layout: as `corpus.layout` names it.
        example: of a file name.
        suffix: of the corpus's own files; where an image is there more than once, that one is used.
        read: reads the path below the root, with `/` and without suffix; nothing where it is named in another way.
    """

    layout: str
    example: str
    suffix: str
    read: Callable[[str], FileName | None]


def index_named_files(root: Path, naming: Naming) -> CorpusIndex:
    """List the images below a folder, in natural order. None is opened.

    Hidden files and files that are no images are passed over.

    Raises:
        CorpusError: if the root is no folder, if at most half of its images are named like that, or if fewer than
            two writers have images.
    """
    faults: list[Excluded] = []
    files = list(walk_images(root, faults))
    names = {file: naming.read(file.relative_to(root).with_suffix("").as_posix()) for file in files}
    fitting = [file for file in files if names[file] is not None]
    if not fitting or 2 * len(fitting) < len(files):
        raise layout_error(naming.layout, root, f"images that are named like {naming.example}")
    unusable = [
        Excluded(file, f"is not named like {naming.example}, as `corpus.layout: {naming.layout}` wants")
        for file in files
        if names[file] is None
    ]

    def named(file: Path) -> FileName:
        name = names[file]
        assert name is not None
        return name

    chosen, others = one_file_each(fitting, lambda file: named(file).image_id, naming.suffix)
    images = tuple(_text_image(file, named(file)) for file in chosen.values())
    check_writers(images, naming.layout, root)
    return CorpusIndex(naming.layout, root, images, unusable=(*unusable, *faults), not_chosen=tuple(others))


def check_writers(images: Iterable[TextImage], layout: str, root: Path) -> None:
    """Refuse a corpus of fewer than two writers.

    Raises:
        CorpusError: names the writer.
    """
    counts = Counter(image.writer_id for image in images)
    if len(counts) < 2:
        raise CorpusError(
            f"There must be images of two writers or more, but `corpus.layout: {layout}` finds those of "
            f"{len(counts)} ({', '.join(counts) or 'nobody'}) in {root}. Mend the path, or the layout."
        )


def _text_image(file: Path, name: FileName) -> TextImage:
    return TextImage(
        image_id=name.image_id,
        path=file,
        writer_id=name.writer_id,
        page_id=name.page_id,
        unit=name.unit,
        text_id=name.text_id,
        official_split=name.official_split,
    )


_OFFICIAL: dict[str, OfficialSplit] = {"train": "train", "test": "test"}


class PatternCorpus:
    """Reads the paths of the images; they are not opened."""

    def __init__(self, settings: PatternSettings) -> None:
        self._settings = settings
        self._pattern = re.compile(settings.pattern)

    def index(self) -> CorpusIndex:
        """List the images.

        Without a group `page` each file is a page of its own; but a line whose page the pattern does not tell has
        none, and the split is then by image.

        Raises:
            CorpusError: if the folder is missing, if at most half of its images fit the pattern, or if fewer than
                two writers have images.
        """
        example = f"the pattern {self._settings.pattern!r} says (path below the root, no suffix)"
        return index_named_files(self._settings.root, Naming("pattern", example, ".tif", self._read))

    def _read(self, path: str) -> FileName | None:
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        groups = found.groupdict()
        writer_id, part = groups["writer"], groups.get("split")
        if not writer_id or (part is not None and part.lower() not in _OFFICIAL):
            return None
        unit: Unit = "line" if self._settings.unit == "auto" and groups.get("line") else self._settings.unit
        return FileName(
            image_id=path,
            writer_id=writer_id,
            page_id=page_of(writer_id, groups.get("page"), path, unit),
            unit=unit,
            text_id=groups.get("text"),
            official_split=None if part is None else _OFFICIAL[part.lower()],
        )


def page_of(writer_id: str, page: str | None, image_id: str, unit: Unit) -> str | None:
    """The page id of an image, where a page may be told or not.

    Pages of different writers may be numbered alike, so the writer is part of it. An image without a page is one
    itself, unless it is a line: which lines stand on one page is then unknown.
    """
    if page:
        return f"{writer_id}/{page}"
    return None if unit == "line" else image_id


_NAME = re.compile(r"(?P<writer>[^_-]+)_.+")


class CerugCorpus:
    """Reads the names of the images; they are not opened."""

    def __init__(self, settings: CerugSettings) -> None:
        self._settings = settings

    def index(self) -> CorpusIndex:
        """List the images, each a page of its own.

        Raises:
            CorpusError: if the folder is missing or of another layout, or holds fewer than two writers.
        """
        return index_named_files(self._settings.root, Naming("cerug", "Writer0101_01.png", ".png", self._read))

    def _read(self, path: str) -> FileName | None:
        found = _NAME.fullmatch(path.rpartition("/")[2])
        if found is None:
            return None
        return FileName(
            image_id=found[0],
            writer_id=found["writer"],
            page_id=found[0],
            unit=self._settings.unit,
        )


_NAME_csafe = re.compile(r"(?P<writer>w\d{4})_s\d{2}_(?P<prompt>p[A-Z]{3})_r\d{2}")


class CsafeCorpus:
    """Reads the names of the images; they are not opened."""

    def __init__(self, settings: CsafeSettings) -> None:
        self._settings = settings

    def index(self) -> CorpusIndex:
        """List the images, each a page of its own.

        Raises:
            CorpusError: if the folder is missing or of another layout, or holds fewer than two writers.
        """
        return index_named_files(self._settings.root, Naming("csafe", "w0009_s01_pWOZ_r01.png", ".png", self._read))

    def _read(self, path: str) -> FileName | None:
        found = _NAME_csafe.fullmatch(path.rpartition("/")[2])
        if found is None:
            return None
        return FileName(
            image_id=found[0],
            writer_id=found["writer"],
            page_id=found[0],
            unit=self._settings.unit,
            text_id=found["prompt"],
        )


_NAME_firemaker = re.compile(r"(?P<writer>\d+)-(?!IMG_MAX)(?P<page>[^-]+)(?:-.+)?")
_NAME_IN_FOLDER = re.compile(r"(?:.*/)?(?P<page>p[1-4])/(?P<writer>\d+)(?:-.+)?")
_COPIED = {"1", "2", "3"}


class FiremakerCorpus:
    """Reads the names of the images; they are not opened."""

    def __init__(self, settings: FiremakerSettings) -> None:
        self._settings = settings

    def index(self) -> CorpusIndex:
        """List the images. What follows a second `-` in a name tells the parts of one page apart.

        Raises:
            CorpusError: if the folder is missing or of another layout, or holds fewer than two writers.
        """
        return index_named_files(self._settings.root, Naming("firemaker", "00101-1.tif", ".tif", self._read))

    def _read(self, path: str) -> FileName | None:
        name = path.rpartition("/")[2]
        in_folder = _NAME_IN_FOLDER.fullmatch(path)
        found = in_folder or _NAME_firemaker.fullmatch(name)
        if found is None:
            return None
        page = found["page"].removeprefix("p")
        page_id = f"{found['writer']}-{page}"
        return FileName(
            image_id=f"{found['page']}/{name}" if in_folder else name,
            writer_id=found["writer"],
            page_id=page_id,
            unit=self._settings.unit,
            text_id=page if page in _COPIED else page_id,
        )


_NAME_hisir19 = re.compile(r"(?P<writer>\d{4,})_\d+")


class Hisir19Corpus:
    """Reads the names of the images; they are not opened."""

    def __init__(self, settings: Hisir19Settings) -> None:
        self._settings = settings

    def index(self) -> CorpusIndex:
        """List the images, each a page of its own.

        Raises:
            CorpusError: if the folder is missing or of another layout, or holds fewer than two writers.
        """
        return index_named_files(self._settings.root, Naming("hisir19", "0001_0001.jpg", ".jpg", self._read))

    def _read(self, path: str) -> FileName | None:
        found = _NAME_hisir19.fullmatch(path.rpartition("/")[2])
        if found is None:
            return None
        return FileName(
            image_id=found[0],
            writer_id=found["writer"],
            page_id=found[0],
            unit=self._settings.unit,
        )


_NAME_icdar2013 = re.compile(r"(?P<writer>\d{3})_(?P<text>\d)")


class Icdar2013Corpus:
    """Reads the names of the images; they are not opened."""

    def __init__(self, settings: Icdar2013Settings) -> None:
        self._settings = settings

    def index(self) -> CorpusIndex:
        """List the images, each a page of its own.

        Raises:
            CorpusError: if the folder is missing or of another layout, or holds fewer than two writers.
        """
        return index_named_files(self._settings.root, Naming("icdar2013", "001_1.tif", ".tif", self._read))

    def _read(self, path: str) -> FileName | None:
        found = _NAME_icdar2013.fullmatch(path.rpartition("/")[2])
        if found is None:
            return None
        return FileName(
            image_id=found[0],
            writer_id=found["writer"],
            page_id=found[0],
            unit=self._settings.unit,
            text_id=found["text"],
        )


_NAME_icdar2017 = re.compile(r"(?P<writer>\d+)-IMG_MAX_\d+")


class Icdar2017Corpus:
    """Reads the names of the images; they are not opened."""

    def __init__(self, settings: Icdar2017Settings) -> None:
        self._settings = settings

    def index(self) -> CorpusIndex:
        """List the images, each a page of its own.

        Raises:
            CorpusError: if the folder is missing or of another layout, or holds fewer than two writers.
        """
        return index_named_files(self._settings.root, Naming("icdar2017", "0001-IMG_MAX_0001.jpg", ".jpg", self._read))

    def _read(self, path: str) -> FileName | None:
        found = _NAME_icdar2017.fullmatch(path.rpartition("/")[2])
        if found is None:
            return None
        return FileName(
            image_id=found[0],
            writer_id=found["writer"],
            page_id=found[0],
            unit=self._settings.unit,
        )
