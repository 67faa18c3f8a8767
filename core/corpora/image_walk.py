"""Which image files lie below a folder, and which one counts where an image is there more than once."""

import os
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from core.corpora.base import SetAside
from core.corpora.folder import IMAGE_SUFFIXES
from core.natural_order import natural_key

Key = TypeVar("Key", bound=Hashable)


def walk_images(folder: Path) -> Iterator[Path]:
    """The image files below a folder, however deep, in natural order, hidden ones left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted((name for name in folders if _is_visible(name)), key=natural_key)
        for name in sorted(filter(_is_visible, names), key=natural_key):
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122  (a Path costs ten times as much)
                yield Path(place, name)


def one_file_each(
    files: Iterable[Path], key: Callable[[Path], Key], suffix: str
) -> tuple[dict[Key, Path], list[SetAside]]:
    """Choose one file for each image: the one of the original's kind, else the first.

    Args:
        files: any number for each image, as people convert a corpus and keep the originals beside.
        key: names the image that a file shows.
        suffix: of the originals, such as `.png`.

    Returns:
        The chosen file of each image, in the order in which the images were met; and the others, with the reason.
    """
    chosen: dict[Key, Path] = {}
    others: list[SetAside] = []
    for file in files:
        first = chosen.setdefault(key(file), file)
        if first is file:
            continue
        is_better = file.suffix.lower() == suffix and first.suffix.lower() != suffix
        kept, other = (file, first) if is_better else (first, file)
        chosen[key(file)] = kept
        others.append(SetAside(other, f"shows the same as {kept}, which is used"))
    return chosen, others


def _is_visible(name: str) -> bool:
    return not name.startswith((".", "__MACOSX"))
