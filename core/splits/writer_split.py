"""Divide a corpus so that no writer is in two parts.

A division for verification, retrieval and other uses of a network's features on hands that it has not seen (ICDAR
2013 and 2017 score that way). It is no division for a network that names writers: none of those in validation and
test is among its classes.
"""

import hashlib
from collections.abc import Collection

from core.corpora.index import CorpusIndex
from core.errors import SplitError
from core.splits.manifest import Part, SplitManifest
from core.splits.page_groups import pages_of_writers, split_unit, usable_images
from core.splits.settings import SplitSettings

_ORDER: tuple[Part, ...] = ("test", "validation", "train")


def split_writers(index: CorpusIndex, settings: SplitSettings, unusable: Collection[str] = ()) -> SplitManifest:
    """Deal writers to the parts, with all their pages.

    Args:
        index: the corpus.
        settings: `validation` and `test` are shares of the writers.
        unusable: ids of images that cannot be read; they are in no part.

    Returns:
        The manifest; its `writer_ids` are the training writers.

    Raises:
        SplitError: if there are too few writers for two in training and one in every other part.
    """
    images = usable_images(index, unusable)
    writers = list(pages_of_writers(images, index.name))
    n_test = max(1, round(settings.test * len(writers))) if settings.test > 0 else 0
    n_validation = max(1, round(settings.validation * len(writers)))
    n_train = len(writers) - n_test - n_validation
    if n_train < 2:
        raise SplitError(
            f"A division by writer needs two writers to train on, but of {len(writers)} in {index.name!r} "
            f"{n_validation} are for validation and {n_test} for test. Add writers, or lower the shares."
        )
    # By a hash of each writer's own id, so that a new writer moves few others.
    dealt = sorted(writers, key=lambda writer_id: hashlib.sha256(f"{settings.seed} {writer_id}".encode()).digest())
    ends = {"test": n_test, "validation": n_test + n_validation, "train": len(dealt)}
    part_of = {writer_id: next(part for part in _ORDER if place < ends[part]) for place, writer_id in enumerate(dealt)}
    ids = {part: tuple(image.image_id for image in images if part_of[image.writer_id] == part) for part in _ORDER}
    return SplitManifest(
        corpus=index.name,
        unit=split_unit(index),
        writer_ids=tuple(writer_id for writer_id in writers if part_of[writer_id] == "train"),
        train=ids["train"],
        validation=ids["validation"],
        test=ids["test"],
        settings=settings.as_json(),
    )
