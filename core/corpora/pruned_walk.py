"""Which image files lie below a folder, some of whose folders are known to hold something else."""

from collections.abc import Collection, Iterator
from pathlib import Path

from core.corpora.image_walk import cannot_be_listed, is_image_name, walk_images
from core.corpora.index import SetAside
from core.corpora.natural_order import natural_key


def walk_pruned(folder: Path, pruned: Collection[Path], faults: list[SetAside] | None = None) -> Iterator[Path]:
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
            if is_image_name(entry.name):
                yield entry
        elif any(place.is_relative_to(entry) for place in pruned):
            yield from walk_pruned(entry, pruned, faults)
        else:
            yield from walk_images(entry, faults)
