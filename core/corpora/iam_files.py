"""Where the images of the IAM Handwriting Database lie, and what each shows by its name."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.corpora.iam_tables import FORM_ID
from core.corpora.image_walk import one_file_each
from core.corpora.index import SetAside
from core.corpora.pruned_walk import walk_pruned

IamUnit = Literal["form", "line", "sentence", "word"]

EXAMPLES: dict[IamUnit, str] = {
    "form": "formsA-D/a01-000u.png",
    "line": "lines/a01/a01-000u/a01-000u-00.png",
    "sentence": "sentences/a01/a01-000u/a01-000u-s00-00.png",
    "word": "words/a01/a01-000u/a01-000u-00-00.png",
}
"""Of a file of each unit, below the root."""

_NAMES: dict[IamUnit, re.Pattern[str]] = {
    "form": re.compile(FORM_ID),
    "line": re.compile(rf"{FORM_ID}-\d+"),
    "sentence": re.compile(rf"{FORM_ID}-s\d+-\d+"),
    "word": re.compile(rf"{FORM_ID}-\d+-\d+"),
}
_UNIT_OF_FOLDER: dict[str, IamUnit] = {
    **dict.fromkeys(("forms", "formsa-d", "formse-h", "formsi-z"), "form"),
    "lines": "line",
    "sentences": "sentence",
    "words": "word",
}


@dataclass(frozen=True)
class IamFiles:
    """The images below a root.

    Attributes:
        by_id: the file of each IAM id of the unit that was asked for, in natural order.
        other_units: of which there are images too.
        set_aside: images that bear no name of IAM's.
        left_out: images of other units (a folder of IAM's as a whole), and second files of one image.
    """

    by_id: dict[str, Path]
    other_units: tuple[IamUnit, ...]
    set_aside: tuple[SetAside, ...]
    left_out: tuple[SetAside, ...]


def find_iam_files(root: Path, unit: IamUnit) -> IamFiles:
    """Look for the images of one unit below a root, however deep. A name decides, not the folder.

    IAM's folders of other units are not walked: there are 115,000 words.
    """
    foreign = _folders_of_others(root, unit)
    fitting: list[Path] = []
    set_aside: list[SetAside] = []
    left_out: list[SetAside] = []
    other_units: dict[IamUnit, None] = {}
    for place in walk_pruned(root, foreign, set_aside):
        shown = foreign.get(place) or _unit_of_name(place.stem)
        if shown == unit:
            fitting.append(place)
        elif shown is None:
            set_aside.append(SetAside(place, f"is not named like {EXAMPLES[unit].rpartition('/')[2]}"))
        else:
            other_units[shown] = None
            shows = f"holds images of {shown}s" if place in foreign else f"shows a {shown}"
            left_out.append(SetAside(place, f"{shows}; `corpus.unit` is {unit}"))
    by_id, others = one_file_each(fitting, lambda file: file.stem, ".png")
    return IamFiles(by_id, tuple(other_units), tuple(set_aside), (*left_out, *others))


def _folders_of_others(root: Path, unit: IamUnit) -> dict[Path, IamUnit]:
    units = {place: _UNIT_OF_FOLDER.get(place.name.lower(), unit) for place in root.iterdir() if place.is_dir()}
    return {place: other for place, other in units.items() if other != unit}


def _unit_of_name(stem: str) -> IamUnit | None:
    return next((unit for unit, name in _NAMES.items() if name.fullmatch(stem)), None)
