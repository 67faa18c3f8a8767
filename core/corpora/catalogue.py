"""Every corpus layout that an experiment file can name."""

from typing import Annotated

from pydantic import Field

from core.corpora.dhsd import DhsdSettings
from core.corpora.folder import FolderSettings
from core.corpora.hands import HandsSettings

CorpusSettings = Annotated[HandsSettings | DhsdSettings | FolderSettings, Field(discriminator="layout")]
"""Settings of one corpus; its `layout` says which, and `open` gives the corpus. A new layout is a file and a name here.
"""
