"""A table that says of every image who wrote it.

    path,writer,page,text,split
    scans/1.png,ann,p1,letter,train
    scans/2.png,bob,,,test

`path` starts at the table's folder. `page`, `text` and `split` are optional; a text is an id or the
text itself. Commas, semicolons or tabs; UTF-8, with or without a byte order mark. A first line
`sep=;`, as Excel writes it, says which.
"""

import csv
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from core.corpora.index import CorpusIndex, Excluded, OfficialSplit, TextImage
from core.corpora.named_files import check_writers, page_of
from core.corpora.resemblance import resemblance_hint
from core.corpora.settings import ManifestSettings
from core.errors import CorpusError

_WANTED = ("path", "writer")
_COLUMNS = (*_WANTED, "page", "text", "split")
_DELIMITERS = (",", ";", "\t")
_SEPARATOR = re.compile(r'"?sep=([,;\t])"?', re.IGNORECASE)
_OFFICIAL: dict[str, OfficialSplit] = {"train": "train", "test": "test"}
_FIX = f"Its first line must be such as `{','.join(_COLUMNS)}`, of which `page`, `text` and `split` are optional."


class ManifestCorpus:
    """Reads the table; the images are not opened."""

    def __init__(self, settings: ManifestSettings) -> None:
        self._file = settings.file
        self._unit = settings.unit

    def index(self) -> CorpusIndex:
        """List the images in the order of the table.

        Rows without a path or a writer, of a file that is not there, or of one that an earlier row
        has, are set aside with their line's number.

        Raises:
            CorpusError: if the table is missing or no table, lacks a column or has an unknown one,
                names a part that is neither train nor test, if at most half of its rows can be
                used, or if fewer than two writers have images.
        """
        if not self._file.is_file():
            raise CorpusError(
                f"`corpus.file` must be a CSV table, but {self._file} is "
                f"{'a folder' if self._file.is_dir() else 'not there'}. Mend the path in the experiment file. "
                + (resemblance_hint("manifest", self._file) if self._file.is_dir() else "")
            )
        images: dict[Path, TextImage] = {}
        unusable: list[Excluded] = []
        for number, row in self._rows():
            path, fault = self._check(row, images)
            if fault is None:
                images[path] = self._text_image(path, number, row)
            else:
                unusable.append(Excluded(path, f"line {number} of {self._file}: {fault}"))
        if 2 * len(images) < len(images) + len(unusable):
            raise CorpusError(
                f"Half of the rows of {self._file} or more must be of use, but only {len(images)} of "
                f"{len(images) + len(unusable)} are: {unusable[0].reason} ({unusable[0].path}). "
                f"Paths start at the table's folder, {self._file.parent}."
            )
        found = tuple(images.values())
        check_writers(found, "manifest", self._file)
        return CorpusIndex(self._file.stem, self._file.parent, found, unusable=tuple(unusable))

    def _rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        try:
            with self._file.open(encoding="utf-8-sig", newline="") as opened:
                header, n_above = opened.readline(), 1
                said = _SEPARATOR.fullmatch(header.strip())
                if said is not None:
                    header, n_above = opened.readline(), 2
                delimiter = said[1] if said is not None else max(_DELIMITERS, key=header.count)
                columns = [column.strip().lower() for column in next(csv.reader([header], delimiter=delimiter), [])]
                self._check_columns(columns)
                reader = csv.reader(opened, delimiter=delimiter)
                for cells in reader:
                    number = reader.line_num + n_above
                    if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
                        raise CorpusError(
                            f"Line {number} of {self._file} must have {len(columns)} cells, but has {len(cells)}. "
                            f"Put cells that hold a {delimiter!r} in double quotes."
                        )
                    if any(cell.strip() for cell in cells):
                        yield number, dict(zip(columns, (cell.strip() for cell in cells), strict=False))
        except (UnicodeDecodeError, csv.Error) as error:
            raise CorpusError(f"{self._file} must be a table in UTF-8, but cannot be read ({error}). {_FIX}") from error

    def _check_columns(self, columns: list[str]) -> None:
        missing = [column for column in _WANTED if column not in columns]
        unknown = [column for column in columns if column not in _COLUMNS]
        twice = sorted({column for column in columns if columns.count(column) > 1})
        for kind, names in (("lacks", missing), ("has the unknown", unknown), ("has twice", twice)):
            if names:
                raise CorpusError(
                    f"{self._file} must have the columns {', '.join(_COLUMNS)}, but {kind} {names}. {_FIX}"
                )

    def _check(self, row: dict[str, str], images: dict[Path, TextImage]) -> tuple[Path, str | None]:
        if not row.get("path"):
            return self._file, "names no path"
        path = self._path(row["path"])
        if not row.get("writer"):
            return path, "names no writer"
        if path in images:
            return path, "names a file that an earlier line has"
        if not path.is_file():
            return path, "names a file that is not there"
        return path, None

    def _path(self, named: str) -> Path:
        """The file, also where the table has its name in another Unicode form."""
        name = named.replace("\\", "/")
        forms = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
        paths = [self._file.parent / form for form in dict.fromkeys(forms)]
        return next((path for path in paths if path.is_file()), paths[0])

    def _text_image(self, path: Path, number: int, row: dict[str, str]) -> TextImage:
        part, text = row.get("split", "").lower(), row.get("text") or None
        image_id = Path(row["path"].replace("\\", "/")).as_posix()
        if part and part not in _OFFICIAL:
            raise CorpusError(
                f"A `split` must be train or test, but is {row['split']!r} in line {number} of {self._file}. The "
                "validation pages are taken from the train part (`split.validation`)."
            )
        return TextImage(
            image_id=image_id,
            path=path,
            writer_id=row["writer"],
            page_id=page_of(row["writer"], row.get("page"), image_id, self._unit),
            unit=self._unit,
            text=text,
            text_id=text,
            official_split=_OFFICIAL.get(part),
        )
