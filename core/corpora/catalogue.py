"""Opens the corpus that settings describe.

A layout with a reader of its own is named in `settings` and here; one that is only a row of
`named_files.PRESETS` needs nothing here.
"""

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
from core.corpora.named_files import PRESETS, PatternCorpus, PresetCorpus
from core.corpora.settings import CorpusSettings, HandsSettings

_READERS: dict[str, Callable[[Any], Corpus]] = {
    "cvl": CvlCorpus,
    "dhsd": DhsdCorpus,
    "folder": FolderCorpus,
    "iam": IamCorpus,
    "manifest": ManifestCorpus,
    "pattern": PatternCorpus,
    **dict.fromkeys(PRESETS, PresetCorpus),
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
