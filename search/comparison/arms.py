"""The divisions that an audit compares, all of them of training and validation pages alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.corpora.index import CorpusIndex
from core.errors import SplitError
from core.splits.by_text import split_texts
from core.splits.division import leak
from core.splits.manifest import SplitManifest
from core.splits.settings import SplitSettings


@dataclass(frozen=True)
class Arms:
    """The divisions by name, and those that there are none of.

    Attributes:
        divisions: the leakiest first.
        baseline: its name: `page`, or `image` where the corpus has no pages.
        lacking: why a division is not among them.
    """

    divisions: Mapping[str, SplitManifest]
    baseline: str
    lacking: Mapping[str, str]


def audit_arms(index: CorpusIndex, manifest: SplitManifest, seed: int) -> Arms:
    """Divide the training and validation pages of a division in other ways, in the same shares.

    Args:
        index: the corpus.
        manifest: by page (or by image, where the corpus has no pages); its test part goes into no arm.
        seed: of the other divisions.
    """
    sealed = replace(manifest, test=(), choice=None)
    divisions, lacking = {"patch": leak(sealed, "patch", seed)}, {}
    if manifest.unit == "page":
        divisions["line"] = leak(sealed, "line", seed)
    else:
        lacking["line"] = "the corpus has no pages, and its images part as lines do"
    divisions[manifest.unit] = sealed
    try:
        divisions["text"] = _by_text(index, sealed, seed)
    except SplitError as error:
        lacking["text"] = str(error)
    return Arms(divisions, manifest.unit, lacking)


def _by_text(index: CorpusIndex, sealed: SplitManifest, seed: int) -> SplitManifest:
    ids = {*sealed.train, *sealed.validation}
    open_pages = replace(index, images=tuple(image for image in index.images if image.image_id in ids))
    share = round(len(sealed.validation) / len(ids), 6)
    return split_texts(open_pages, SplitSettings(kind="text", validation=share, test=0.0, seed=seed))
