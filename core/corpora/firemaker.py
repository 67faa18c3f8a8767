"""Firemaker: four pages each by 250 writers, in Dutch, at 300 dpi.

    00101-1.tif             writer, page
    p1/00101.tif            the same, where each page lies in a folder of its own

Pages 1 to 3 were copied (in the natural hand, in capitals, and in an attempt to write like somebody else), page 4 is
in the writer's own words about a cartoon. So pages 1 to 3 have the same texts for everybody, and each page 4 has its
own. Usual in the field is page 1 against page 4; `writers.exclude` leaves the other two out.

Source: Bulacu, Schomaker, Vuurpijl, "Writer identification using edge-based directional features", ICDAR 2003;
https://zenodo.org/record/1194612
"""

import re
from pathlib import Path
from typing import Literal

from core.corpora.index import CorpusIndex, Unit
from core.corpora.named_files import FileName, Naming, index_named_files
from core.settings import Settings

_NAME = re.compile(r"(?P<writer>\d+)-(?!IMG_MAX)(?P<page>[^-]+)(?:-.+)?")
_NAME_IN_FOLDER = re.compile(r"(?:.*/)?(?P<page>p[1-4])/(?P<writer>\d+)(?:-.+)?")
_COPIED = {"1", "2", "3"}


class FiremakerSettings(Settings):
    """Where the images lie."""

    layout: Literal["firemaker"] = "firemaker"
    """Firemaker."""
    root: Path
    """The folder with the images, or with p1 to p4."""
    unit: Unit = "page"
    """What one file holds: `page` (its lines are found first), or `line` for files that were cut before."""

    def open(self, data_dir: Path) -> "FiremakerCorpus":
        """Return the corpus; nothing is read before its `index()` is called.

        Args:
            data_dir: where a generated corpus keeps its pages; not used here.
        """
        return FiremakerCorpus(self)


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
        found = in_folder or _NAME.fullmatch(name)
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
