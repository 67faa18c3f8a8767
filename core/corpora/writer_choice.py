"""Which writers and pages of a corpus take part, by a rule that can be stated.

The steps, in this order: writers by name, pages by name, writers with enough pages, writers with
most of something. Names come from lists: in the experiment file itself, or in a text file, one id a
line.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

from core.corpora.index import (
    Choice,
    CorpusIndex,
    Excluded,
    ExcludedPage,
    ExcludedWriter,
    TextImage,
    compose,
    natural_key,
)
from core.corpora.settings import TopWriters, WriterSettings
from core.errors import CorpusError, WhosehandError
from core.settings import IdList

CountInk = Callable[[CorpusIndex], Mapping[str, int]]
"""Counts the ink pixels of each writer of an index; asked only where writers are chosen by ink."""
_WHAT = {"forms": "pages", "sentences": "sentences", "lines": "text lines", "ink": "ink"}


@dataclass(frozen=True)
class ChosenCorpus:
    """A corpus, and what of it takes part.

    Attributes:
        index: those who take part; all other images are in its `not_chosen`, with reasons, and so
            is what is missing of writers who take no part.
        choice: the rule, and what it excluded; `None` where there is no rule.
    """

    index: CorpusIndex
    choice: Choice | None


def choose_writers(index: CorpusIndex, settings: WriterSettings, count_ink: CountInk) -> ChosenCorpus:
    """Exclude what shall not take part.

    Args:
        index: the corpus.
        settings: the rule.
        count_ink: called at most once, with those whom all other rules leave.

    Raises:
        CorpusError: if a list cannot be read or names somebody unknown, if the rule needs counts
            that the corpus does not give, or if it leaves fewer than two writers, or fewer than it
            asks for.
    """
    if settings == WriterSettings():
        return ChosenCorpus(index, None)
    choosing = _Choosing(index)
    _by_name(choosing, settings)
    _pages_by_name(choosing, settings)
    _with_enough_pages(choosing, settings.min_pages)
    if settings.top_writers is not None:
        _with_most(choosing, settings.top_writers, count_ink)
    return choosing.end()


@dataclass
class _Choosing:
    """A choice while it is made."""

    index: CorpusIndex
    rules: list[str] = field(default_factory=list)
    writers: dict[str, str] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        return "page" if self.index.has_pages else "image"

    def reason(self, image: TextImage) -> str | None:
        """Why an image is excluded; `None` if it takes part."""
        if image.writer_id in self.writers:
            return f"writer {image.writer_id!r} {self.writers[image.writer_id]}"
        if image.group_id in self.pages:
            return f"{self.unit} {image.group_id!r} {self.pages[image.group_id]}"
        return None

    def kept(self) -> CorpusIndex:
        return replace(self.index, images=tuple(i for i in self.index.images if self.reason(i) is None))

    def n_pages(self, index: CorpusIndex) -> Counter[str]:
        """Pages of each writer of the whole corpus, 0 for those without."""
        counts = Counter(writer_id for _, writer_id in {(i.group_id, i.writer_id) for i in index.images})
        return Counter({writer_id: counts[writer_id] for writer_id in self.index.writer_ids})

    def exclude(self, writers: Mapping[str, str], rule: str) -> None:
        # The wording is 0.1's: the rule is part of the hash of a split.
        self.rules.append(f"{rule}: {len(writers)} writers left out." if writers else f"{rule}: nobody left out.")
        self.writers.update(writers)

    def end(self) -> ChosenCorpus:
        kept = self.kept()
        n_kept = len(kept.writer_ids)
        if n_kept < 2:
            raise CorpusError(
                f"Two writers or more must take part, but `writers` leaves {n_kept} of {len(self.index.writer_ids)} of "
                f"{self.index.name!r}. {' '.join(self.rules)}"
            )
        reasons = [(image, self.reason(image)) for image in self.index.images]
        not_chosen = tuple(Excluded(image.path, reason, image.image_id) for image, reason in reasons if reason)
        n_pages = self.n_pages(self.index)
        writers = sorted(self.writers, key=natural_key)
        pages = dict.fromkeys(
            (i.group_id, i.writer_id) for i, reason in reasons if reason and i.writer_id not in self.writers
        )
        choice = Choice(
            rule=" ".join(self.rules),
            writers=tuple(ExcludedWriter(writer, n_pages[writer], self.writers[writer]) for writer in writers),
            pages=tuple(ExcludedPage(page, writer, self.pages[page]) for page, writer in pages),
        )
        unusable, beside = self._divide_unusable(set(kept.writer_ids))
        return ChosenCorpus(
            replace(kept, unusable=unusable, not_chosen=(*self.index.not_chosen, *not_chosen, *beside)), choice
        )

    def _divide_unusable(self, kept: set[str]) -> tuple[tuple[Excluded, ...], tuple[Excluded, ...]]:
        """What is unusable of those who take part, or of nobody known; and of others, whose lack
        harms nobody.
        """
        wanted: list[Excluded] = []
        beside: list[Excluded] = []
        for entry in self.index.unusable:
            if entry.writer_id is None or entry.writer_id in kept:
                wanted.append(entry)
            else:
                why = self.writers.get(entry.writer_id, "has no images")
                beside.append(replace(entry, reason=f"{entry.reason}; writer {entry.writer_id!r} {why}"))
        return tuple(wanted), tuple(beside)


def _by_name(choosing: _Choosing, settings: WriterSettings) -> None:
    known = choosing.index.writer_ids
    for key, ids in (("writers.include", settings.include), ("writers.exclude", settings.exclude)):
        if ids is None:
            continue
        named = read_ids(ids, key, CorpusError)
        check_known(named, known, key, "writers", CorpusError)
        if key == "writers.include":
            unwanted = {writer_id: "is not in writers.include" for writer_id in known if writer_id not in set(named)}
            choosing.exclude(unwanted, f"Only the {len(named)} writers of writers.include")
        else:
            choosing.exclude(dict.fromkeys(named, "is in writers.exclude"), "Not those of writers.exclude")


def _pages_by_name(choosing: _Choosing, settings: WriterSettings) -> None:
    known = dict.fromkeys(image.group_id for image in choosing.index.images)
    unit = choosing.unit
    for key, ids in (
        ("writers.include_pages", settings.include_pages),
        ("writers.exclude_pages", settings.exclude_pages),
    ):
        if ids is None:
            continue
        named = read_ids(ids, key, CorpusError)
        check_known(named, known, key, f"{unit}s", CorpusError)
        if key == "writers.include_pages":
            unwanted = {page: "is not in writers.include_pages" for page in known if page not in set(named)}
            rule = f"Only the {len(named)} {unit}s of writers.include_pages"
        else:
            unwanted = dict.fromkeys(named, "is in writers.exclude_pages")
            rule = "Not those of writers.exclude_pages"
        choosing.rules.append(f"{rule}: {len(unwanted)} {unit}s left out.")
        choosing.pages.update(unwanted)


def _with_enough_pages(choosing: _Choosing, min_pages: int) -> None:
    """Those without any page are excluded also where nobody asked for a minimum: their pages
    were.
    """
    unit = choosing.unit
    counts = choosing.n_pages(choosing.kept())
    few = {
        writer_id: f"has {n} {unit}{'' if n == 1 else 's'}, needs {min_pages} (writers.min_pages)"
        for writer_id, n in counts.items()
        if n < min_pages and writer_id not in choosing.writers
    }
    if min_pages > 1 or few:
        choosing.exclude(few, f"Only writers with {min_pages} {unit}{'' if min_pages == 1 else 's'} or more")


def _with_most(choosing: _Choosing, top: TopWriters, count_ink: CountInk) -> None:
    kept = choosing.kept()
    candidates = kept.writer_ids
    if len(candidates) < top.n:
        raise CorpusError(
            f"writers.top_writers.n must not be above the number of writers, but got n={top.n}, and there are "
            f"{len(candidates)} in {kept.name!r}. {' '.join(choosing.rules)}".rstrip()
        )
    amounts, source = _amounts(kept, top, count_ink)
    ranked = sorted(candidates, key=lambda writer_id: (-amounts.get(writer_id, 0), natural_key(writer_id)))
    what = _WHAT[top.by]
    least = amounts.get(ranked[top.n - 1], 0)
    tied = [writer_id for writer_id in ranked if amounts.get(writer_id, 0) == least]
    n_tied_in = sum(writer_id in tied for writer_id in ranked[: top.n])
    rule = f"The {top.n} of {len(ranked)} writers with most {what} ({source}), {least} or more"
    if n_tied_in < len(tied):
        rule += f"; of the {len(tied)} writers with {least}, {n_tied_in} by the lower id"
    unwanted = {}
    for writer_id in ranked[top.n :]:
        amount = amounts.get(writer_id, 0)
        tie = ", as the last one in, and a higher id" if amount == least else f", and the top {top.n} {least} or more"
        unwanted[writer_id] = f"has {amount} {what}{tie} (writers.top_writers)"
    choosing.exclude(unwanted, rule)


def _amounts(index: CorpusIndex, top: TopWriters, count_ink: CountInk) -> tuple[Mapping[str, int], str]:
    """How much each writer wrote, and who says so."""
    if top.by == "ink":
        return count_ink(index), "counted in pixels of its text lines"
    if top.by in index.amounts:
        return index.amounts[top.by], "by the corpus's own tables"
    if top.by == "forms":
        pages = {(image.group_id, image.writer_id) for image in index.images}
        return Counter(writer_id for _, writer_id in pages), "counted as they lie there"
    if top.by == "lines" and all(image.unit == "line" for image in index.images):
        return Counter(image.writer_id for image in index.images), "counted as they lie there"
    there = ", ".join(["forms", *(name for name in index.amounts if name != "forms"), "ink"])
    raise CorpusError(
        f"writers.top_writers.by: {top.by} needs a corpus that says how many {_WHAT[top.by]} each writer wrote, but "
        f"{index.name!r} does not. Take one of {there}."
    )


_SHOWN = 5


def read_ids(ids: IdList, key: str, error: type[WhosehandError]) -> tuple[str, ...]:
    """The ids of a list, in its order.

    Args:
        ids: themselves, or a file of them.
        key: of the experiment file, for messages.
        error: what to raise.

    Raises:
        WhosehandError: of the kind asked for, if the file cannot be read, an id is there twice, or
            there is none.
    """
    if isinstance(ids, Path):
        place, named = f"{key}: {ids}", _read(ids, key, error)
    else:
        place, named = key, [(number, text.strip()) for number, text in enumerate(ids, start=1)]
    named = [(number, compose(text)) for number, text in named]
    first_at: dict[str, int] = {}
    for number, text in named:
        if text in first_at:
            where = f"in lines {first_at[text]} and {number}" if isinstance(ids, Path) else "twice"
            raise error(f"{place} must name every id once, but {text!r} is there {where}. Remove one.")
        first_at[text] = number
    if not first_at:
        raise error(f"{place} must name at least one id, but is empty. Name some, or remove the key.")
    return tuple(first_at)


def check_known(ids: Sequence[str], known: Collection[str], key: str, what: str, error: type[WhosehandError]) -> None:
    """See that every id of a list is one of the corpus.

    Args:
        ids: of the list.
        known: of the corpus.
        key: of the experiment file, for messages.
        what: they are, such as "writers".
        error: what to raise.

    Raises:
        WhosehandError: of the kind asked for; it names the unknown ids with those that are nearest
            to them.
    """
    unknown = [text for text in ids if text not in known]
    if unknown:
        shown = "; ".join(_with_nearest(text, known) for text in unknown[:_SHOWN])
        more = f"; and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise error(
            f"{key} must name {what} of the corpus, but {len(unknown)} of {len(ids)} are not among its {len(known)}: "
            f"{shown}{more}."
        )


def _read(path: Path, key: str, error: type[WhosehandError]) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise error(f"{key}: the list {path} is not there.") from None
    except (OSError, UnicodeDecodeError) as cause:
        raise error(
            f"{key}: a list must be UTF-8 text with one id a line, but {path} cannot be read: {cause}."
        ) from cause
    lines = enumerate((line.strip() for line in text.splitlines()), start=1)
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _with_nearest(text: str, known: Collection[str]) -> str:
    near = get_close_matches(text, list(known), n=3, cutoff=0.5)
    return f"{text!r} (the nearest: {', '.join(map(repr, near))})" if near else repr(text)
