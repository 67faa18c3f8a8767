"""Every corpus layout that an experiment file can name."""

from typing import Annotated

from pydantic import Field

from core.corpora.cerug import CerugSettings
from core.corpora.csafe import CsafeSettings
from core.corpora.cvl import CvlSettings
from core.corpora.dhsd import DhsdSettings
from core.corpora.firemaker import FiremakerSettings
from core.corpora.folder import FolderSettings
from core.corpora.hands import HandsSettings
from core.corpora.hisir19 import Hisir19Settings
from core.corpora.iam import IamSettings
from core.corpora.icdar2013 import Icdar2013Settings
from core.corpora.icdar2017 import Icdar2017Settings
from core.corpora.manifest import ManifestSettings
from core.corpora.pattern import PatternSettings

CorpusSettings = Annotated[
    HandsSettings
    | CerugSettings
    | CsafeSettings
    | CvlSettings
    | DhsdSettings
    | FiremakerSettings
    | FolderSettings
    | Hisir19Settings
    | IamSettings
    | Icdar2013Settings
    | Icdar2017Settings
    | ManifestSettings
    | PatternSettings,
    Field(discriminator="layout"),
]
"""Settings of one corpus; its `layout` says which, and `open` gives the corpus. A new layout is a file and a name here.
"""
