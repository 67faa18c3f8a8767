"""ICDAR 2017 Historical-WI: historical letters and documents of the 13th to 20th century.

    0001-IMG_MAX_0001.jpg
    writer, image

The images come in colour (`.jpg`) and bilevel (`.png`), under the same names: where both lie below the root, the ones
in colour are used. Nobody copied a text: texts are unknown.

Source: Fiel et al., "ICDAR2017 Competition on Historical Document Writer Identification (Historical-WI)";
https://zenodo.org/record/1324999
"""

import re
from pathlib import Path
from typing import Literal

from core.corpora.index import CorpusIndex, Unit
from core.corpora.named_files import FileName, Naming, index_named_files
from core.settings import Settings

_NAME = re.compile(r"(?P<writer>\d+)-IMG_MAX_\d+")


class Icdar2017Settings(Settings):
    """Where the images lie."""

    layout: Literal["icdar2017"] = "icdar2017"
    """ICDAR 2017 Historical-WI."""
    root: Path
    """The folder with the images of one part, training or test: the parts may number other people alike."""
    unit: Unit = "page"
    """What one file holds: `page` (its lines are found first), or `line` for files that were cut before."""

    def open(self, data_dir: Path) -> "Icdar2017Corpus":
        """Return the corpus; nothing is read before its `index()` is called.

        Args:
            data_dir: where a generated corpus keeps its pages; not used here.
        """
        return Icdar2017Corpus(self)


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
        found = _NAME.fullmatch(path.rpartition("/")[2])
        if found is None:
            return None
        return FileName(
            image_id=found[0],
            writer_id=found["writer"],
            page_id=found[0],
            unit=self._settings.unit,
        )
