"""HisIR19, the data of the ICDAR 2019 competition on image retrieval for historical handwritten documents.

    0001_0001.jpg
    writer, image

Up to five pages a writer, and many writers with one page only: set `split.too_few_pages: leave_out`. For books, the
organisers take consecutive pages of one homogeneous part to be by one hand.

Source: Christlein, Nicolaou, Seuret, Stutzmann, Maier, "ICDAR 2019 Competition on Image Retrieval for Historical
Handwritten Documents"; https://clamm.irht.cnrs.fr/icdar2019-hdrc-ir/data-set
"""

import re
from pathlib import Path
from typing import Literal

from core.corpora.index import CorpusIndex, Unit
from core.corpora.named_files import FileName, Naming, index_named_files
from core.settings import Settings

_NAME = re.compile(r"(?P<writer>\d{4,})_\d+")


class Hisir19Settings(Settings):
    """Where the images lie."""

    layout: Literal["hisir19"] = "hisir19"
    """The data of the ICDAR 2019 competition on image retrieval (HisIR19)."""
    root: Path
    """The folder with the images of one part, validation or test: the parts may number other people alike."""
    unit: Unit = "page"
    """What one file holds: `page` (its lines are found first), or `line` for files that were cut before."""

    def open(self, data_dir: Path) -> "Hisir19Corpus":
        """Return the corpus; nothing is read before its `index()` is called.

        Args:
            data_dir: where a generated corpus keeps its pages; not used here.
        """
        return Hisir19Corpus(self)


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
        found = _NAME.fullmatch(path.rpartition("/")[2])
        if found is None:
            return None
        return FileName(
            image_id=found[0],
            writer_id=found["writer"],
            page_id=found[0],
            unit=self._settings.unit,
        )
