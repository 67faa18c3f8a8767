"""Opens the corpus that settings describe. A new layout is named in `settings` and here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.corpora.cvl import CvlCorpus
from core.corpora.dhsd import DhsdCorpus
from core.corpora.folder import FolderCorpus
from core.corpora.hands import HandsCorpus
from core.corpora.iam import IamCorpus
from core.corpora.index import Corpus
from core.corpora.manifest import ManifestCorpus
from core.corpora.named_files import (
    CerugCorpus,
    CsafeCorpus,
    FiremakerCorpus,
    Hisir19Corpus,
    Icdar2013Corpus,
    Icdar2017Corpus,
    PatternCorpus,
)
from core.corpora.settings import CorpusSettings, HandsSettings

_READERS: dict[str, Callable[[Any], Corpus]] = {
    "cerug": CerugCorpus,
    "csafe": CsafeCorpus,
    "cvl": CvlCorpus,
    "dhsd": DhsdCorpus,
    "firemaker": FiremakerCorpus,
    "folder": FolderCorpus,
    "hisir19": Hisir19Corpus,
    "iam": IamCorpus,
    "icdar2013": Icdar2013Corpus,
    "icdar2017": Icdar2017Corpus,
    "manifest": ManifestCorpus,
    "pattern": PatternCorpus,
}


def open_corpus(settings: CorpusSettings, data_dir: Path) -> Corpus:
    """Return the corpus; nothing is read before its `index()` is called.

    Args:
        settings: of any layout.
        data_dir: where a generated corpus keeps its pages; the others do not use it.
    """
    if isinstance(settings, HandsSettings):
        return HandsCorpus(settings, data_dir)
    return _READERS[settings.layout](settings)
