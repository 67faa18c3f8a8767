"""The scores of an evaluation by name: what each is called, and which way is better.

A score's whole name has its level in front, such as `image_top1`; in a sweep also the part of the
corpus, such as `val/image_top1`.
"""

from dataclasses import dataclass

LEVELS = ("patch", "image", "page")
"""Of decision, from one patch to all images of a page together."""


@dataclass(frozen=True)
class ScoreKind:
    """What a score is.

    Attributes:
        title: for readers.
        unit: of an axis; empty for a plain number.
        is_share: whether it is a share from 0 to 1 of which much is good; else it is a loss from 0
            on, of which little is good.
        levels: that have it.
    """

    title: str
    unit: str
    is_share: bool
    levels: tuple[str, ...] = LEVELS


SCORES = {
    "top1": ScoreKind("top-1", "share right", is_share=True),
    "top5": ScoreKind("top-5", "share right", is_share=True),
    "macro_f1": ScoreKind("macro-F1", "", is_share=True, levels=("image", "page")),
    "logloss": ScoreKind("log-loss", "nats", is_share=False),
}
"""In the order in which they are shown; `core.scoring.evaluation` computes them."""
SHARES = tuple(name for name, kind in SCORES.items() if kind.is_share)
"""How the names of shares end."""
