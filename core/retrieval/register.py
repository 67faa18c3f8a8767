"""The register of hands: writers who were enrolled after training, by descriptors of pages."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from core.errors import RegistryError
from core.retrieval.descriptors import describe_patches
from core.retrieval.known_hands import UNREADABLE, Descriptors

REGISTER_FILE = "register.npz"
_FORMAT = 1


@dataclass(frozen=True)
class EnrolledPage:
    """A page by an enrolled writer.

    Attributes:
        writer_id: who wrote it.
        page: the absolute path of its file, `letter.tif#3` where that holds several pages.
        sha256: of the file when it was enrolled.
        n_patches: how much ink it has: patches that are not the same place.
        enrolled_ms: when, Unix time.
    """

    writer_id: str
    page: str
    sha256: str
    n_patches: int
    enrolled_ms: int


@dataclass(frozen=True, eq=False)
class Register:
    """Enrolled writers, by what one network makes of their pages.

    Attributes:
        source: of that network, and of how it describes pages; others cannot be compared.
        pages: of all of them.
        descriptors: (n_pages, n_dimensions), each of length 1.
    """

    source: str
    pages: tuple[EnrolledPage, ...]
    descriptors: Descriptors

    @cached_property
    def writer_ids(self) -> tuple[str, ...]:
        """The enrolled writers, in the order in which they came."""
        return tuple(dict.fromkeys(page.writer_id for page in self.pages))

    def pages_of(self, writer_id: str) -> tuple[EnrolledPage, ...]:
        """The pages of a writer."""
        return tuple(page for page in self.pages if page.writer_id == writer_id)

    @property
    def centres(self) -> Descriptors:
        """The mean descriptor of each writer's pages: (n_enrolled, n_dimensions)."""
        owner = np.array([self.writer_ids.index(page.writer_id) for page in self.pages], dtype=np.int64)
        rows = [describe_patches(self.descriptors[owner == number]) for number in range(len(self.writer_ids))]
        return np.array(rows, np.float32).reshape(len(rows), self.descriptors.shape[1])

    def with_pages(self, pages: Sequence[EnrolledPage], descriptors: NDArray[np.floating]) -> "Register":
        """Add pages; one that is there already takes the place of its older self.

        Args:
            pages: with their writers.
            descriptors: (n_pages, n_dimensions), each of length 1.
        """
        new = {(page.writer_id, page.page) for page in pages}
        kept = [number for number, page in enumerate(self.pages) if (page.writer_id, page.page) not in new]
        rows = np.concatenate([self.descriptors[kept], descriptors.astype(np.float32)]) if kept else descriptors
        return Register(self.source, (*(self.pages[number] for number in kept), *pages), rows.astype(np.float32))

    def without(self, writer_ids: Collection[str]) -> "Register":
        """All but these writers."""
        kept = [number for number, page in enumerate(self.pages) if page.writer_id not in writer_ids]
        return Register(self.source, tuple(self.pages[number] for number in kept), self.descriptors[kept])

    def save(self, path: Path) -> None:
        """Write a compressed NumPy archive without pickles."""
        words = {"format": _FORMAT, "source": self.source, "pages": [asdict(page) for page in self.pages]}
        np.savez_compressed(path, descriptors=self.descriptors, words=np.array(json.dumps(words)))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            RegistryError: if the file is missing, damaged or of another format.
        """
        try:
            with np.load(path, allow_pickle=False) as kept:
                words = json.loads(str(kept["words"]))
                if words["format"] != _FORMAT:
                    raise ValueError(f"its format is {words['format']}, and not {_FORMAT}")
                pages = tuple(EnrolledPage(**page) for page in words["pages"])
                return cls(words["source"], pages, kept["descriptors"])
        except UNREADABLE as error:
            raise RegistryError(f"The register of hands {path} cannot be read ({error}). Enrol again.") from error
