"""The scores of an evaluation by name: what each is called, and which way is better.

A score's whole name has its level in front, such as `image_top1`; in a sweep also the part of the
corpus, such as `val/image_top1`.
"""

from dataclasses import dataclass

LEVELS = ("patch", "image", "page")
"""Of decision, from one patch to all images of a page together."""
RETRIEVAL = "retrieval"
"""Stands where others have a level in the scores of pages by writers that training has not seen:
whether those by the same hand are found."""


@dataclass(frozen=True)
class ScoreKind:
    """What a score is.

    Attributes:
        title: for readers.
        unit: of an axis; empty for a plain number.
        is_share: whether it is a share from 0 to 1 of which much is good; else it is a loss or an
            error from 0 on, of which little is good.
        levels: that have it; `retrieval` among them where it is one of finding pages.
    """

    title: str
    unit: str
    is_share: bool
    levels: tuple[str, ...] = LEVELS


_FOUND = (RETRIEVAL,)
SCORES = {
    "map": ScoreKind("mAP", "", is_share=True, levels=_FOUND),
    "top1": ScoreKind("top-1", "share right", is_share=True, levels=(*LEVELS, RETRIEVAL)),
    "top5": ScoreKind("top-5", "share right", is_share=True, levels=(*LEVELS, RETRIEVAL)),
    "top10": ScoreKind("top-10", "share right", is_share=True, levels=_FOUND),
    "macro_f1": ScoreKind("macro-F1", "", is_share=True, levels=("image", "page")),
    "logloss": ScoreKind("log-loss", "nats", is_share=False),
    "eer": ScoreKind("equal error rate", "", is_share=False, levels=_FOUND),
    "auroc": ScoreKind("AUROC", "", is_share=True, levels=_FOUND),
}
"""In the order in which they are shown; `core.scoring.evaluation` computes them, and those of
retrieval `core.retrieval.scores`."""
SHARES = tuple(
    f"{RETRIEVAL}_{name}" if kind.levels == _FOUND else name for name, kind in SCORES.items() if kind.is_share
)
"""How the names of shares end."""
RETRIEVAL_SCORES = tuple(f"{RETRIEVAL}_{name}" for name, kind in SCORES.items() if RETRIEVAL in kind.levels)
"""Of finding pages, such as `retrieval_map`."""
