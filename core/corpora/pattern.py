r"""Any naming, told by a regular expression with named groups.

    corpus:
      layout: pattern
      root: scans
      pattern: '(?P<writer>\d+)_(?P<page>\d+)'         # scans/017_2.jpg

The pattern is matched against the whole path below the root, with `/` between folders and without the suffix. The
groups are `writer`, and where there are any `page`, `line`, `text` and `split` (`train` or `test`).
"""

import re
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from core.corpora.index import CorpusIndex, OfficialSplit, Unit
from core.corpora.named_files import FileName, Naming, index_named_files
from core.settings import Settings

_GROUPS = ("writer", "page", "line", "text", "split")
_EXAMPLE = r"'(?P<writer>\d+)_(?P<page>\d+)'"
_OFFICIAL: dict[str, OfficialSplit] = {"train": "train", "test": "test"}


class PatternSettings(Settings):
    """Where the images lie and how they are named."""

    layout: Literal["pattern"] = "pattern"
    """Any naming, by a regular expression."""
    root: Path
    """The folder with the images; sub-folders are looked into."""
    pattern: str
    r"""A regular expression for the path below the root without its suffix, such as
    `(?P<writer>\d+)_(?P<page>\d+)`. Its named groups are `writer`, and where there are any `page`, `line`, `text` and
    `split`."""
    unit: Unit = "auto"
    """One file is: `line`, `page`, or `auto`: lines where the pattern has a group `line`, else the ink tells."""

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

    def open(self, data_dir: Path) -> "PatternCorpus":
        """Return the corpus; nothing is read before its `index()` is called.

        Args:
            data_dir: where a generated corpus keeps its pages; not used here.
        """
        return PatternCorpus(self)


class PatternCorpus:
    """Reads the paths of the images; they are not opened."""

    def __init__(self, settings: PatternSettings) -> None:
        self._settings = settings
        self._pattern = re.compile(settings.pattern)

    def index(self) -> CorpusIndex:
        """List the images.

        Without a group `page` each file is a page of its own; but a line whose page the pattern does not tell has
        none, and the split is then by image.

        Raises:
            CorpusError: if the folder is missing, if at most half of its images fit the pattern, or if fewer than
                two writers have images.
        """
        example = f"the pattern {self._settings.pattern!r} says (path below the root, no suffix)"
        return index_named_files(self._settings.root, Naming("pattern", example, ".tif", self._read))

    def _read(self, path: str) -> FileName | None:
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        groups = found.groupdict()
        writer_id, part = groups["writer"], groups.get("split")
        if not writer_id or (part is not None and part.lower() not in _OFFICIAL):
            return None
        unit: Unit = "line" if self._settings.unit == "auto" and groups.get("line") else self._settings.unit
        return FileName(
            image_id=path,
            writer_id=writer_id,
            page_id=page_of(writer_id, groups.get("page"), path, unit),
            unit=unit,
            text_id=groups.get("text"),
            official_split=None if part is None else _OFFICIAL[part.lower()],
        )


def page_of(writer_id: str, page: str | None, image_id: str, unit: Unit) -> str | None:
    """The page id of an image, where a page may be told or not.

    Pages of different writers may be numbered alike, so the writer is part of it. An image without a page is one
    itself, unless it is a line: which lines stand on one page is then unknown.
    """
    if page:
        return f"{writer_id}/{page}"
    return None if unit == "line" else image_id
