"""What an experiment file can say about a corpus: its layout, its writers, what is excluded."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from core.corpora.index import Unit
from core.handwriting.sheet_style import Edge, Form, LastLine, Paper, Skew, Tool
from core.settings import IdList, Settings


class UnusableSettings(Settings):
    """What to do about images that cannot be used."""

    max_share: float = Field(default=0.05, ge=0.0, le=1.0)
    """The share of a corpus's images that may be unusable; beyond it nothing is trained. In a small
    corpus up to three may be, but not more than half of it; with 0 not a single one."""


class TopWriters(Settings):
    """The writers with most of something."""

    n: int = Field(ge=2)
    """How many writers."""

    by: Literal["forms", "sentences", "lines", "ink"] = "forms"
    """Most of what: pages, sentences, text lines (as the corpus's own tables count them; pages and
    lines are counted as they lie there where it has no tables), or ink pixels of its text lines at
    ink.height_px."""

    ties: Literal["id"] = "id"
    """Who comes first among equals: the lower id."""


class WriterSettings(Settings):
    """Which writers and pages of the corpus take part; all of them unless something is said
    here.
    """

    include: IdList | None = None
    """Only these writers: their ids in quotes, or a file with one id a line."""

    exclude: IdList | None = None
    """Not these writers: their ids in quotes, or a file with one id a line."""

    include_pages: IdList | None = None
    """Only these pages (images, where the corpus has no pages): their ids in quotes, or a file with
    one id a line.
    """

    exclude_pages: IdList | None = None
    """Not these pages (images, where the corpus has no pages): their ids in quotes, or a file with
    one id a line.
    """

    min_pages: int = Field(default=1, ge=1)
    """Writers with fewer pages are excluded (images, where the corpus has no pages)."""

    top_writers: TopWriters | None = None
    """Only the writers with most of something, among those that all other rules leave."""


CvlUnit = Literal["page", "line", "word"]


class CvlSettings(Settings):
    """Where the database lies, and what one image shows."""

    layout: Literal["cvl"] = "cvl"
    """The CVL Database."""
    root: Path = Path("data/cvl")
    """The folder that holds trainset and testset, or one of them."""
    unit: CvlUnit = "line"
    """What one image shows: `page` (the cropped one, where it is there), `line` or `word`."""


class DhsdSettings(Settings):
    """Where the data set lies."""

    layout: Literal["dhsd"] = "dhsd"
    root: Path = Path("data/dhsd")
    """The folder that holds train.csv, test.csv and german_hw_data."""


class FolderSettings(Settings):
    """Where the scans lie and what one file holds."""

    layout: Literal["folder"] = "folder"
    root: Path
    """The folder with one sub-folder a writer."""
    unit: Unit = "auto"
    """What one file holds: `line` (one text line or word), `page` (its lines are found first), or
    `auto`: files directly in a writer's folder are looked at, files in a page's sub-folder are
    lines."""

    def __init__(self, root: str | Path | None = None, **keys: object) -> None:
        """Take the folder, in Python also without its name: `Folder("scans")`."""
        super().__init__(**keys if root is None else {"root": root, **keys})

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # see `Settings`


class HandsSettings(Settings):
    """How much handwriting to generate. The pages of a writer do not depend on how many writers
    there are.
    """

    layout: Literal["hands"] = "hands"
    """Generated handwriting."""
    n_writers: int = Field(default=50, ge=2)
    """How many writers."""
    n_pages: int = Field(default=4, ge=1)
    """Pages of each writer."""
    n_lines: int = Field(default=8, ge=1)
    """Text lines of each page."""
    seed: int = Field(default=0, ge=0)
    """Another seed gives other writers and texts."""
    alike: float = Field(default=0.0, ge=0, lt=1)
    """How much alike the writers are, from 0 to nearly 1: harder to tell apart."""
    unit: Literal["line", "page"] = "line"
    """What one image shows: `line` (known where it lies), or `page` (its lines are found first)."""
    paper: Paper = "plain"
    """The paper: `plain`, `ruled`, `squared` or `dotted`."""
    edge: Edge = "none"
    """What the scanner shows around the sheet: the `shadow` of a fold, a dark `band`, black
    `corners`, `punch_holes`, or `none`."""
    skew: Skew = "none"
    """How lines lie: `none` (level), `turn` (the sheet), `slope` (all lines), `fan` (unlike each
    other), `curve`.
    """
    columns: int = Field(default=1, ge=1, le=3)
    """Columns of text, side by side, of n_lines each."""
    tool: Tool = "pen"
    """What is written with: `pen`, or `pencil` (light and grainy)."""
    last_line: LastLine = "full"
    """The last line of a column: `full`, or `short` (a word or two)."""
    form: Form = "none"
    """Print on the page: `iam` (header and footer), `cvl` (header), or `none`."""


IamUnit = Literal["form", "line", "sentence", "word"]


class IamSettings(Settings):
    """Where the database lies, and what one image shows."""

    layout: Literal["iam"] = "iam"
    """The IAM Handwriting Database."""
    root: Path = Path("data/iam")
    """The folder that holds ascii (the tables) and the folders with images."""
    unit: IamUnit = "sentence"
    """What one image shows: `form` (a page; the handwriting is cut out between its printed parts),
    `line`, `sentence` (the part of a sentence that stands on one line), or `word`."""
    segmentation: Literal["all", "ok"] = "all"
    """`ok` excludes lines, sentences and words that IAM's own division got wrong (`err` in its
    tables); forms have no such mark."""


class ManifestSettings(Settings):
    """Where the table lies and what one file holds."""

    layout: Literal["manifest"] = "manifest"
    """A table of images."""
    file: Path
    """The table, a CSV file with the columns `path, writer[, page, text, split]`; paths start at
    its folder.
    """
    unit: Unit = "auto"
    """What one image file holds: `line`, `page`, or `auto`: the ink tells."""


class NamedFilesSettings(Settings):
    """Where the images of a corpus lie whose file names say everything; see
    `core.corpora.named_files`.
    """

    layout: str
    root: Path
    """The folder with the images; sub-folders are looked into."""
    unit: Unit = "page"
    """What one file holds: `page` (its lines are found first), or `line` for files that were cut
    before.
    """


class CerugSettings(NamedFilesSettings):
    """CERUG."""

    layout: Literal["cerug"] = "cerug"
    """CERUG."""
    root: Path
    """The folder with the images of one of its parts, such as CERUG-EN; sub-folders are looked
    into.
    """


class CsafeSettings(NamedFilesSettings):
    """The CSAFE Handwriting Database."""

    layout: Literal["csafe"] = "csafe"
    """The CSAFE Handwriting Database."""


class FiremakerSettings(NamedFilesSettings):
    """Firemaker."""

    layout: Literal["firemaker"] = "firemaker"
    """Firemaker."""
    root: Path
    """The folder with the images, or with p1 to p4."""


class Hisir19Settings(NamedFilesSettings):
    """HisIR19."""

    layout: Literal["hisir19"] = "hisir19"
    """The data of the ICDAR 2019 competition on image retrieval (HisIR19)."""
    root: Path
    """The folder with the images of one part, validation or test: the parts may number other people
    alike.
    """


class Icdar2013Settings(NamedFilesSettings):
    """ICDAR 2013."""

    layout: Literal["icdar2013"] = "icdar2013"
    """The data of the ICDAR 2013 competition on writer identification."""


class Icdar2017Settings(NamedFilesSettings):
    """ICDAR 2017."""

    layout: Literal["icdar2017"] = "icdar2017"
    """ICDAR 2017 Historical-WI."""
    root: Path
    """The folder with the images of one part, training or test: the parts may number other people
    alike.
    """


_GROUPS = ("writer", "page", "line", "text", "split")
_EXAMPLE = r"'(?P<writer>\d+)_(?P<page>\d+)'"


class PatternSettings(Settings):
    """Where the images lie and how they are named."""

    layout: Literal["pattern"] = "pattern"
    """Any naming, by a regular expression."""
    root: Path
    """The folder with the images; sub-folders are looked into."""
    pattern: str
    r"""A regular expression for the path below the root without its suffix, such as
    `(?P<writer>\d+)_(?P<page>\d+)`. Its named groups are `writer`, and where there are any `page`,
    `line`, `text` and `split`."""
    unit: Unit = "auto"
    """One file is: `line`, `page`, or `auto`: lines where the pattern has a group `line`, else the
    ink tells.
    """

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, pattern: str) -> str:
        try:
            groups = set(re.compile(pattern).groupindex)
        except re.error as error:
            raise ValueError(
                f"`corpus.pattern` must be a regular expression such as {_EXAMPLE}, but {pattern!r} is none: {error}. "
                "Put it in single quotes, so that YAML leaves its backslashes alone."
            ) from error
        if "writer" not in groups:
            raise ValueError(
                f"`corpus.pattern` must have a group `(?P<writer>...)`, as in {_EXAMPLE}, but {pattern!r} has none."
            )
        unknown = sorted(groups - set(_GROUPS))
        if unknown:
            raise ValueError(
                f"`corpus.pattern` may have the named groups {', '.join(_GROUPS)}, but {pattern!r} also has {unknown}."
            )
        return pattern


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
"""Settings of one corpus; its `layout` says which, and `open_corpus` reads it."""
