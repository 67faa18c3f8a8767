r"""Corpora whose file names say everything: who wrote, which page, which text.

Each public corpus of that kind is a row of `PRESETS`; any other naming is told by the user:

    corpus:
      layout: pattern
      root: scans
      pattern: '(?P<writer>\d+)_(?P<page>\d+)'         # scans/017_2.jpg

A pattern is matched against the whole path below the root, with `/` between folders and without the
suffix. The user's groups are `writer`, and where there are any `page`, `line`, `text` and `split`
(`train` or `test`).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from core.corpora.image_walk import one_file_each, walk_images
from core.corpora.index import CorpusIndex, Excluded, OfficialSplit, TextImage, Unit
from core.corpora.resemblance import layout_error
from core.corpora.settings import NamedFilesSettings, PatternSettings
from core.errors import CorpusError


@dataclass(frozen=True)
class Preset:
    """How the files of a public corpus are named.

    Attributes:
        example: of a file name.
        suffix: of the corpus's own files; where an image is there more than once, that one is used.
        names: patterns for the path below the root, the first that fits counts. Groups: `writer`;
            `id`, the image, else it is the file's name; `page` of the writer, else each image is a
            page of its own; `text`. Give `id` where two folders may hold files of one name, or
            they would be taken for one image.
        copied: the pages that everybody copied from one text; any other page is a text of its own.
            Empty where the names say nothing of that.
    """

    example: str
    suffix: str
    names: tuple[re.Pattern[str], ...]
    copied: frozenset[str] = frozenset()

    def read(self, path: str, unit: Unit) -> "FileName | None":
        """Read a path below the root, with `/` and without suffix; nothing if it is named in
        another way.
        """
        found = next(filter(None, (name.fullmatch(path) for name in self.names)), None)
        if found is None:
            return None
        groups = found.groupdict()
        image_id, writer_id, page = groups.get("id") or path.rpartition("/")[2], groups["writer"], groups.get("page")
        page_id = f"{writer_id}-{page}" if page else image_id
        own_text = page_id if self.copied else None
        return FileName(
            image_id, writer_id, page_id, unit, page if page in self.copied else groups.get("text", own_text)
        )


def _in_any_folder(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?:.*/)?{name}")


PRESETS = {
    # CERUG: Chinese and English pages of 105 writers (CERUG-CN, CERUG-EN, CERUG-MIXED). The writer,
    # then whatever follows the first `_`. Each file counts as a page. Where two files are halves of
    # one sheet, say so with `corpus.layout: pattern`, or a split by page divides the sheet.
    # Source: He, Wiering, Schomaker, "Junction detection in handwritten documents and its
    # application to writer identification", Pattern Recognition 48, 2015.
    "cerug": Preset("Writer0101_01.png", ".png", (_in_any_folder(r"(?P<writer>[^_/-]+)_[^/]+"),)),
    # The CSAFE Handwriting Database: 90 writers (later more); session, prompt, repetition. The
    # prompts are the London Letter (`pLND`), a phrase (`pPHR`) and a passage of the Wizard of Oz
    # (`pWOZ`): everybody wrote the same ones, nine times each. A scan is a page; the prompt is its
    # text. Source: Crawford, Ray, Carriquiry, "A database of handwriting samples for applications
    # in forensic statistics", Data in Brief 28, 2020;
    # https://forensicstats.org/handwritingdatabase/
    "csafe": Preset(
        "w0009_s01_pWOZ_r01.png",
        ".png",
        (_in_any_folder(r"(?P<writer>w\d{4})_s\d{2}_(?P<text>p[A-Z]{3})_r\d{2}"),),
    ),
    # Firemaker: four pages each by 250 writers, in Dutch, at 300 dpi: `00101-1.tif` (writer, page),
    # or `p1/00101.tif` where each page lies in a folder of its own. Pages 1 to 3 were copied (in
    # the natural hand, in capitals, and in an attempt to write like somebody else), page 4 is in
    # the writer's own words about a cartoon. Usual in the field is page 1 against page 4;
    # `writers.exclude_pages` excludes the other two. What follows a second `-` tells the parts of
    # one page apart.
    # Source: Bulacu, Schomaker, Vuurpijl, "Writer identification using edge-based directional
    # features", ICDAR 2003; https://zenodo.org/record/1194612
    "firemaker": Preset(
        "00101-1.tif",
        ".tif",
        (
            _in_any_folder(r"(?P<id>p(?P<page>[1-4])/(?P<writer>\d+)(?:-[^/]+)?)"),
            _in_any_folder(r"(?P<writer>\d+)-(?!IMG_MAX)p?(?P<page>[^/-]+)(?:-[^/]+)?"),
        ),
        copied=frozenset("123"),
    ),
    # HisIR19, the data of the ICDAR 2019 competition on image retrieval for historical handwritten
    # documents: writer, image. Up to five pages a writer, and many writers with one page only: set
    # `split.too_few_pages: leave_out`. For books, the organisers take consecutive pages of one
    # homogeneous part to be by one hand.
    # Source: Christlein, Nicolaou, Seuret, Stutzmann, Maier, "ICDAR 2019 Competition on Image
    # Retrieval for Historical Handwritten Documents";
    # https://clamm.irht.cnrs.fr/icdar2019-hdrc-ir/data-set
    "hisir19": Preset("0001_0001.jpg", ".jpg", (_in_any_folder(r"(?P<writer>\d{4,})_\d+"),)),
    # The data of the ICDAR 2013 competition on writer identification, bilevel: writer, text. All
    # writers copied the same four texts, two in Greek and two in English: the number is page and
    # text. Source: Louloudis, Gatos, Stamatopoulos, Papandreou, "ICDAR 2013 Competition on Writer
    # Identification".
    "icdar2013": Preset("001_1.tif", ".tif", (_in_any_folder(r"(?P<writer>\d{3})_(?P<text>\d)"),)),
    # ICDAR 2017 Historical-WI: historical letters and documents of the 13th to 20th century:
    # writer, image. The images come in colour (`.jpg`) and bilevel (`.png`), under the same names:
    # where both lie below the root, the ones in colour are used. Nobody copied a text: texts are
    # unknown. Source: Fiel et al., "ICDAR2017 Competition on Historical Document Writer
    # Identification (Historical-WI)"; https://zenodo.org/record/1324999
    "icdar2017": Preset("0001-IMG_MAX_0001.jpg", ".jpg", (_in_any_folder(r"(?P<writer>\d+)-IMG_MAX_\d+"),)),
}
"""The corpora whose names are known, by `corpus.layout`. A file is a page, unless `corpus.unit`
says otherwise.
"""


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


class PresetCorpus:
    """Reads the names of the images; they are not opened."""

    def __init__(self, settings: NamedFilesSettings) -> None:
        self._settings = settings

    def index(self) -> CorpusIndex:
        """List the images.

        Raises:
            CorpusError: if the folder is missing or of another layout, or holds fewer than two
                writers.
        """
        layout, unit = self._settings.layout, self._settings.unit
        preset = PRESETS[layout]
        return _index(self._settings.root, layout, preset.example, preset.suffix, lambda path: preset.read(path, unit))


class PatternCorpus:
    """Reads the paths of the images; they are not opened."""

    def __init__(self, settings: PatternSettings) -> None:
        self._settings = settings
        self._pattern = re.compile(settings.pattern)

    def index(self) -> CorpusIndex:
        """List the images.

        Without a group `page` each file is a page of its own; but a line whose page the pattern
        does not tell has none, and the split is then by image.

        Raises:
            CorpusError: if the folder is missing, if at most half of its images fit the pattern, or
                if fewer than two writers have images.
        """
        example = f"the pattern {self._settings.pattern!r} says (path below the root, no suffix)"
        return _index(self._settings.root, "pattern", example, ".tif", self._read, documents=True)

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

    Pages of different writers may be numbered alike, so the writer is part of it. An image without
    a page is one itself, unless it is a line: which lines stand on one page is then unknown.
    """
    if page:
        return f"{writer_id}/{page}"
    return None if unit == "line" else image_id


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


