"""A model that names writers: the champion of a registry, or a trial's own network."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from core.errors import ImageError, RegistryError
from search.experiment.settings import TrackingSettings

# Imported inside the functions that need them: MLflow, SciPy and OpenCV take seconds that `import
# whosehand` saves.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.identification.prediction import Prediction
    from search.comparison.retrieval_report import RetrievalReport
    from search.experiment.experiment import Experiment
    from search.experiment.workspace import Workspace
    from search.identification.enrolment import Enrolment
    from search.identification.identify import ExplainedPrediction
    from search.identification.known_writers import KnownWriter
    from search.identification.page_index import AlikePage
    from search.identification.page_reader import PageReader
    from search.identification.verification import Verification
    from search.tracking.store import TrackingStore

ReadAs = Literal["auto", "page", "form", "line"]


def champion(
    name: str | None = None, *, project: str | Path | None = None, tracking: TrackingSettings | None = None
) -> "Identifier":
    """The champion of a registered model.

    Args:
        name: of the registered model; not needed where there is only one.
        project: the folder that holds `mlruns`, the current one if not given.
        tracking: where the models are recorded, if not in the project's own store.

    Raises:
        RegistryError: if there is no such model, or it has no champion.
    """
    from search.identification.identifier_folder import is_as_promoted
    from search.tracking.registry import CHECKSUM_TAG, download_model, only_name
    from search.tracking.registry import champion as find_champion
    from search.tracking.store import open_store

    store = open_store(tracking, Path(project or "."))
    version = find_champion(store, name or only_name(store))
    folder = download_model(store, version.location)
    runs_own_code = is_as_promoted(folder, version.tags.get(CHECKSUM_TAG))
    return Identifier(version.name, folder, version.version, version.description, runs_own_code, store)


@dataclass(frozen=True)
class Identifier:
    """A saved model that names the writers of images.

    Attributes:
        name: of the registered model, or of the sweep and trial.
        folder: the model's files.
        version: in the registry; `None` for a trial's network.
        card: what it was trained on and how well it did, as Markdown; empty for a trial's network.
        runs_own_code: whether the code in the folder is run: of a version whose files are those
            that were promoted, and of a trial of your own. Any other folder is opened without it.
        store: where it is registered; `None` for a trial's network.
    """

    name: str
    folder: Path
    version: int | None = None
    card: str = field(default="", repr=False)
    runs_own_code: bool = False
    store: "TrackingStore | None" = field(default=None, repr=False, compare=False)

    @property
    def writer_ids(self) -> tuple[str, ...]:
        """The writers that the model was trained on; `writers` has the enrolled ones, too."""
        from search.identification.identifier_folder import read_record

        return tuple(read_record(self.folder).writer_ids)

    @overload
    def identify(  # type: ignore[overload-overlap]  # a str is a sequence of str, too
        self, images: str | Path, *, read_as: ReadAs = "auto"
    ) -> "Prediction": ...

    @overload
    def identify(self, images: Sequence[str | Path], *, read_as: ReadAs = "auto") -> "list[Prediction]": ...

    def identify(
        self, images: str | Path | Sequence[str | Path], *, read_as: ReadAs = "auto"
    ) -> "Prediction | list[Prediction]":
        """Rank the writers that the model knows by how likely they wrote each image, enrolled ones
        among them.

        Args:
            images: one path gives one prediction, a list gives a list in the same order.
            read_as: what an image shows; `form` has print above and below.

        Raises:
            ImageError: if an image cannot be used; it names each with the reason.
            RegistryError: if the model cannot be loaded.
        """
        from core.corpora.index import Excluded
        from search.identification.identify import identify_each

        is_one = isinstance(images, str | Path)
        paths = [Path(images)] if isinstance(images, str | Path) else [Path(image) for image in images]
        folder, runs_own_code = self._answering
        found = list(identify_each(paths, folder, read_as=read_as, runs_own_code=runs_own_code))
        unusable = [item.reason for item in found if isinstance(item, Excluded)]
        if unusable:
            raise ImageError("\n".join(unusable))
        predictions = [item for item in found if not isinstance(item, Excluded)]
        return predictions[0] if is_one else predictions

    def explain(self, image: str | Path, *, n_decisive: int = 6, read_as: ReadAs = "auto") -> "ExplainedPrediction":
        """Rank the writers of one image, and say what the answer rests on.

        Args:
            image: its path.
            n_decisive: how many patches for and against are looked at closely.
            read_as: what the image shows.

        Raises:
            ImageError: if the image cannot be used.
            RegistryError: if the model cannot be loaded.
        """
        from search.identification.identify import explain

        folder, runs_own_code = self._answering
        return explain(Path(image), folder, n_decisive, read_as, runs_own_code)

    def enrol(self, writer: str, pages: str | Path | Sequence[str | Path], *, progress: bool = True) -> "Enrolment":
        """Add pages of a writer whom the champion does not know, without training.

        Args:
            writer: who wrote all of them.
            pages: one path or several; files with several pages are several.
            progress: whether to show how far it is.

        Returns:
            `.n_pages` that were enrolled, and `.unreadable` ones with the reason.

        Raises:
            ImageError: if no page shows handwriting.
            RegistryError: if the champion cannot compare hands, or was trained on the writer.
        """
        from search.identification.enrolment import enrol
        from whosehand.progress import shown_steps

        files = [Path(pages)] if isinstance(pages, str | Path) else [Path(page) for page in pages]
        with shown_steps(progress) as begin:
            return enrol(self._registered, self.name, {writer: files}, _say_nothing, begin("describing pages"))

    def forget(self, writer: str, *, project: str | Path | None = None) -> int:
        """Delete all descriptors of an enrolled writer, from every version of the register and from
        the project's indexes; returns how many versions were deleted.

        Args:
            writer: who.
            project: the folder that holds `data`, the current one if not given.

        Raises:
            RegistryError: if nobody of that name is enrolled.
        """
        from search.identification.forgetting import forget

        return forget(self._registered, self.name, writer, _workspace(project).indexes, _say_nothing)

    @property
    def writers(self) -> "list[KnownWriter]":
        """Whom the champion can name: `.writer_id`, `.kind` (trained or enrolled), `.n_pages`."""
        from search.identification.known_writers import list_writers

        return list_writers(self._registered, self.name)

    def verify(
        self,
        one: str | Path,
        other: str | Path,
        *,
        calibrate_on: "str | Path | Experiment | None" = None,
        evidence: str | Path | None = None,
        project: str | Path | None = None,
        progress: bool = True,
    ) -> "Verification":
        """Say how strongly two pages speak for one hand; no validated casework.

        Args:
            one: the image of a page.
            other: that of another one.
            calibrate_on: pages by known writers whom training never saw, as an experiment or a
                folder; those that the model takes along if not given.
            evidence: a file for an HTML page that shows what the answer rests on.
            project: the folder that holds `data`, the current one if not given.
            progress: whether to show how far it is.

        Returns:
            `.found.log10_ratio`, `.found.interval`, `.found.words`.

        Raises:
            ImageError: if a page cannot be used.
            RetrievalError: if a page has too little ink, or there is too little to calibrate on.
        """
        from search.comparison.calibration_pages import calibration_pages
        from search.identification.page_index import only_page
        from search.identification.verification import gather_verification_evidence, verify
        from search.identification.verification_page import write_verification_page
        from whosehand.progress import shown_steps

        place = Path(calibrate_on) if isinstance(calibrate_on, str) else calibrate_on
        with shown_steps(progress) as begin:
            reading = begin("reading the pages to calibrate on")
            pages = calibration_pages(place, self.folder, self._page_reader, _workspace(project), reading)
        found = verify(only_page(Path(one)), only_page(Path(other)), self._page_reader, pages)
        if evidence is not None:
            shown = gather_verification_evidence(found)
            write_verification_page(found, shown, self.name, Path(evidence))
        return found

    @property
    def _registered(self) -> "TrackingStore":
        """Where it is registered.

        Raises:
            RegistryError: if it is not.
        """
        if self.store is None:
            raise RegistryError(
                "Writers are enrolled with the champion of a registered model, but this is another network. "
                "`whosehand.champion()` finds it, once a sweep is promoted."
            )
        return self.store

    @property
    def _answering(self) -> tuple[Path, bool]:
        """The files that answer, with the enrolled writers among them, and whether their code is
        run.
        """
        if self.store is None or self.version is None:
            return self.folder, self.runs_own_code
        from search.identification.known_writers import answering_model
        from search.tracking.registry import find_version

        version = find_version(self.store, self.name, self.version)
        if version is None:
            return self.folder, self.runs_own_code
        found = answering_model(self.store, version)
        return found.folder, found.runs_own_code

    def describe(self, page: str | Path) -> "NDArray[np.float32]":
        """Describe a page: (n_dimensions,) of length 1, so that the product of two is their cosine.

        Args:
            page: the path of its image.

        Raises:
            ImageError: if it cannot be used, or the file holds several pages.
            RegistryError: if the model cannot be loaded.
        """
        from search.identification.page_index import only_page

        return self._page_reader.describe(only_page(Path(page)))

    def find(
        self,
        page: str | Path,
        *,
        among: str | Path,
        top: int = 10,
        sheet: str | Path | None = None,
        rerank: int | None = None,
        adapt: bool = True,
        project: str | Path | None = None,
        progress: bool = True,
    ) -> "list[AlikePage]":
        """The pages of an archive that are most like one page, the most alike first.

        Args:
            page: the path of the image that is looked for.
            among: a folder of images, which is indexed first, or an index.
            top: how many.
            sheet: an HTML file that is written, too: the page and those found side by side.
            rerank: rerank by so many nearest pages; about as many as a hand has.
            adapt: count less in what the pages of the archive differ most, be it scanners or pens.
            project: the folder that holds `data`, the current one if not given.
            progress: whether to show how far it is.

        Raises:
            ImageError: if the page, or all of the folder, cannot be used.
            RetrievalError: if the index was made by another model.
            RegistryError: if the model cannot be loaded.
            OSError: if the sheet cannot be written.
        """
        from core.retrieval.descriptor_index import DescriptorIndex
        from search.identification.page_index import adaptation_to, find_alike, index_folder, is_index, only_page
        from whosehand.progress import shown_steps

        wanted, place = only_page(Path(page)), Path(among)
        if not is_index(place):
            indexes = _workspace(project).indexes
            with shown_steps(progress) as begin:
                place, _ = index_folder(place, indexes, self._page_reader, begin("describing pages"))
        archive = DescriptorIndex.open(place)
        adaptation = adaptation_to(archive) if adapt else None
        found = find_alike(archive, wanted, self._page_reader, top, n_neighbours=rerank, adaptation=adaptation)
        if sheet is not None:
            from search.identification.contact_sheet import write_contact_sheet

            with shown_steps(progress) as begin:
                shown = Path(sheet), adaptation, begin("drawing pages")
                write_contact_sheet(wanted, found, archive, self._page_reader, self.name, *shown)
        return found

    @cached_property
    def _page_reader(self) -> "PageReader":
        from search.identification.page_reader import PageReader

        return PageReader.load(self.folder, runs_own_code=self.runs_own_code)

    def retrieval(
        self,
        pages: "str | Path | Experiment",
        *,
        rerank: int | None = None,
        adapt: bool = True,
        patches: int = 64,
        join: int | None = None,
        known_writers: bool = False,
        seed: int = 0,
        project: str | Path | None = None,
        progress: bool = True,
    ) -> "RetrievalReport":
        """Score how well the model finds pages by the same hand, each page a query.

        Writers that the model was trained on are left out, and so are test pages that stay sealed.

        Args:
            pages: an experiment or its file, or a folder of scans whose writers are known.
            rerank: rerank by so many nearest pages; about as many as a hand has.
            adapt: count less in what these pages differ most, be it scanners or pens.
            patches: most of a page.
            join: join so many images of a writer to one page, as for single words.
            known_writers: count writers that the model was trained on, too.
            seed: of joining and intervals.
            project: the folder that holds `data`, the current one if not given.
            progress: whether to show how far it is.

        Returns:
            `.scores.metrics` and `.scores.intervals`, by `map`, `top1`, `top5`, `top10`, `eer`, ...

        Raises:
            WhosehandError: says what is wrong with the pages, the model or the choice.
        """
        from search.comparison.retrieval_report import RetrievalChoice, report_retrieval
        from whosehand.progress import shown_steps

        with shown_steps(progress) as begin:
            return report_retrieval(
                Path(pages) if isinstance(pages, str) else pages,
                self.folder,
                self.name,
                _workspace(project),
                RetrievalChoice(patches, join, rerank, adapt, known_writers, seed),
                runs_own_code=self.runs_own_code,
                say=begin,
            )

    def _repr_html_(self) -> str:
        from html import escape

        version = "" if self.version is None else f", version {self.version}"
        return f"<b>{escape(self.name)}</b>{version}: knows {len(self.writer_ids)} writers"


def _say_nothing(_: str) -> None:
    """Nobody is told that another command is waited for."""


def _workspace(project: str | Path | None) -> "Workspace":
    from search.experiment.workspace import Workspace

    return Workspace(Path(project or ".").absolute())
