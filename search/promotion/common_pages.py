"""On which pages can two models be compared? On those that neither was trained or chosen on."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from core.corpora.index import TextImage
from core.splits.manifest import SplitManifest
from search.experiment.experiment import Experiment

FEWEST_PAGES = 6
"""Below six pages no paired difference can pass 5 %: even if all go one way, chance does so with 2 / 2**5 = 6 %."""


@dataclass(frozen=True)
class CommonPages:
    """Test images of the candidate that the champion has not seen either.

    Attributes:
        images: to compare on.
        n_pages: of them.
        n_seen: test pages left out, because the champion was trained or validated on them.
        refusal: why there can be no comparison; empty if there can.
    """

    images: tuple[TextImage, ...]
    n_pages: int
    n_seen: int
    refusal: str


def common_pages(
    images: Sequence[TextImage],
    candidate: SplitManifest,
    champion: SplitManifest | None,
    same_corpus: bool,
) -> CommonPages:
    """Find the test pages of the candidate that the champion has not seen.

    A page counts as seen also if the champion saw another image of it: pen, scan and mood are the page's.

    Args:
        images: the candidate's corpus.
        candidate: its split.
        champion: the champion's split; `None` if its model does not say.
        same_corpus: whether both name the same corpus with the same settings, so that image ids mean the same.
    """
    if champion is None:
        return _refuse("the champion does not say on which pages it was trained")
    if not same_corpus:
        return _refuse("the champion was trained on another corpus, or the same one with other settings")
    if set(champion.writer_ids) != set(candidate.writer_ids):
        return _refuse(f"the champion knows other writers ({len(champion.writer_ids)}) than the candidate")
    test = set(candidate.test)
    page_of = {image.image_id: (image.writer_id, image.group_id) for image in images}
    seen = {page_of[image_id] for image_id in (*champion.train, *champion.validation) if image_id in page_of}
    pages = {page_of[image_id] for image_id in test if image_id in page_of}
    common = tuple(image for image in images if image.image_id in test and page_of[image.image_id] not in seen)
    n_common = len(pages - seen)
    refusal = ""
    if n_common < FEWEST_PAGES:
        refusal = (
            f"only {n_common} of the candidate's {len(pages)} test {candidate.unit}s were unseen by the champion; "
            f"{FEWEST_PAGES} are needed to tell two models apart"
        )
    return CommonPages(common, n_common, len(pages & seen), refusal)


def corpus_key(experiment: Experiment) -> str:
    """A hash of the corpus's settings; not of the folder, which may lie elsewhere on another machine."""
    settings = experiment.corpus.model_dump(mode="json", exclude={"root"})
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _refuse(reason: str) -> CommonPages:
    return CommonPages((), 0, 0, reason)
