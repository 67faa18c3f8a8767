"""The layouts of corpora, by the names that a file gives them: `wh.corpora.Folder("scans")`."""

from core.corpora.settings import CerugSettings as Cerug
from core.corpora.settings import CsafeSettings as Csafe
from core.corpora.settings import CvlSettings as Cvl
from core.corpora.settings import DhsdSettings as Dhsd
from core.corpora.settings import FiremakerSettings as Firemaker
from core.corpora.settings import FolderSettings as Folder
from core.corpora.settings import HandsSettings as Hands
from core.corpora.settings import Hisir19Settings as Hisir19
from core.corpora.settings import IamSettings as Iam
from core.corpora.settings import Icdar2013Settings as Icdar2013
from core.corpora.settings import Icdar2017Settings as Icdar2017
from core.corpora.settings import ManifestSettings as Manifest
from core.corpora.settings import PatternSettings as Pattern

__all__ = [
    "Cerug",
    "Csafe",
    "Cvl",
    "Dhsd",
    "Firemaker",
    "Folder",
    "Hands",
    "Hisir19",
    "Iam",
    "Icdar2013",
    "Icdar2017",
    "Manifest",
    "Pattern",
]
