"""What of a corpus is left out, and why: by the choice of writers and pages, or because a split cannot use it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LeftOutWriter:
    """A writer who is in no part, and why, such as `has 2, needs 3`."""

    writer_id: str
    n_pages: int
    reason: str


@dataclass(frozen=True)
class LeftOutPage:
    """A page (or image, where the corpus has no pages) that is left out of a writer who takes part."""

    page_id: str
    writer_id: str
    reason: str


@dataclass(frozen=True)
class Choice:
    """Which writers and pages take part, by which rule.

    Attributes:
        rule: in words; a sentence for each setting that chose.
        writers: those left out, in natural order.
        pages: those left out of the other writers, in the order of the corpus.
    """

    rule: str
    writers: tuple[LeftOutWriter, ...] = ()
    pages: tuple[LeftOutPage, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "rule": self.rule,
            "left_out_writers": [asdict(writer) for writer in self.writers],
            "left_out_pages": [asdict(page) for page in self.pages],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Choice":
        """From plain values; KeyError or TypeError if they are others."""
        return cls(
            rule=content["rule"],
            writers=tuple(LeftOutWriter(**writer) for writer in content["left_out_writers"]),
            pages=tuple(LeftOutPage(**page) for page in content["left_out_pages"]),
        )