_OFFICIAL: dict[str, OfficialSplit] = {"train": "train", "test": "test"}


def _index(
    root: Path,
    layout: str,
    example: str,
    suffix: str,
    read: Callable[[str], FileName | None],
    documents: bool = False,
) -> CorpusIndex:
    """List the images below a folder, in natural order. None is opened.

    Hidden files and files that are no images are passed over. Images that another copy stands for
    are not chosen, and those that are named in another way are unusable.

    Raises:
        CorpusError: if the root is no folder, if at most half of its images are named like that, or
            if fewer than two writers have images.
    """
    faults: list[Excluded] = []
    files = list(walk_images(root, faults, documents))
    names = {file: read(file.relative_to(root).with_suffix("").as_posix()) for file in files}
    fitting = {file: name for file, name in names.items() if name is not None}
    if not fitting or 2 * len(fitting) < len(files):
        raise layout_error(layout, root, f"images that are named like {example}")
    reason = f"is not named like {example}, as `corpus.layout: {layout}` wants"
    unusable = [Excluded(file, reason) for file in files if file not in fitting]
    chosen, others = one_file_each(fitting, lambda file: fitting[file].image_id, suffix)
    images = tuple(_text_image(file, fitting[file]) for file in chosen.values())
    check_writers(images, layout, root)
    return CorpusIndex(layout, root, images, unusable=(*unusable, *faults), not_chosen=tuple(others))


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
