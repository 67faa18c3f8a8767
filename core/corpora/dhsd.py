"""The Deutscher Handschriften-Datensatz: single place names in 37 hands, with an official division.

The folder is the data set's own repository (https://github.com/nauman-riaz/DHSD, CC BY 4.0): `train.csv` and
`test.csv` with the columns `file_name,text,writer_id`, and the images that they name. Each image is one word or
name, 256 x 64 pixels; nothing says which names were written on one sheet, so there are no pages.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from core.corpora.base import CorpusIndex, OfficialSplit, TextImage
from core.corpora.resemblance import layout_error
from core.errors import CorpusError
from core.settings import Settings

_COLUMNS = ("file_name", "text", "writer_id")
_PARTS: tuple[OfficialSplit, ...] = ("train", "test")
_MEND = (
    "Get it with `whosehand data fetch dhsd`, or clone the GitHub repository nauman-riaz/DHSD and set `corpus.root`."
)


class DhsdSettings(Settings):
    """Where the data set lies."""

    layout: Literal["dhsd"] = "dhsd"
    root: Path = Path("data/dhsd")
    """The folder that holds train.csv, test.csv and german_hw_data."""

    def open(self, data_dir: Path) -> "DhsdCorpus":
        """Return the corpus; nothing is read before its `index()` is called.

        Args:
            data_dir: where a generated corpus keeps its pages; not used here.
        """
        return DhsdCorpus(self)


class DhsdCorpus:
    """Reads the data set's two tables; the images are not opened."""

    def __init__(self, settings: DhsdSettings) -> None:
        self._root = settings.root

    def index(self) -> CorpusIndex:
        """List the images of `train.csv`, then those of `test.csv`, in the order of the tables.

        Raises:
            CorpusError: if the folder, a table, a column or an image is missing, or an image is listed twice.
        """
        if not self._root.is_dir():
            raise CorpusError(f"The DHSD folder must exist, but there is no folder {self._root}. {_MEND}")
        if not any((self._root / f"{part}.csv").is_file() for part in _PARTS):
            raise layout_error("dhsd", self._root, "the tables train.csv and test.csv")
        images = tuple(image for part in _PARTS for image in self._read_table(part))
        self._check_images(images)
        return CorpusIndex(name="dhsd", root=self._root, images=images)

    def _read_table(self, part: OfficialSplit) -> Iterator[TextImage]:
        path = self._root / f"{part}.csv"
        if not path.is_file():
            raise CorpusError(f"The DHSD folder must hold {part}.csv, but there is no file {path}. {_MEND}")
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = csv.DictReader(file)
                missing = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
                if missing:
                    raise CorpusError(f"{path} must have the columns {_COLUMNS}, but lacks {missing}. {_MEND}")
                for row in rows:
                    yield self._read_row(path, rows.line_num, row, part)
        except (UnicodeDecodeError, csv.Error) as error:
            raise CorpusError(f"{path} must be a table in UTF-8, but cannot be read ({error}). {_MEND}") from error

    def _read_row(self, path: Path, line_number: int, row: dict[str, str | None], part: OfficialSplit) -> TextImage:
        file_name, text, writer_id = (row[column] for column in _COLUMNS)
        if not file_name or text is None or not writer_id:
            raise CorpusError(
                f"Line {line_number} of {path} must name a file, a text and a writer, but is {row}. {_MEND}"
            )
        return TextImage(
            image_id=Path(file_name).stem,
            path=self._root / file_name,
            writer_id=writer_id,
            text=text,
            text_id=text,
            official_split=part,
        )

    def _check_images(self, images: tuple[TextImage, ...]) -> None:
        counts = Counter(image.image_id for image in images)
        twice = [image_id for image_id, count in counts.items() if count > 1]
        if twice:
            raise CorpusError(
                f"Each image must be listed once in train.csv and test.csv of {self._root}, "
                f"but {len(twice)} are listed twice, such as {twice[:3]}. {_MEND}"
            )
        missing = [str(image.path) for image in images if not image.path.is_file()]
        if missing:
            raise CorpusError(
                f"Each image that the tables name must lie below {self._root}, but {len(missing)} of {len(images)} "
                f"are missing, such as {missing[:3]}. {_MEND}"
            )
        n_writers = len({image.writer_id for image in images})
        if n_writers < 2:
            raise CorpusError(
                f"There must be two writers or more, but the tables of {self._root} name {n_writers}. {_MEND}"
            )
