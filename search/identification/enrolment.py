"""Writers who are added to the champion after training, from one page each, and taken away again.

The register of hands is kept as versions of the champion's model (`search.tracking
.enrolled_versions`). It holds descriptors and where their pages lie, not the pages. Another
champion describes pages otherwise: its register is made anew from the pages, as far as they are
still there.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from core.corpora.catalogue import open_corpus
from core.corpora.fetch import sha256_of
from core.corpora.index import Excluded
from core.corpora.resemblance import found_below, resembling_layout
from core.corpora.settings import CorpusSettings
from core.errors import CorpusError, ImageError, PatchError, RegistryError
from core.identification.model_record import ModelRecord
from core.lines.reading import ProgressCallback
from core.pages.frames import Page, is_blank, list_pages
from core.retrieval.register import EnrolledPage, Register
from search.identification.identifier_folder import is_as_promoted, read_record
from search.identification.kept_register import keep_register, load_hands, read_register
from search.identification.page_reader import PageReader, source_of
from search.tracking.aliases import promotion_lock
from search.tracking.enrolled_versions import EnrolledVersion, find_enrolled
from search.tracking.registry import CHECKSUM_TAG, RegisteredVersion, champion, download_model
from search.tracking.store import TrackingStore

Say = Callable[[str], None]
_SETTINGS: TypeAdapter[CorpusSettings] = TypeAdapter(CorpusSettings)


@dataclass
class Enrolment:
    """What became of pages that were to be enrolled.

    Attributes:
        n_pages: that were enrolled, by writer.
        unreadable: that could not be used, and why.
        gone: pages of the register that a new champion could not read again, and why.
        gone_writers: who is no longer enrolled, because none of the pages is there.
        version: of the registry that holds the register now; `None` if nothing changed.
    """

    n_pages: dict[str, int] = field(default_factory=dict)
    unreadable: list[Excluded] = field(default_factory=list)
    gone: list[Excluded] = field(default_factory=list)
    gone_writers: tuple[str, ...] = ()
    version: RegisteredVersion | None = None


def enrol(
    store: TrackingStore,
    name: str,
    files_of: Mapping[str, Sequence[Path]],
    say: Say,
    on_progress: ProgressCallback | None = None,
) -> Enrolment:
    """Add pages of writers to the champion's register, which is first made anew if the champion is
    another one.

    Args:
        store: an open store.
        name: of the registered model.
        files_of: by writer, images of pages; files with several pages are several.
        say: told that another command is waited for.
        on_progress: called with (pages done, in all).

    Raises:
        RegistryError: if there is no champion, it cannot compare hands or was trained on one of
            the writers, or a name is empty.
        ImageError: if no page can be used: it shows no handwriting, or is somebody else's already.
        TrackingError: if the store cannot be written.
    """
    unnamed = [writer_id for writer_id in files_of if not writer_id.strip() or not writer_id.isprintable()]
    if unnamed:
        raise RegistryError(f"A writer's name must be printable text that is not empty, but got {unnamed[0]!r}.")
    with promotion_lock(store, name, say):
        desk = _Desk.open(store, name)
        desk.refuse_trained(files_of)
        result, register = desk.carried_over(on_progress)
        pages = [(writer, page) for writer, files in files_of.items() for file in files for page in list_pages(file)]
        register = desk.add(register, pages, result, on_progress)
        if pages and not result.n_pages:
            reasons = "\n".join(f"  {image.reason}" for image in result.unreadable)
            raise ImageError(f"At least one page must be enrolled, but none can be:\n{reasons}")
        if result.n_pages or desk.is_outdated:
            result.version = desk.keep(register)
        return result


def carry_over(
    store: TrackingStore, name: str, say: Say, on_progress: ProgressCallback | None = None
) -> Enrolment | None:
    """Enrol everybody again with a new champion, from the pages; `None` if nobody has to be.

    Raises:
        RegistryError: if the champion cannot compare hands.
        TrackingError: if the store cannot be written.
    """
    found = find_enrolled(store, name)
    if found is None or found.champion == champion(store, name).version:
        return None
    return enrol(store, name, {}, say, on_progress)


def files_by_writer(folder: Path) -> dict[str, list[Path]]:
    """The images of each writer in a folder: one folder a writer, or the layout of a known corpus.

    Raises:
        CorpusError: if no layout is recognised.
    """
    like = resembling_layout(folder)
    if like is None:
        raise CorpusError(
            "Writers are known by folders, one for each, or by the layout of a known corpus, but "
            f"{found_below(folder)}. Put each writer's pages into a folder of their own, or say --writer NAME."
        )
    place = {"layout": like.layout, "file" if like.layout == "manifest" else "root": like.root}
    settings: CorpusSettings = _SETTINGS.validate_python(place)
    files_of: dict[str, list[Path]] = {}
    for image in open_corpus(settings, folder).index().images:
        own = files_of.setdefault(image.writer_id, [])
        if image.path not in own:
            own.append(image.path)
    return files_of


@dataclass(frozen=True)
class _Desk:
    """A champion, and the register that it has or has to be given."""

    store: TrackingStore
    champion: RegisteredVersion
    folder: Path
    record: ModelRecord
    n_dimensions: int
    current: EnrolledVersion | None

    @classmethod
    def open(cls, store: TrackingStore, name: str) -> "_Desk":
        best = champion(store, name)
        folder = download_model(store, best.location)
        hands = load_hands(folder)
        if hands is None:
            raise RegistryError(
                f"Version {best.version} of {name!r} takes nothing along to compare hands by: it was promoted before "
                "writers could be enrolled, or its network has no embedding. Promote a fit anew, such as by "
                "`whosehand promote SWEEP --epochs N` with another N."
            )
        return cls(store, best, folder, read_record(folder), hands.centres.shape[1], find_enrolled(store, name))

    @property
    def is_outdated(self) -> bool:
        return self.current is not None and self.current.champion != self.champion.version

    @cached_property
    def reader(self) -> PageReader:
        own_code = is_as_promoted(self.folder, self.champion.tags.get(CHECKSUM_TAG))
        return PageReader.load(self.folder, runs_own_code=own_code)

    def refuse_trained(self, files_of: Mapping[str, Sequence[Path]]) -> None:
        trained = sorted(set(files_of) & set(self.record.writer_ids))
        if trained:
            raise RegistryError(
                f"Writers are enrolled whom the champion does not know, but it was trained on {', '.join(trained[:5])}"
                f"{', ...' if len(trained) > 5 else ''}. Give another name, or leave these pages out."
            )

    def carried_over(self, on_progress: ProgressCallback | None) -> tuple[Enrolment, Register]:
        """The register as it is; from the pages, if it is another champion's."""
        result = Enrolment()
        source = source_of(self.folder)
        empty = Register(source, (), np.empty((0, self.n_dimensions), np.float32))
        if self.current is None:
            return result, empty
        register = read_register(self.store, self.current)
        if not self.is_outdated or register.source == source:
            return result, replace(register, source=source)
        return result, self._again(register, empty, result, on_progress)

    def _again(
        self, old: Register, register: Register, result: Enrolment, on_progress: ProgressCallback | None
    ) -> Register:
        for number, page in enumerate(old.pages, start=1):
            place = Page.named(Path(page.page))
            if page.writer_id in self.record.writer_ids:
                result.gone.append(Excluded(Path(page.page), f"{page.page}: the champion was trained on this writer"))
            elif not place.path.is_file() or _sha256(place.path) != page.sha256:
                what = "is another file now" if place.path.is_file() else "is gone"
                result.gone.append(Excluded(Path(page.page), f"{page.page} ({page.writer_id}) {what}"))
            else:
                try:
                    described = self.reader.describe_with_ink(place)
                except (ImageError, PatchError) as error:  # such as lines that are too low for its patches
                    result.gone.append(Excluded(place.name, str(error)))
                else:
                    kept = replace(page, n_patches=described.n_patches)
                    register = register.with_pages([kept], described.descriptor[np.newaxis])
            if on_progress is not None:
                on_progress(number, len(old.pages))
        result.gone_writers = tuple(writer for writer in old.writer_ids if writer not in register.writer_ids)
        return register

    def add(
        self,
        register: Register,
        pages: Sequence[tuple[str, Page]],
        result: Enrolment,
        on_progress: ProgressCallback | None,
    ) -> Register:
        for number, (writer_id, page) in enumerate(pages, start=1):
            place = Page(page.path.absolute(), page.frame)
            try:
                sha256 = _sha256(place.path)
                _refuse_two_writers(register, place, sha256, writer_id)
                described = self.reader.describe_with_ink(place)
                entry = EnrolledPage(writer_id, str(place.name), sha256, described.n_patches, _now_ms())
                register = register.with_pages([entry], described.descriptor[np.newaxis])
                result.n_pages[writer_id] = result.n_pages.get(writer_id, 0) + 1
            except (ImageError, PatchError) as error:
                if page.frame is None or not is_blank(str(error)):
                    result.unreadable.append(Excluded(page.name, str(error)))
            if on_progress is not None:
                on_progress(number, len(pages))
        return register

    def keep(self, register: Register) -> RegisteredVersion | None:
        return keep_register(self.store, self.champion, self.folder, register)


def _refuse_two_writers(register: Register, page: Page, sha256: str, writer_id: str) -> None:
    """A scan that is enrolled as somebody else's is a mistake, under whichever name it lies."""
    for known in register.pages:
        is_same = known.sha256 == sha256 and Page.named(Path(known.page)).frame == page.frame
        if is_same and known.writer_id != writer_id:
            raise ImageError(
                f"{page.name} is enrolled as a page by {known.writer_id} already, and a page has one writer. If that "
                f"is wrong: `whosehand forget {known.writer_id}`."
            )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}.") from error
