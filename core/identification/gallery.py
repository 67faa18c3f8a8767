"""Training patches that a model shows as examples of each writer's hand, with their points in its
embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from core.errors import RegistryError

GALLERY_FILE = "gallery.npz"
PER_WRITER = 12


@dataclass(frozen=True)
class Gallery:
    """Patches of all writers, of training pages alone.

    Attributes:
        pixels: (n_patches, size_px, size_px), 0 ink to 255 paper.
        classes: (n_patches,) of the writers.
        embeddings: (n_patches, n_dimensions), each row of length 1.
        image_ids: of the image that each patch is from.
    """

    pixels: NDArray[np.uint8]
    classes: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    image_ids: tuple[str, ...]

    def nearest(self, embedding: NDArray[np.float32], writer: int) -> tuple[int, float]:
        """The writer's patch that is most like another one.

        Args:
            embedding: (n_dimensions,) of length 1.
            writer: class of a writer who has patches here.

        Returns:
            Its number, and the cosine of the two: 1 is the same.
        """
        own = np.flatnonzero(self.classes == writer)
        cosines = self.embeddings[own] @ embedding
        best = int(np.argmax(cosines))
        return int(own[best]), float(cosines[best])

    def save(self, path: Path) -> None:
        """Write a compressed NumPy archive without pickles."""
        np.savez_compressed(
            path,
            pixels=self.pixels,
            classes=self.classes,
            embeddings=self.embeddings,
            image_ids=np.array(self.image_ids, dtype=np.str_),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            RegistryError: if the file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as kept:
                image_ids = tuple(str(image_id) for image_id in kept["image_ids"])
                return cls(kept["pixels"], kept["classes"], kept["embeddings"], image_ids)
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise RegistryError(f"The model's {path} cannot be read ({error}). Promote the model again.") from error


def choose_gallery(
    pixels: NDArray[np.uint8],
    classes: NDArray[np.int64],
    embeddings: NDArray[np.float32],
    image_ids: Sequence[str],
    per_writer: int = PER_WRITER,
) -> Gallery:
    """Choose patches that differ as much as can be, so that few show all that a hand does.

    Farthest first (Gonzalez 1985): the patch in the writer's middle, then always the one that is
    least like those chosen.

    Args:
        pixels: (n_patches, size_px, size_px) of candidates.
        classes: (n_patches,) of their writers.
        embeddings: (n_patches, n_dimensions), each row of length 1.
        image_ids: of the candidates.
        per_writer: at most so many of each.
    """
    chosen = np.concatenate(
        [own[_farthest_first(embeddings[own], per_writer)] for own in _by_class(classes)] or [np.empty(0, np.int64)]
    )
    return Gallery(
        pixels[chosen], classes[chosen], embeddings[chosen], tuple(image_ids[number] for number in chosen.tolist())
    )


def _by_class(classes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(classes == number) for number in np.unique(classes)]


def _farthest_first(points: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Numbers of the chosen points; equal ones are chosen once."""
    chosen = [int(np.argmax(points @ points.mean(axis=0)))]
    likeness = points @ points[chosen[0]]
    while len(chosen) < min(n, len(points)):
        next_one = int(np.argmin(likeness))
        if next_one in chosen:
            break
        chosen.append(next_one)
        likeness = np.maximum(likeness, points @ points[next_one])
    return np.array(chosen, dtype=np.int64)
