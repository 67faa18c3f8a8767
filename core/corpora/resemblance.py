"""What a folder holds, and which known layout it looks like: for errors that say what to write
instead.
"""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from core.corpora.image_walk import IMAGE_SUFFIXES
from core.errors import CorpusError

_MAX_FILES = 20_000  # enough to tell; a root that was set to `/` must not be walked to its end
_SHARE = 0.5  # of the images that must be named in a corpus's way


@dataclass(frozen=True)
class Resemblance:
    """A layout that a folder looks like.

    Attributes:
        layout: as `corpus.layout` names it.
        title: as people name it.
        root: what `corpus.root` would have to be; for a manifest, what `corpus.file` would have to
            be.
    """

    layout: str
    title: str
    root: Path

    @property
    def advice(self) -> str:
        """What to write into the experiment file."""
        key = "file" if self.layout == "manifest" else "root"
        return f"set `corpus.layout: {self.layout}` and `corpus.{key}: {self.root}`"


# By the name without its suffix. The first that fits more than half of the images counts: exact
# ones come first.
_NAMES = (
    ("csafe", "the CSAFE Handwriting Database", re.compile(r"w\d{4}_s\d\d_p[A-Z]{3}_r\d\d")),
    ("icdar2017", "ICDAR 2017 Historical-WI", re.compile(r"\d+-IMG_MAX_\d+")),
    ("icdar2013", "ICDAR 2013", re.compile(r"\d{3}_\d")),
    ("hisir19", "ICDAR 2019 HisIR19", re.compile(r"\d{4,}_\d+")),
    ("iam", "IAM", re.compile(r"[a-z]\d\d-\d{3}[a-z]?(?:-s?\d\d(?:-\d\d)?)?")),
    ("cvl", "CVL", re.compile(r"\d{4}-\d(?:-cropped|-\d+(?:-\d+-.*)?)?")),
    ("firemaker", "Firemaker", re.compile(r"\d{1,3}-.+|\d{5,}-.+")),
    ("cerug", "CERUG", re.compile(r"[A-Za-z]+\d+_.+")),
)
_VAGUE = ("firemaker", "cerug")
"""Whose names are also given to one's own scans: a folder for each of several writers says more."""
_FOLDERS_OF_PAGES = re.compile(r"p\d")  # Firemaker's: one for each page


def layout_error(layout: str, root: Path, looked_for: str) -> CorpusError:
    """Say what was looked for, what lies there instead, and which layout that resembles.

    Args:
        layout: the layout that the experiment file names.
        root: the folder that it names.
        looked_for: in words, with an example: `images named like 001_1.tif`.
    """
    hint = resemblance_hint(layout, root)
    return CorpusError(f"`corpus.layout: {layout}` wants {looked_for} below {root}, but {found_below(root)}. {hint}")


def found_below(root: Path) -> str:
    """What lies there, counted by kind, with examples: `there are 12 .tif, 1 .txt, such as ...`."""
    if not root.is_dir():
        return f"{root} is {'a file' if root.exists() else 'not there'}"
    try:
        next(root.iterdir(), None)
    except OSError as error:
        return f"{root} cannot be listed ({error.strerror or error})"
    files = _files(root)
    if not files:
        return "there are no files"
    counts = Counter(file.suffix.lower() or "no suffix" for file in files)
    kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common(4))
    images = [file for file in files if _is_image(file)]
    examples = ", ".join(str(file.relative_to(root)) for file in (images or files)[:3])
    return f"there are {kinds}{' and more' if len(files) == _MAX_FILES else ''}, such as {examples}"


def resemblance_hint(layout: str, root: Path) -> str:
    """What to set instead, as a sentence."""
    like = resembling_layout(root)
    if like is None or (like.layout == layout and like.root == root):
        return (
            "Mend `corpus.root`; for files that are named in another way there are `corpus.layout: pattern`, "
            "`manifest` and `folder` (docs/corpora.md)."
        )
    return f"This looks like {like.title}: {like.advice}."


def resembling_layout(root: Path) -> Resemblance | None:
    """The layout that a folder looks like, or nothing.

    Folders and tables that only one corpus has are looked at first (also one level deeper, as
    archives are often unpacked into a folder of their own, and up to two levels above, as a root
    may be set to a part of the corpus), then the names of the images.
    """
    if root.is_file() and root.suffix.lower() == ".csv":
        return _manifest(root)
    if not root.is_dir():
        return None
    for place in (root, *_folders(root), *root.absolute().parents[:2]):
        by_structure = _by_structure(place)
        if by_structure is not None:
            return by_structure
    files = _files(root)
    images = [file for file in files if _is_image(file)]
    by_folders = _by_folders(root, images)
    for layout, title, pattern in _NAMES:
        if layout in _VAGUE and by_folders and not _are_folders_of_pages(root, images):
            continue
        n_fitting = sum(pattern.fullmatch(image.stem) is not None for image in images)
        if n_fitting > _SHARE * len(images):
            return Resemblance(layout, title, root)
    tables = [table for file in files if file.suffix.lower() == ".csv" and (table := _manifest(file))]
    return tables[0] if tables else by_folders


def _by_structure(place: Path) -> Resemblance | None:
    if (place / "forms.txt").is_file() or (place / "ascii" / "forms.txt").is_file():
        return Resemblance("iam", "IAM", place)
    if any((place / part / kind).is_dir() for part in ("trainset", "testset") for kind in ("pages", "lines", "words")):
        return Resemblance("cvl", "CVL", place)
    if (place / "train.csv").is_file() and (place / "test.csv").is_file() and (place / "german_hw_data").is_dir():
        return Resemblance("dhsd", "DHSD", place)
    return None


def _by_folders(root: Path, images: Sequence[Path]) -> Resemblance | None:
    writers = {image.relative_to(root).parts[0] for image in images if image.parent != root}
    n_loose = sum(image.parent == root for image in images)
    if len(writers) < 2 or n_loose > len(images) * _SHARE:
        return None
    return Resemblance("folder", "one folder a writer", root)


def _are_folders_of_pages(root: Path, images: Sequence[Path]) -> bool:
    return all(_FOLDERS_OF_PAGES.fullmatch(image.parent.name) for image in images if image.parent != root)


def _manifest(file: Path) -> Resemblance | None:
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as opened:
            header = next(csv.reader([opened.readline().replace(";", ",").replace("\t", ",")]), [])
    except OSError:
        return None
    if not {"path", "writer"} <= {column.strip().lower() for column in header}:
        return None
    return Resemblance("manifest", "a manifest", file)


def _files(root: Path) -> list[Path]:
    return list(islice(_walk(root), _MAX_FILES))


def _walk(root: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if _is_visible(name))
        yield from (Path(place, name) for name in sorted(names) if _is_visible(name))


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(entry for entry in root.iterdir() if entry.is_dir() and _is_visible(entry.name))
    except OSError:
        return []


def _is_visible(name: str) -> bool:
    return not name.startswith((".", "__MACOSX"))


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES
