"""Every corpus layout that an experiment file can name."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from core.corpora.base import Corpus
from core.corpora.dhsd import DhsdCorpus, DhsdSettings
from core.corpora.folder import FolderCorpus, FolderSettings
from core.corpora.hands import HandsCorpus, HandsSettings

CorpusSettings = Annotated[HandsSettings | DhsdSettings | FolderSettings, Field(discriminator="layout")]
"""Settings of one corpus; its `layout` says which."""


def open_corpus(settings: HandsSettings | DhsdSettings | FolderSettings, data_dir: Path) -> Corpus:
    """Return the corpus that the settings describe; nothing is read before its `index()` is called.

    Args:
        settings: of one of the layouts.
        data_dir: where a generated corpus keeps its pages; others do not use it.
    """
    match settings:
        case HandsSettings():
            return HandsCorpus(settings, data_dir)
        case DhsdSettings():
            return DhsdCorpus(settings)
        case FolderSettings():
            return FolderCorpus(settings)
