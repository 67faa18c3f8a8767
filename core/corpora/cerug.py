"""CERUG: Chinese and English pages of 105 writers (CERUG-CN, CERUG-EN, CERUG-MIXED).

    Writer0101_01.png
    writer, whatever follows the first `_`

Each file counts as a page. Where two files are halves of one sheet, say so with `corpus.layout: pattern`, or a split
by page divides the sheet.

Source: He, Wiering, Schomaker, "Junction detection in handwritten documents and its application to writer
identification", Pattern Recognition 48, 2015.
"""

import re
from pathlib import Path
from typing import Literal

from core.corpora.index import CorpusIndex, Unit
from core.corpora.named_files import FileName, Naming, index_named_files
from core.settings import Settings

_NAME = re.compile(r"(?P<writer>[^_-]+)_.+")


class CerugSettings(Settings):
    """Where the images lie."""

    layout: Literal["cerug"] = "cerug"
    """CERUG."""
    root: Path
    """The folder with the images of one of its parts, such as CERUG-EN; sub-folders are looked into."""
    unit: Unit = "page"
    """What one file holds: `page` (its lines are found first), or `line` for files that were cut before."""

    def open(self, data_dir: Path) -> "CerugCorpus":
        """Return the corpus; nothing is read before its `index()` is called.

        Args:
            data_dir: where a generated corpus keeps its pages; not used here.
        """
        return CerugCorpus(self)


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
