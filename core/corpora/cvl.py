"""The CVL Database 1.1, as it is downloaded: five or seven texts, one of them German, by each of
310 writers.

    trainset/pages/0001-1.tif, 0001-1-cropped.tif       unit `page`: writer, text
    trainset/lines/0001/0001-1-0.tif                    unit `line`: writer, text, line
    trainset/words/0001/0001-1-0-0-Imagine.tif          unit `word`: writer, text, line, word, what it says
    testset/...                                         the same of other writers

A page bears its text in print above the handwriting; of the cropped one only the handwriting is
left. The corpus's own division is by writer: nobody in `testset` is in `trainset`. That suits the
retrieval of unseen writers. To tell known writers apart, each must have pages in every part of the
split: set `split.official: ignore`.

Source: Kleber, Fiel, Diem, Sablatnig, "CVL-DataBase: an off-line database for writer retrieval,
writer identification and word spotting", ICDAR 2013; https://zenodo.org/record/1492267
"""  # noqa: W505

import itertools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.corpora.image_walk import one_file_each, walk_images, walk_pruned
from core.corpora.index import CorpusIndex, Excluded, OfficialSplit, TextImage, Unit
from core.corpora.named_files import check_writers
from core.corpora.resemblance import layout_error
from core.corpora.settings import CvlSettings, CvlUnit
from core.errors import CorpusError

_PARTS: dict[str, OfficialSplit] = {"trainset": "train", "testset": "test"}
_PAGE = r"(?P<page>(?P<writer>\d{4})-(?P<text>\d+))"
_NAMES: dict[CvlUnit, re.Pattern[str]] = {
    "page": re.compile(rf"(?P<id>{_PAGE})(?P<cropped>-cropped)?"),
    "line": re.compile(rf"(?P<id>{_PAGE}-\d+)"),
    "word": re.compile(rf"(?P<id>{_PAGE}-\d+-\d+)(?:-(?P<word>.*))?", re.DOTALL),
}
_EXAMPLES: dict[CvlUnit, str] = {
    "page": "trainset/pages/0001-1-cropped.tif",
    "line": "trainset/lines/0001/0001-1-0.tif",
    "word": "trainset/words/0001/0001-1-0-0-Imagine.tif",
}
_FOLDERS: dict[str, CvlUnit] = {"pages": "page", "lines": "line", "words": "word"}


class CvlCorpus:
    """Reads the names of the images; they are not opened."""

    def __init__(self, settings: CvlSettings) -> None:
        self._settings = settings

    def index(self) -> CorpusIndex:
        """List the images in the natural order of their paths.

        Of each page its cropped image is used, else the full one, whose print is to be cut off
        (unit `form`). Images that are named or placed in another way are unusable; files that are
        no images are passed over.

        Raises:
            CorpusError: if the folder is missing or of another layout, if there are no images of
                the unit, or if fewer than two writers have images.
        """
        root, unit = self._settings.root, self._settings.unit
        found = _find_images(root, unit) if root.is_dir() else _Found([], [], [])
        if not found.images:
            raise _no_images(root, unit)
        chosen, copies = _one_image_each(found.images)
        images, twice = _one_number_each(chosen)
        check_writers(images, "cvl", root)
        return CorpusIndex(
            "cvl",
            root,
            images,
            unusable=(*found.unusable, *twice),
            not_chosen=(*found.not_chosen, *copies),
        )


@dataclass(frozen=True)
class _Image:
    file: Path
    name: re.Match[str]
    part: OfficialSplit

    @property
    def is_cropped(self) -> bool:
        return self.name.groupdict().get("cropped") is not None


@dataclass(frozen=True)
class _Found:
    images: list[_Image]
    unusable: list[Excluded]
    not_chosen: list[Excluded]


def _find_images(root: Path, unit: CvlUnit) -> _Found:
    """Look for the images of one unit. Folders of other units are excluded unwalked: there are
    99,000 words.
    """
    foreign = {root / part / folder: kind for part in _PARTS for folder, kind in _FOLDERS.items() if kind != unit}
    found = _Found([], [], [])
    for place in walk_pruned(root, foreign, found.unusable):
        part, folder, *_ = *place.relative_to(root).parts[:-1], "", ""
        name = _NAMES[unit].fullmatch(place.stem)
        if place in foreign:
            found.not_chosen.append(Excluded(place, f"holds images of {foreign[place]}s; `corpus.unit` is {unit}"))
        elif part not in _PARTS or _FOLDERS.get(folder) != unit:
            found.unusable.append(Excluded(place, f"lies elsewhere than {_EXAMPLES[unit]}"))
        elif name is None:
            found.unusable.append(Excluded(place, f"is not named like {_EXAMPLES[unit].rpartition('/')[2]}"))
        else:
            found.images.append(_Image(place, name, _PARTS[part]))
    return found


def _no_images(root: Path, unit: CvlUnit) -> CorpusError:
    error = layout_error("cvl", root, f"images of {unit}s, such as {_EXAMPLES[unit]},")
    for part, (folder, other) in itertools.product(_PARTS, _FOLDERS.items()):
        if other != unit and next(walk_images(root / part / folder), None) is not None:
            return CorpusError(f"{error} There are images of {other}s: set `corpus.unit: {other}`.")
    return error


def _one_image_each(images: Iterable[_Image]) -> tuple[list[_Image], list[Excluded]]:
    """Choose among converted copies the original, and among pages the cropped one."""
    by_file = {image.file: image for image in images}
    chosen, not_chosen = one_file_each(by_file, lambda file: by_file[file].name[0], ".tif")
    has_cropped = {image.name["id"] for file in chosen.values() if (image := by_file[file]).is_cropped}
    kept = []
    for file in chosen.values():
        image = by_file[file]
        if image.is_cropped or image.name["id"] not in has_cropped:
            kept.append(image)
        else:
            not_chosen.append(Excluded(file, "shows the page with its print; the cropped image is used"))
    return kept, not_chosen


def _one_number_each(images: Iterable[_Image]) -> tuple[tuple[TextImage, ...], list[Excluded]]:
    """Refuse words that say another thing under the number of an earlier one."""
    text_images: dict[str, TextImage] = {}
    unusable = []
    for image in images:
        text_image = _text_image(image)
        first = text_images.setdefault(text_image.image_id, text_image)
        if first is not text_image:
            unusable.append(Excluded(image.file, f"has the number of {first.path}, which is used, but another text"))
    return tuple(text_images.values()), unusable


def _text_image(image: _Image) -> TextImage:
    named = image.name.groupdict()
    unit: Unit = "line"
    if "cropped" in named:
        unit = "page" if image.is_cropped else "form"
    return TextImage(
        image_id=named["id"],
        path=image.file,
        writer_id=named["writer"],
        page_id=named["page"],
        unit=unit,
        text_id=named["text"],
        text=_written(named.get("word")),
        official_split=image.part,
    )


def _written(word: str | None) -> str | None:
    """The text in a file's name; nothing where it is empty, or was spoilt when the archive was
    unpacked.
    """
    if not word or any(unicodedata.category(letter) == "Cs" for letter in word):
        return None
    return unicodedata.normalize("NFC", word)
