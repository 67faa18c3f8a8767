"""A model that names writers: the champion of a registry, or a trial's own network."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from core.errors import ImageError
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
    from search.identification.identify import ExplainedPrediction
    from search.identification.page_index import AlikePage
    from search.identification.page_reader import PageReader

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
    return Identifier(version.name, folder, version.version, version.description, runs_own_code)


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
    """

    name: str
    folder: Path
    version: int | None = None
    card: str = field(default="", repr=False)
    runs_own_code: bool = False

    @property
    def writer_ids(self) -> tuple[str, ...]:
        """The writers that the model knows."""
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
        """Rank the writers that the model knows by how likely they wrote each image.

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
        found = list(identify_each(paths, self.folder, read_as=read_as, runs_own_code=self.runs_own_code))
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

        return explain(Path(image), self.folder, n_decisive, read_as, self.runs_own_code)

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
        from search.identification.page_index import find_alike, index_folder, is_index, only_page
        from whosehand.progress import shown_steps

        wanted, place = only_page(Path(page)), Path(among)
        if not is_index(place):
            indexes = _workspace(project).indexes
            with shown_steps(progress) as begin:
                place, _ = index_folder(place, indexes, self._page_reader, begin("describing pages"))
        archive = DescriptorIndex.open(place)
        found = find_alike(archive, wanted, self._page_reader, top, n_neighbours=rerank, is_adapted=adapt)
        if sheet is not None:
            from search.identification.contact_sheet import write_contact_sheet

            with shown_steps(progress) as begin:
                drawn = begin("drawing pages")
                write_contact_sheet(wanted, found, archive, self._page_reader, self.name, Path(sheet), drawn)
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


def _workspace(project: str | Path | None) -> "Workspace":
    from search.experiment.workspace import Workspace

    return Workspace(Path(project or ".").absolute())
