"""The tables of the IAM Handwriting Database 3.0, as its download `ascii.tgz` has them.

    forms.txt       a01-000u 000 2 prt 7 5 52 36
                    form, writer, sentences, `prt|all`, lines, lines ok, words, words ok
    lines.txt       a01-000u-00 ok 154 19 408 746 1661 89 A|MOVE|to|stop
                    line, `ok|err`, grey level, components, x y w h, text
    sentences.txt   a01-000u-s00-00 0 ok 154 19 408 746 1661 89 A|MOVE|to|stop
                    part of a sentence on one line, number of the sentence, then as above
    words.txt       a01-000u-00-00 ok 154 408 768 27 51 AT A
                    word, `ok|err`, grey level, (components, which the header names and the rows
                    lack,) x y w h, grammatical tag, text

Lines that begin with `#` are comments; a `#` in a text is a word that was crossed out. Words of a
text are divided by `|` and may hold blanks (`M Ps`). The headers write `er` for what the rows call
`err`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from core.corpora.index import Excluded
from core.errors import CorpusError

PartUnit = Literal["line", "sentence", "word"]

FORM_ID = r"[a-z]\d{2}-\d{3}[a-z]?"
"""A prompt (`a01-000`) and, where several people wrote it, a letter for each (`u`, `x`, `a` to
`f`).
"""

_NUMBER = r"\s+-?\d+"  # a word that could not be found has -1 for a place
_TEXT = r"(?:\s+(?P<text>\S.*))?"
_FORM_ROW = re.compile(
    rf"(?P<form>{FORM_ID})\s+(?P<writer>\S+)\s+(?P<sentences>\d+)\s+\S+\s+(?P<lines>\d+)(?:\s+\d+){{3}}"
)
_PART_ROWS = {
    "line": re.compile(rf"(?P<id>(?P<form>{FORM_ID})-\d+)\s+(?P<mark>ok|err?)(?:{_NUMBER}){{6}}{_TEXT}"),
    "sentence": re.compile(rf"(?P<id>(?P<form>{FORM_ID})-s\d+-\d+)\s+\d+\s+(?P<mark>ok|err?)(?:{_NUMBER}){{6}}{_TEXT}"),
    "word": re.compile(
        rf"(?P<id>(?P<form>{FORM_ID})-\d+-\d+)\s+(?P<mark>ok|err?)(?:{_NUMBER}){{5,6}}\s+(?P<tag>\S+){_TEXT}"
    ),
}
_FORM_EXAMPLE = "a01-000u 000 2 prt 7 5 52 36"
_PART_EXAMPLES = {
    "line": "a01-000u-00 ok 154 19 408 746 1661 89 A|MOVE|to|stop",
    "sentence": "a01-000u-s00-00 0 ok 154 19 408 746 1661 89 A|MOVE|to|stop",
    "word": "a01-000u-00-00 ok 154 408 768 27 51 AT A",
}


@dataclass(frozen=True)
class IamForm:
    """A row of forms.txt.

    Attributes:
        form_id: such as `a01-000u`; `a01-000u` and `a01-000x` are by different writers.
        writer_id: such as `000`, zeros kept.
        n_sentences: that the form's text has.
        n_lines: of handwriting.
    """

    form_id: str
    writer_id: str
    n_sentences: int
    n_lines: int

    @property
    def text_id(self) -> str:
        """The printed prompt, which other writers may have copied too: `a01-000`."""
        return self.form_id[:7]


@dataclass(frozen=True)
class IamPart:
    """A row of lines.txt, sentences.txt or words.txt: what one image shows.

    Attributes:
        image_id: such as `a01-000u-s00-00`; the image has the same name.
        form_id: such as `a01-000u`.
        is_ok: whether IAM's own division into words went well.
        text: with a blank for each `|`; `None` where the row has none.
    """

    image_id: str
    form_id: str
    is_ok: bool
    text: str | None


Row = TypeVar("Row")


@dataclass(frozen=True)
class IamTable(Generic[Row]):
    """A table that was read.

    Attributes:
        rows: by form or image id, in the table's order.
        faults: lines that say nothing or say it again.
    """

    path: Path
    rows: dict[str, Row]
    faults: tuple[Excluded, ...]


def read_forms(path: Path) -> IamTable[IamForm]:
    """Read forms.txt.

    Raises:
        CorpusError: if the file cannot be read, or more than half of its rows are of another make.
    """

    def row(found: re.Match[str]) -> tuple[str, IamForm]:
        form = IamForm(found["form"], found["writer"], int(found["sentences"]), int(found["lines"]))
        return form.form_id, form

    return _read(path, _FORM_ROW, _FORM_EXAMPLE, row)


def read_parts(path: Path, unit: PartUnit) -> IamTable[IamPart]:
    """Read lines.txt, sentences.txt or words.txt.

    Raises:
        CorpusError: if the file cannot be read, or more than half of its rows are of another make.
    """

    def row(found: re.Match[str]) -> tuple[str, IamPart]:
        text = found["text"]
        words = None if text is None else text.replace("|", " ")
        return found["id"], IamPart(found["id"], found["form"], found["mark"] == "ok", words)

    return _read(path, _PART_ROWS[unit], _PART_EXAMPLES[unit], row)


def _read(
    path: Path, pattern: re.Pattern[str], example: str, make: Callable[[re.Match[str]], tuple[str, Row]]
) -> IamTable[Row]:
    rows: dict[str, Row] = {}
    faults: list[Excluded] = []
    n_unlike = 0
    for number, line in _lines(path):
        found = pattern.fullmatch(line)
        if found is None:
            n_unlike += 1
            faults.append(Excluded(path, f"line {number} must be like {example!r}, but is {line[:80]!r}"))
            continue
        key, row = make(found)
        if key in rows:
            faults.append(Excluded(path, f"line {number} names {key} again; its first row counts"))
        else:
            rows[key] = row
    if n_unlike > len(rows):
        raise CorpusError(
            f"Rows of {path} must be like {example!r}, but {n_unlike} of {n_unlike + len(rows)} are not; "
            f"{faults[0].reason}. Unpack IAM's ascii.tgz again."
        )
    return IamTable(path, rows, tuple(faults))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The rows with their line numbers. A byte that is no UTF-8 spoils a letter, not the table."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if line.strip() and not line.startswith("#"):
                    yield number, line.strip()
    except OSError as error:
        raise CorpusError(f"IAM's table {path} must be readable, but is not: {error}.") from error
