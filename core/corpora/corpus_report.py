"""What of a corpus cannot be used: set aside with a reason, counted, reported, and too much of it refused."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.corpora.index import CorpusIndex, SetAside
from core.corpora.settings import QuarantineSettings
from core.errors import CorpusError, LineStoreError
from core.lines.store import LineStore

_ALWAYS_ALLOWED = 3
_SHOWN = 5


@dataclass(frozen=True)
class CorpusReport:
    """How many images were found, and what became of them: `n_found == n_used + n_left_out + n_quarantined`.

    Attributes:
        corpus: its name.
        n_found: text images, and files that never became one.
        n_used: images with at least one line in the store.
        left_out: what was left out on purpose, and why; nothing is wrong with it.
        quarantined: what cannot be used, and why.
    """

    corpus: str
    n_found: int
    n_used: int
    left_out: tuple[SetAside, ...]
    quarantined: tuple[SetAside, ...]

    def __post_init__(self) -> None:
        """Raise LineStoreError if an image is lost, or counted twice."""
        n_counted = self.n_used + self.n_left_out + self.n_quarantined
        if self.n_found != n_counted:
            raise LineStoreError(
                f"Every image found must be used, left out or quarantined, but of {self.n_found} in {self.corpus!r} "
                f"{self.n_used} + {self.n_left_out} + {self.n_quarantined} = {n_counted} are. "
                "Delete the line store's folder; if this comes again, it is a fault of whosehand."
            )

    @property
    def n_left_out(self) -> int:
        """How many were left out on purpose."""
        return len(self.left_out)

    @property
    def n_quarantined(self) -> int:
        """How many cannot be used."""
        return len(self.quarantined)

    @property
    def share_quarantined(self) -> float:
        """How many of those that were to be used cannot be; 0 if none were."""
        return self.n_quarantined / max(1, self.n_used + self.n_quarantined)

    def write(self, path: Path) -> None:
        """Write the counts as JSON."""
        counts = {
            "corpus": self.corpus,
            "n_found": self.n_found,
            "n_used": self.n_used,
            "n_left_out": self.n_left_out,
            "n_quarantined": self.n_quarantined,
        }
        path.write_text(json.dumps(counts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def report_corpus(index: CorpusIndex, store: LineStore, left_out: Sequence[SetAside] = ()) -> CorpusReport:
    """Count what became of everything that lies in a corpus.

    Args:
        index: images, what was left out by the layout, and what could not become an image.
        store: built from this index.
        left_out: what else was left out on purpose, such as the images of writers with too few pages; those that are
            images of the index are named by `image_id`. One that is unusable, too, counts as quarantined.

    Raises:
        LineStoreError: if an image of the index neither has a line nor was set aside, or both.
    """
    image_ids = {image.image_id for image in index.images}
    with_lines = {line.image_id for line in store.lines}
    unusable = {str(entry.image_id) for entry in store.set_aside}
    _check_each_once(index.name, image_ids, with_lines, unusable)
    unwanted = {entry.image_id: entry for entry in left_out if entry.image_id in image_ids}
    never_images = [entry for entry in (*index.left_out, *left_out) if entry.image_id not in image_ids]
    return CorpusReport(
        corpus=index.name,
        n_found=len(index.images) + len(index.set_aside) + len(never_images),
        n_used=len(with_lines - unwanted.keys()),
        left_out=(*never_images, *(entry for image_id, entry in unwanted.items() if image_id in with_lines)),
        quarantined=(*index.set_aside, *store.set_aside),
    )


def check_share(corpus_report: CorpusReport, settings: QuarantineSettings, table: Path | None = None) -> None:
    """See that not too much of the corpus is set aside.

    A share alone would refuse a corpus of ten pages for one bad scan, which is no sign of a wrong folder or a broken
    disk: up to three images are allowed besides, as long as they are not more than half of all.

    Args:
        corpus_report: what became of the images.
        settings: how many may be set aside.
        table: where all of them are listed, to be named in the error.

    Raises:
        CorpusError: if too much is, or nothing is left to be used; it names the first five with their reasons.
    """
    n_quarantined, n_wanted = corpus_report.n_quarantined, corpus_report.n_used + corpus_report.n_quarantined
    n_allowed = max(settings.max_share * n_wanted, min(_ALWAYS_ALLOWED, n_wanted / 2) if settings.max_share else 0)
    if n_quarantined <= n_allowed and corpus_report.n_used > 0:
        return
    first = "\n".join(f"  {_name(entry)}: {_reason(entry)}" for entry in corpus_report.quarantined[:_SHOWN])
    more = f"\n  ... and {n_quarantined - _SHOWN} more" if n_quarantined > _SHOWN else ""
    where = f"\nAll of them, with reasons: {table}" if table is not None else ""
    raise CorpusError(
        f"At most {settings.max_share:.1%} of a corpus's images may be unusable (quarantine.max_share), but "
        f"{n_quarantined} of {n_wanted} of {corpus_report.corpus!r} are ({corpus_report.share_quarantined:.1%}). "
        f"Mend or remove them, see that `corpus` names the right layout, or raise quarantine.max_share:\n"
        f"{first}{more}{where}"
    )


def write_quarantine(set_aside: Sequence[SetAside], path: Path) -> None:
    """Write a table of what is set aside, in the order given: columns path, image_id (may be empty), reason."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "image_id", "reason"))
        table.writerows((str(entry.path), entry.image_id or "", _reason(entry)) for entry in set_aside)


def _check_each_once(corpus: str, image_ids: set[str], with_lines: set[str], unusable: set[str]) -> None:
    odd = sorted((image_ids ^ (with_lines | unusable)) | (with_lines & unusable))
    if odd:
        raise LineStoreError(
            f"Every image of {corpus!r} must either have lines in the store or be set aside, but {len(odd)} are "
            f"neither, both or unknown: {', '.join(odd[:_SHOWN])}. Build the store from this index."
        )


def _name(entry: SetAside) -> str:
    return f"{entry.path} ({entry.image_id})" if entry.image_id not in (None, str(entry.path)) else str(entry.path)


def _reason(entry: SetAside) -> str:
    """Without the path that many reasons begin with: it is said beside."""
    return entry.reason.removeprefix(f"{entry.path}: ")
