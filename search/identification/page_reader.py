"""A saved model as what describes pages: its network up to the embedding, and how it reads pages.

The installed code opens it, whatever code lies in its folder: a description needs none of that, but
for a module of the user's own where the network has layers of it.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from core.pages.frames import Page
from core.pages.image_files import read_grey
from core.patches.plan import PatchPlan, evaluation_plan, read_patches
from core.retrieval.descriptors import KEY, describe_patches
from core.retrieval.known_hands import DescribedPage, describe_page
from core.retrieval.page_embeddings import PER_PAGE, PatchEmbedder, PlacedPage, embed_pages
from core.scoring.mean_scores import FloatArray
from search.identification.identifier_folder import ARTIFACTS, is_identifier, read_record

if TYPE_CHECKING:
    from core.identification.writer_identifier import WriterIdentifier

_PROMOTED, _TRIALS = Path(ARTIFACTS) / "model.keras", Path("data") / "model.keras"


@dataclass(frozen=True, eq=False)
class SeenPage:
    """A page with all that is known of its patches.

    Attributes:
        grey: (height, width), the image, upright.
        plan: where its patches are in its lines.
        places: (n_patches, 4, 2), their corners (x, y) in pixels of the image, clockwise.
        pixels: (n_patches, size_px, size_px), 0 ink to 255 paper.
        embeddings: (n_patches, n_features), each row of length 1.
        descriptor: (n_dimensions,) of the page, of length 1.
    """

    grey: NDArray[np.uint8]
    plan: PatchPlan
    places: FloatArray
    pixels: NDArray[np.uint8]
    embeddings: NDArray[np.float32]
    descriptor: NDArray[np.float32]


@dataclass(frozen=True)
class PageReader:
    """From an image file to the descriptor of its page.

    Attributes:
        identifier: reads pages as those of the model were read.
        embedder: of its network.
        per_page: most patches of a page.
        source: a text that only descriptors share that can be compared.
        folder: of the model.
    """

    identifier: "WriterIdentifier"
    embedder: PatchEmbedder
    per_page: int
    source: str
    folder: Path

    @classmethod
    def load(
        cls,
        folder: Path,
        per_page: int = PER_PAGE,
        runs_own_code: bool = False,
    ) -> Self:
        """Load a model.

        Args:
            folder: of a promoted model, or of a trial's.
            per_page: most patches of a page.
            runs_own_code: whether a network of the user's own may import the module beside it.

        Raises:
            RegistryError: if it cannot be loaded.
            ModelError: if a network of the user's own has no embedding.
        """
        identifier, embedder = load_embedder(folder, runs_own_code)
        return cls(identifier, embedder, per_page, source_of(folder, per_page), folder)

    def describe(self, page: Page) -> NDArray[np.float32]:
        """Describe a page: (n_dimensions,), of length 1.

        Raises:
            ImageError: if it cannot be read, or shows no handwriting.
            PatchError: if no patch can be cut from it.
        """
        return describe_patches(self._embed(page).embeddings)

    def describe_with_ink(self, page: Page) -> DescribedPage:
        """Describe a page by the mean of its patches, and say how much ink it has.

        Raises:
            ImageError: if it cannot be read, or shows no handwriting.
            PatchError: if no patch can be cut from it.
        """
        return describe_page(self._embed(page))

    def _embed(self, page: Page) -> PlacedPage:
        name = str(page.name)
        lines = self.identifier.read_lines(read_grey(page.path, frame=page.frame), name)
        patches = self.identifier.record.patches
        (found,) = embed_pages(lines, [name], patches, self.per_page, self.embedder)
        return found

    def look_at(self, page: Page) -> SeenPage:
        """Describe a page, and keep what its description is made of.

        Raises:
            ImageError: if it cannot be read, or shows no handwriting.
            PatchError: if no patch can be cut from it.
        """
        from core.identification.evidence import place_patches  # its network takes TensorFlow
        from core.networks.inference import in_batches

        name, settings = str(page.name), self.identifier.record.patches
        grey = read_grey(page.path, frame=page.frame)
        lines = self.identifier.read_lines(grey, name)
        plan = evaluation_plan(lines, [name], None, settings, self.per_page, by="page")
        pixels = read_patches(lines, plan)
        embeddings = self.embedder.embed(in_batches(pixels))
        places = place_patches(self.identifier, grey, lines, plan)
        return SeenPage(grey, plan, places, pixels, embeddings, describe_patches(embeddings))


def load_embedder(folder: Path, runs_own_code: bool = False) -> "tuple[WriterIdentifier, PatchEmbedder]":
    """What reads a model's pages, and its network up to the embedding.

    Raises:
        RegistryError: if it cannot be loaded.
        ModelError: if a network of the user's own has no embedding.
    """
    # Here, because TensorFlow takes seconds, and whatever else is wrong is told without it.
    from core.networks.quiet_tensorflow import quiet_stderr  # isort: skip  (before TensorFlow, which it keeps quiet)
    from core.identification.writer_identifier import WriterIdentifier
    from core.networks.inference import Embedder

    beside = folder / ARTIFACTS if is_identifier(folder) else folder
    with quiet_stderr():  # where there is no graphics card, TensorFlow says so at the first model
        identifier = WriterIdentifier.load(_network(folder), beside, runs_own_code)
        return identifier, Embedder(identifier.predictor.model)


def source_of(folder: Path, per_page: int = PER_PAGE) -> str:
    """A text that two models, or two ways to describe pages, do not share."""
    record = read_record(folder)
    content = {
        "network": hashlib.sha256(_network(folder).read_bytes()).hexdigest(),
        "ink": record.ink.model_dump(mode="json"),
        "patches": [record.patches.size_px, record.patches.min_ink, per_page],
        "describer": KEY,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def _network(folder: Path) -> Path:
    return folder / (_PROMOTED if is_identifier(folder) else _TRIALS)
