"""A corpus in the exact layout of the CVL Database, with the things that its archive holds beside
the images.

The images are empty: an index opens none.
"""

import unicodedata
from pathlib import Path

from core.corpora.settings import CvlUnit

# The texts of each writer, each a list of lines of words as the files are named. Words may be
# empty, hold dashes, dots and umlauts. Writer 0431 has texts that others have not.
WRITERS: dict[str, dict[str, dict[str, list[list[str]]]]] = {
    "trainset": {
        "0001": {"1": [["Imagine", "a"], ["vast", "sheet"]], "6": [["Mailüfterl", "Präsens-"]]},
        "0002": {"1": [["Imagine", ""]], "8": [["etc."]]},
    },
    "testset": {
        "0052": {"1": [["Imagine", "a"]], "2": [["half-way", "U.S.A."]]},
        "0431": {"1": [["Imagine"]], "5": [["über"]], "6": [["Öl"], ["ß"]], "7": [["-"]]},
    },
}
OTHERS = ("Thumbs.db", "trainset/xml/0001-1_attributes.xml", "testset/xml/0052-1_attributes.xml", "readme.txt")


def file_names(unit: CvlUnit) -> dict[str, tuple[str, str, str, str]]:
    """The path of each image of a unit (of pages: both), with its id, writer, text and part."""
    names = {}
    for part, writers in WRITERS.items():
        for writer, texts in writers.items():
            for text, lines in texts.items():
                page = f"{writer}-{text}"
                for path, image_id in _images(part, writer, page, lines, unit):
                    names[path] = (image_id, writer, text, part.removesuffix("set"))
    return names


def write_cvl(root: Path, *units: CvlUnit) -> Path:
    """Write the images of these units and what else lies in the archive."""
    for name in [*OTHERS, *(name for unit in units for name in file_names(unit))]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def _images(part: str, writer: str, page: str, lines: list[list[str]], unit: CvlUnit) -> list[tuple[str, str]]:
    if unit == "page":
        return [(f"{part}/pages/{page}{end}.tif", page) for end in ("", "-cropped")]
    if unit == "line":
        return [(f"{part}/lines/{writer}/{page}-{line}.tif", f"{page}-{line}") for line in range(len(lines))]
    numbered = [(line, place, word) for line, words in enumerate(lines) for place, word in enumerate(words)]
    return [
        (f"{part}/words/{writer}/{page}-{line}-{place}-{word}.tif", f"{page}-{line}-{place}")
        for line, place, word in numbered
    ]


def decomposed(name: str) -> str:
    """As some systems write names with umlauts: a letter, then its dots."""
    return unicodedata.normalize("NFD", name)
