"""The data of the ICDAR 2013 competition on writer identification: four texts a writer, bilevel.

    001_1.tif
    writer, text

All writers copied the same four texts, two in Greek and two in English: the number is page and text at once.

Source: Louloudis, Gatos, Stamatopoulos, Papandreou, "ICDAR 2013 Competition on Writer Identification".
"""

import re
from pathlib import Path
from typing import Literal

from core.corpora.index import CorpusIndex, Unit
from core.corpora.named_files import FileName, Naming, index_named_files
from core.settings import Settings

_NAME = re.compile(r"(?P<writer>\d{3})_(?P<text>\d)")


class Icdar2013Settings(Settings):
    """Where the images lie."""

    layout: Literal["icdar2013"] = "icdar2013"
    """The data of the ICDAR 2013 competition on writer identification."""
    root: Path
    """The folder with the images; sub-folders are looked into."""
    unit: Unit = "page"
    """What one file holds: `page` (its lines are found first), or `line` for files that were cut before."""

    def open(self, data_dir: Path) -> "Icdar2013Corpus":
        """Return the corpus; nothing is read before its `index()` is called.

        Args:
            data_dir: where a generated corpus keeps its pages; not used here.
        """
        return Icdar2013Corpus(self)


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
        found = _NAME.fullmatch(path.rpartition("/")[2])
        if found is None:
            return None
        return FileName(
            image_id=found[0],
            writer_id=found["writer"],
            page_id=found[0],
            unit=self._settings.unit,
            text_id=found["text"],
        )
