"""The Deutscher Handschriften-Datensatz: single place names in 37 hands, with an official division.

The folder is the data set's own repository (https://github.com/nauman-riaz/DHSD, CC BY 4.0):
`train.csv` and `test.csv` with the columns `file_name,text,writer_id`, and the images that they
name. Each image is one word or name, 256 x 64 pixels; nothing says which names were written on one
sheet, so there are no pages.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from core.corpora.image_walk import walk_images
from core.corpora.index import CorpusIndex, Excluded, OfficialSplit, TextImage
from core.corpora.resemblance import layout_error
from core.corpora.settings import DhsdSettings
from core.errors import CorpusError
from core.wording import counted

_COLUMNS = ("file_name", "text", "writer_id")
_PARTS: tuple[OfficialSplit, ...] = ("train", "test")
_FIX = "Get it with `whosehand data fetch dhsd`, or clone the GitHub repository nauman-riaz/DHSD and set `corpus.root`."


class DhsdCorpus:
    """Reads the data set's two tables; the images are not opened."""

    def __init__(self, settings: DhsdSettings) -> None:
        self._root = settings.root

    def index(self) -> CorpusIndex:
        """List the images of `train.csv`, then those of `test.csv`, in the order of the tables.

        Rows of an image that is not there, or that an earlier row has, and rows that lack a cell
        are unusable; so are images that neither table names.

        Raises:
            CorpusError: if the folder, a table or a column is missing, or fewer than two writers
                have images.
        """
        if not self._root.is_dir():
            raise CorpusError(f"The DHSD folder must exist, but there is no folder {self._root}. {_FIX}")
        if not any((self._root / f"{part}.csv").is_file() for part in _PARTS):
            raise layout_error("dhsd", self._root, "the tables train.csv and test.csv")
        images: dict[str, TextImage] = {}
        unusable: list[Excluded] = []
        for part in _PARTS:
            for line_number, row in self._read_table(part):
                found = self._read_row(part, line_number, row, images)
                if isinstance(found, Excluded):
                    unusable.append(found)
                else:
                    images[found.image_id] = found
        named = {image.path for image in images.values()} | {entry.path for entry in unusable}
        unusable += [
            Excluded(file, "neither train.csv nor test.csv names it")
            for file in walk_images(self._root, unusable)
            if file not in named
        ]
        self._check_writers(images, unusable)
        return CorpusIndex("dhsd", self._root, tuple(images.values()), unusable=tuple(unusable))

    def _read_table(self, part: OfficialSplit) -> Iterator[tuple[int, dict[str, str | None]]]:
        path = self._root / f"{part}.csv"
        if not path.is_file():
            raise CorpusError(f"The DHSD folder must hold {part}.csv, but there is no file {path}. {_FIX}")
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = csv.DictReader(file)
                missing = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
                if missing:
                    raise CorpusError(f"{path} must have the columns {_COLUMNS}, but lacks {missing}. {_FIX}")
                for row in rows:
                    yield rows.line_num, row
        except (UnicodeDecodeError, csv.Error) as error:
            raise CorpusError(f"{path} must be a table in UTF-8, but cannot be read ({error}). {_FIX}") from error

    def _read_row(
        self, part: OfficialSplit, line_number: int, row: dict[str, str | None], earlier: Mapping[str, TextImage]
    ) -> TextImage | Excluded:
        table = self._root / f"{part}.csv"
        file_name, text, writer_id = (row[column] for column in _COLUMNS)
        if not file_name or text is None or not writer_id:
            return Excluded(table, f"line {line_number} must name a file, a text and a writer, but is {row}")
        image_id, path = Path(file_name).stem, self._root / file_name
        if image_id in earlier:
            return Excluded(table, f"line {line_number} lists {file_name} twice; its first row counts")
        if not path.is_file():
            return Excluded(path, f"is not there, but line {line_number} of {table} names it", writer_id=writer_id)
        return TextImage(
            image_id=image_id,
            path=path,
            writer_id=writer_id,
            text=text,
            text_id=text,
            official_split=part,
        )

    def _check_writers(self, images: Mapping[str, TextImage], unusable: Sequence[Excluded]) -> None:
        n_writers = len({image.writer_id for image in images.values()})
        if n_writers < 2:
            lost = f"; {counted(len(unusable), 'unusable row')}, such as: {unusable[0].reason}" if unusable else ""
            raise CorpusError(
                f"There must be images of two writers or more, but of those that the tables of {self._root} name "
                f"there are {n_writers}{lost}. {_FIX}"
            )
