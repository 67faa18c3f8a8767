"""What became of everything in a corpus: used, not chosen or unusable, each with its reason; too
much is refused.
"""

import csv
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.corpora.csv_cells import harmless_row
from core.corpora.index import CorpusIndex, Excluded
from core.corpora.settings import UnusableSettings
from core.errors import CorpusError, LineStoreError

_ALWAYS_ALLOWED = 3
_SHOWN = 5
_SHOWN_NAMES = 3


@dataclass(frozen=True)
class CorpusReport:
    """How many images were found, and what became of them: `n_found == n_used + n_not_chosen +
    n_unusable`.

    Attributes:
        corpus: its name.
        n_found: text images, and files that never became one.
        n_used: images with at least one line in the store.
        not_chosen: what was excluded on purpose, and why; nothing is wrong with it.
        unusable: what cannot be used, and why.
    """

    corpus: str
    n_found: int
    n_used: int
    not_chosen: tuple[Excluded, ...]
    unusable: tuple[Excluded, ...]

    def __post_init__(self) -> None:
        """Raise LineStoreError if an image is lost, or counted twice."""
        n_counted = self.n_used + self.n_not_chosen + self.n_unusable
        if self.n_found != n_counted:
            raise LineStoreError(
                f"Every image found must be used, not chosen or unusable, but of {self.n_found} in {self.corpus!r} "
                f"{self.n_used} + {self.n_not_chosen} + {self.n_unusable} = {n_counted} are. "
                "Delete the line store's folder; if this comes again, it is a fault of whosehand."
            )

    @property
    def n_not_chosen(self) -> int:
        """How many were excluded on purpose."""
        return len(self.not_chosen)

    @property
    def n_unusable(self) -> int:
        """How many cannot be used."""
        return len(self.unusable)

    @property
    def share_unusable(self) -> float:
        """How many of those that were to be used cannot be; 0 if none were."""
        return self.n_unusable / max(1, self.n_used + self.n_unusable)

    def write(self, path: Path) -> None:
        """Write the counts as JSON."""
        counts = {
            "corpus": self.corpus,
            "n_found": self.n_found,
            "n_used": self.n_used,
            "n_not_chosen": self.n_not_chosen,
            "n_unusable": self.n_unusable,
        }
        path.write_text(json.dumps(counts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def report_corpus(
    index: CorpusIndex,
    with_lines: Collection[str],
    unreadable: Sequence[Excluded],
    not_chosen: Sequence[Excluded] = (),
) -> CorpusReport:
    """Count what became of everything that lies in a corpus.

    Args:
        index: images, what the layout excluded, and what could not become an image.
        with_lines: the ids of the images that text lines were read from.
        unreadable: the images of the index that gave no line, each with its id and the reason.
        not_chosen: what else was excluded on purpose, such as the images of writers with too few
            pages; those that are images of the index are named by `image_id`, and need no line. One
            that is unreadable, too, counts as unusable; of two entries for one image the last
            counts.

    Raises:
        LineStoreError: if an image of the index neither has a line nor is unusable, or both.
    """
    image_ids = {image.image_id for image in index.images}
    read = set(with_lines)
    unwanted = {entry.image_id: entry for entry in not_chosen if entry.image_id in image_ids}
    lost = {str(entry.image_id) for entry in unreadable}
    _check_each_once(index.name, image_ids - (unwanted.keys() - read - lost), read, lost)
    never_images = [entry for entry in (*index.not_chosen, *not_chosen) if entry.image_id not in image_ids]
    return CorpusReport(
        corpus=index.name,
        n_found=len(index.images) + len(index.unusable) + len(never_images),
        n_used=len(read - unwanted.keys()),
        not_chosen=(*never_images, *(entry for image_id, entry in unwanted.items() if image_id not in lost)),
        unusable=(*index.unusable, *unreadable),
    )


def check_share(corpus_report: CorpusReport, settings: UnusableSettings, table: Path | None = None) -> None:
    """See that not too much of the corpus is unusable.

    A share alone would refuse a corpus of ten pages for one bad scan, which is no sign of a wrong
    folder or a broken
    disk: up to three images are allowed besides, as long as they are not more than half of all.

    Args:
        corpus_report: what became of the images.
        settings: how many may be unusable.
        table: where all of them are listed, to be named in the error.

    Raises:
        CorpusError: if too much is, or nothing is left to be used; it lists the kinds of reason,
            each with its count and the first names.
    """
    n_unusable, n_wanted = corpus_report.n_unusable, corpus_report.n_used + corpus_report.n_unusable
    n_allowed = max(settings.max_share * n_wanted, min(_ALWAYS_ALLOWED, n_wanted / 2) if settings.max_share else 0)
    if n_unusable <= n_allowed and corpus_report.n_used > 0:
        return
    groups = group_reasons(corpus_report.unusable)
    first = "\n".join(f"  {len(group.entries):,}: {group.reason} ({group.names})" for group in groups[:_SHOWN])
    n_more = sum(len(group.entries) for group in groups[_SHOWN:])
    more = f"\n  {n_more:,}: for other reasons" if n_more else ""
    where = f"\nAll of them, with reasons: {table}" if table is not None else ""
    raise CorpusError(
        f"At most {settings.max_share:.1%} of a corpus's images may be unusable (quarantine.max_share), but "
        f"{n_unusable} of {n_wanted} of {corpus_report.corpus!r} are ({corpus_report.share_unusable:.1%}). "
        f"Mend or remove them, see that `corpus` names the right layout, or raise quarantine.max_share:\n"
        f"{first}{more}{where}"
    )


@dataclass(frozen=True)
class ReasonGroup:
    """What was excluded for one kind of reason.

    Attributes:
        reason: of the first; where the others differ in names and numbers, what they share with it,
            too.
        entries: in the order of the corpus.
    """

    reason: str
    entries: tuple[Excluded, ...]

    @property
    def names(self) -> str:
        """The first three, and how many more there are; of rows of one table what each says."""
        n_more, of_rows = len(self.entries) - _SHOWN_NAMES, _are_rows(self.entries)
        shown = self.entries[:_SHOWN_NAMES]
        names = ", ".join(_reason(entry) if of_rows else entry.image_id or str(entry.path) for entry in shown)
        return f"{names} and {n_more:,} more" if n_more > 0 else names


def group_reasons(entries: Iterable[Excluded]) -> tuple[ReasonGroup, ...]:
    """Gather what was excluded for like reasons, the most frequent kind first."""
    groups: dict[str, list[Excluded]] = {}
    for entry in entries:
        groups.setdefault(_kind(entry), []).append(entry)
    ranked = sorted(groups.values(), key=len, reverse=True)
    return tuple(ReasonGroup(_shared_reason(of_kind), tuple(of_kind)) for of_kind in ranked)


def _shared_reason(entries: Sequence[Excluded]) -> str:
    first = _reason(entries[0])
    if all(_reason(entry) == first for entry in entries):
        return first
    return _kind(entries[0]) if _are_rows(entries) else f"{_kind(entries[0])}, such as: {first}"


def _are_rows(entries: Sequence[Excluded]) -> bool:
    """Whether all stand in one table, whose name tells nothing about them."""
    return len(entries) > 1 and len({(entry.path, entry.image_id) for entry in entries}) == 1


def write_excluded(excluded: Iterable[Excluded], path: Path) -> None:
    """Write a table of what is excluded, in the order given: columns path, image_id (may be empty),
    reason.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "image_id", "reason"))
        for entry in excluded:
            table.writerow(harmless_row((entry.path, entry.image_id or "", _reason(entry))))


def _check_each_once(corpus: str, image_ids: set[str], with_lines: set[str], unusable: set[str]) -> None:
    odd = sorted((image_ids ^ (with_lines | unusable)) | (with_lines & unusable))
    if odd:
        raise LineStoreError(
            f"Every image of {corpus!r} must either have lines in the store or be unusable, but {len(odd)} are "
            f"neither, both or unknown: {', '.join(odd[:_SHOWN])}. Build the store from this index."
        )


_DIFFERING = re.compile(r"'[^']*'|\"[^\"]*\"|\S*/\S*|\S*\d\S*")


def _kind(entry: Excluded) -> str:
    """The reason without what is the file's own: its path, other paths, quoted names, numbers."""
    return _DIFFERING.sub("...", _reason(entry).replace(str(entry.path), "..."))


def _reason(entry: Excluded) -> str:
    """Without the path that many reasons begin with: it is said beside."""
    return entry.reason.removeprefix(f"{entry.path}: ")
