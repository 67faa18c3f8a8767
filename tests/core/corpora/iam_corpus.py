"""A corpus in the exact layout of the IAM Handwriting Database, and in the formats of its tables.

What is written is up to the caller; the images are empty unless said otherwise, as an index opens
none.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.corpora.settings import IamUnit

Place = Literal["nested", "flat", "root"]
Draw = Callable[[str], bytes]

_FOLDERS = {"line": "lines", "sentence": "sentences", "word": "words"}
_HEADERS = {
    "forms": "#--- forms.txt ---#\n#\n# iam database form information\n#\n# format: a01-000u 000 2 prt 7 5 52 36\n#\n",
    "lines": "#--- lines.txt ---#\n#\n# format: a01-000u-00 ok 154 19 408 746 1663 91 A|MOVE|to|stop\n#   er -> ...\n",
    "sentences": "#--- sentences.txt ---#\n#\n#     a01-000u-s00-00  -> sentence id\n#     ok er\n#\n",
    "words": "#--- words.txt ---#\n#\n# format: a01-000u-000-00 ok 154 1 408 768 27 51 AT A\n#\n",
}


@dataclass(frozen=True)
class Row:
    """What a table says of one image."""

    image_id: str
    is_ok: bool
    words: tuple[str, ...]
    box: tuple[int, int, int, int] = (408, 746, 1661, 89)


@dataclass(frozen=True)
class Form:
    """A form: each line holds the parts of one or two sentences, each part a tuple of words."""

    form_id: str
    writer_id: str
    lines: tuple[tuple[tuple[str, ...], ...], ...]
    err_lines: frozenset[int] = frozenset()

    def rows(self, unit: IamUnit) -> Iterator[Row]:
        """The rows of the unit's table, in its order. A sentence goes on in the next line's first
        part.
        """
        sentence, part = 0, 0
        for number, parts in enumerate(self.lines):
            is_ok = number not in self.err_lines
            words = tuple(word for words in parts for word in words)
            if unit == "form" and number == 0:
                yield Row(self.form_id, True, ())
            if unit == "line":
                yield Row(f"{self.form_id}-{number:02d}", is_ok, words)
            if unit == "word":
                for place, word in enumerate(words):
                    yield Row(f"{self.form_id}-{number:02d}-{place:02d}", is_ok, (word,), (408, 768, 27, 51))
            if unit == "sentence":
                for place, part_words in enumerate(parts):
                    sentence, part = (sentence + 1, 0) if place else (sentence, part)
                    yield Row(f"{self.form_id}-s{sentence:02d}-{part:02d}", is_ok, part_words)
                    part += 1

    @property
    def n_sentences(self) -> int:
        return 1 + sum(len(parts) - 1 for parts in self.lines)


def write_tables(folder: Path, forms: Sequence[Form]) -> None:
    """Write forms.txt, lines.txt, sentences.txt and words.txt, each under its comments."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{form.form_id} {form.writer_id} {form.n_sentences} prt {len(form.lines)} "
        f"{len(form.lines) - len(form.err_lines)} 52 36"
        for form in forms
    ]
    _write(folder, "forms", rows)
    for unit in ("line", "sentence", "word"):
        _write(folder, _FOLDERS[unit], [_table_row(row, unit) for form in forms for row in form.rows(unit)])


def write_images(
    root: Path, forms: Iterable[Form], unit: IamUnit, place: Place = "nested", draw: Draw = lambda _: b""
) -> list[Path]:
    """Write the images of one unit, and return their paths."""
    written = []
    for form in forms:
        for row in form.rows(unit):
            path = _place(root, form.form_id, unit, place) / f"{row.image_id}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(draw(row.image_id))
            written.append(path)
    return written


def append_row(table: Path, row: str) -> None:
    with table.open("a", encoding="utf-8") as file:
        file.write(f"{row}\n")


def _place(root: Path, form_id: str, unit: IamUnit, place: Place) -> Path:
    if place == "root":
        return root
    if unit == "form":
        letters = next(letters for letters in ("A-D", "E-H", "I-Z") if form_id[0].upper() <= letters[-1])
        return root / ("forms" if place == "flat" else f"forms{letters}")
    folder = root / _FOLDERS[unit]
    return folder if place == "flat" else folder / form_id[:3] / form_id


def _table_row(row: Row, unit: Literal["line", "sentence", "word"]) -> str:
    mark = "ok" if row.is_ok else "err"
    box = " ".join(map(str, row.box))
    if unit == "word":
        return f"{row.image_id} {mark} 154 {box} NN {row.words[0]}"
    number = f"{int(row.image_id[-5:-3])} " if unit == "sentence" else ""
    return f"{row.image_id} {number}{mark} 154 19 {box} {'|'.join(row.words)}"


def _write(folder: Path, table: str, rows: Sequence[str]) -> None:
    (folder / f"{table}.txt").write_text(_HEADERS[table] + "\n".join(rows) + "\n", encoding="utf-8")
