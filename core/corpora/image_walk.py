"""Which image files lie below a folder, and which one counts where an image is there more than
once.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from core.corpora.index import CorpusIndex, Excluded, natural_key
from core.errors import ImageError

IMAGE_SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pdf", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
"""In lower case; what cannot be decoded after all is found unusable when it is read."""


def walk_pruned(folder: Path, pruned: Collection[Path], faults: list[Excluded] | None = None) -> Iterator[Path]:
    """Like `walk_images`, but a pruned folder that holds images stands for them all.

    It is looked into only as far as to its first image: words come by the hundred thousand.

    Args:
        folder: where to begin.
        pruned: folders below it.
        faults: gains the folders that cannot be listed, with the reason.
    """
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: natural_key(entry.name))
    except OSError as error:
        if faults is not None:
            faults.append(cannot_be_listed(folder, error))
        return
    for entry in entries:
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if entry in pruned:
            if next(walk_images(entry), None) is not None:
                yield entry
        elif not entry.is_dir():
            if is_picture_name(entry.name):
                yield entry
        elif any(place.is_relative_to(entry) for place in pruned):
            yield from walk_pruned(entry, pruned, faults)
        else:
            yield from walk_images(entry, faults)


Key = TypeVar("Key", bound=Hashable)


def walk_images(folder: Path, faults: list[Excluded] | None = None, documents: bool = False) -> Iterator[Path]:
    """The image files below a folder, however deep, in natural order, without hidden ones.

    Links to folders are followed, each folder is walked once. An empty folder that is named like an
    image comes, too: what should be a page is not lost.

    Args:
        folder: where to begin.
        faults: gains the folders that cannot be listed, with the reason.
        documents: whether PDF files come, too. Beside a published corpus they are about it.
    """
    is_wanted = is_image_name if documents else is_picture_name

    def note(error: OSError) -> None:
        if faults is not None:
            faults.append(cannot_be_listed(Path(error.filename), error))

    walked: set[tuple[int, int] | str] = set()
    for place, folders, names in os.walk(folder, onerror=note, followlinks=True):
        identity = _identity(place)
        if identity in walked:  # by a link back, or a second one
            folders.clear()
            continue
        walked.add(identity)
        if not folders and not names and is_wanted(place):
            yield Path(place)
        folders[:] = sorted(filter(_is_visible, folders), key=natural_key)
        for name in sorted(filter(_is_visible, names), key=natural_key):
            if is_wanted(name):
                yield Path(place, name)


def count_other_files(index: CorpusIndex, at_most: int = 100_000) -> Counter[str]:
    """The files below a corpus's root that are neither used nor excluded, by suffix in lower case.

    So every file is accounted for. A folder that is excluded as a whole stands for all that it
    holds. Most of them are no images; but a table need not name every image beside it.

    Args:
        index: the corpus, before anybody chooses among its writers.
        at_most: files to count; a root may be a whole disk.
    """
    known = {image.path for image in index.images}
    known |= {entry.path for entry in (*index.unusable, *index.not_chosen)}
    counts: Counter[str] = Counter()
    walked: set[tuple[int, int] | str] = set()
    for place, folders, names in os.walk(index.root, followlinks=True):
        identity = _identity(place)
        if identity in walked or counts.total() >= at_most:
            folders.clear()
            continue
        walked.add(identity)
        folders[:] = [name for name in folders if Path(place, name) not in known]
        for name in names:
            if Path(place, name) not in known:
                suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122  (as below)
                counts[suffix or "no suffix" if _is_visible(name) else "hidden"] += 1
    return counts


def expand_folders(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Files as they are, and of each folder the image files below it, in natural order.

    Raises:
        ImageError: if there is no image below a folder, or a folder cannot be listed.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        faults: list[Excluded] = []
        below = list(walk_images(path, faults, documents=True))
        if faults:
            raise ImageError(f"{faults[0].path}: {faults[0].reason}")
        if not below:
            raise ImageError(f"A folder of images must hold some ({', '.join(IMAGE_SUFFIXES)}), but {path} has none.")
        found += below
    return tuple(dict.fromkeys(found))


def is_picture_name(name: str) -> bool:
    """Whether a file of this name should be an image, and no PDF."""
    return is_image_name(name) and not name.lower().endswith(".pdf")


def is_image_name(name: str) -> bool:
    """Whether a file of this name should be an image, or hold some."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122  (a Path costs ten times as much)


def cannot_be_listed(folder: Path, error: OSError) -> Excluded:
    """A folder of which nobody can say what it holds."""
    return Excluded(folder, f"the folder cannot be listed ({error.strerror or error}); mend its permissions")


def one_file_each(
    files: Iterable[Path], key: Callable[[Path], Key], suffix: str
) -> tuple[dict[Key, Path], list[Excluded]]:
    """Choose one file for each image: the one of the original's kind, else the first.

    Args:
        files: any number for each image, as people convert a corpus and keep the originals beside.
        key: names the image that a file shows.
        suffix: of the originals, such as `.png`.

    Returns:
        The chosen file of each image, in the order in which the images were met; and the others,
        with the reason.
    """
    chosen: dict[Key, Path] = {}
    others: list[Excluded] = []
    for file in files:
        first = chosen.setdefault(key(file), file)
        if first is file:
            continue
        is_better = file.suffix.lower() == suffix and first.suffix.lower() != suffix
        kept, other = (file, first) if is_better else (first, file)
        chosen[key(file)] = kept
        others.append(Excluded(other, f"shows the same as {kept}, which is used"))
    return chosen, others


def _identity(folder: str) -> tuple[int, int] | str:
    try:
        status = os.stat(folder)  # noqa: PTH116  (as above)
    except OSError:  # it has just vanished
        return folder
    return status.st_dev, status.st_ino


def _is_visible(name: str) -> bool:
    return not name.startswith((".", "__MACOSX"))
