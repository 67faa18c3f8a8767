"""The CSAFE Handwriting Database: 90 writers (later more), three sessions, three prompts, three repetitions.

    w0009_s01_pWOZ_r01.png
    writer, session, prompt, repetition

The prompts are the London Letter (`pLND`), a phrase (`pPHR`) and a passage of the Wizard of Oz (`pWOZ`): everybody
wrote the same ones, nine times each. A scan is a page; the prompt is its text.

Source: Crawford, Ray, Carriquiry, "A database of handwriting samples for applications in forensic statistics", Data in
Brief 28, 2020; https://forensicstats.org/handwritingdatabase/
"""

import re
from pathlib import Path
from typing import Literal

from core.corpora.index import CorpusIndex, Unit
from core.corpora.named_files import FileName, Naming, index_named_files
from core.settings import Settings

_NAME = re.compile(r"(?P<writer>w\d{4})_s\d{2}_(?P<prompt>p[A-Z]{3})_r\d{2}")


class CsafeSettings(Settings):
    """Where the images lie."""

    layout: Literal["csafe"] = "csafe"
    """The CSAFE Handwriting Database."""
    root: Path
    """The folder with the scans; sub-folders are looked into."""
    unit: Unit = "page"
    """What one file holds: `page` (its lines are found first), or `line` for files that were cut before."""

    def open(self, data_dir: Path) -> "CsafeCorpus":
        """Return the corpus; nothing is read before its `index()` is called.

        Args:
            data_dir: where a generated corpus keeps its pages; not used here.
        """
        return CsafeCorpus(self)


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
        found = _NAME.fullmatch(path.rpartition("/")[2])
        if found is None:
            return None
        return FileName(
            image_id=found[0],
            writer_id=found["writer"],
            page_id=found[0],
            unit=self._settings.unit,
            text_id=found["prompt"],
        )
