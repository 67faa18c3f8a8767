"""A division of a corpus, as a file that can be read, compared and trusted.

A division may leak on purpose, and then says so: lines or patches of the same pages lie in training
and in validation. Published scores are often of such divisions: cut patches out of all images at
random, then divide the patches. What validation then sees are the same strokes, a few pixels aside.
Here a leaky division by patch does the same: every line is trained on, a random share of its
offsets is held back, and validation patches are of these. They overlap with training patches as in
the published recipe.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from core.corpora.index import Choice, CorpusIndex, ExcludedWriter
from core.durable_files import write_atomically
from core.errors import SplitError
from core.splits.settings import LeakyUnit

Subset = Literal["train", "validation", "test"]
SUBSETS: tuple[Subset, ...] = ("train", "validation", "test")
_FORMAT = 1


@dataclass(frozen=True)
class SplitManifest:
    """Which image is in which subset.

    Attributes:
        corpus: the name of the corpus.
        unit: what was not divided: the page, or the image where the corpus has no pages.
        writer_ids: the writers in the order of a model's classes; those of training.
        train: image ids, in the order of the corpus.
        validation: likewise.
        test: likewise; sealed until promotion.
        excluded_writers: the writers that are in no subset, because they have too few pages for all
            of them.
        settings: the settings that the division was made with.
        choice: who takes part, and whom and what that excludes; `None` where all do.
        leaky: how lines or patches of the same images are dealt out; then `train` and `validation`
            are the same images. `None` for every honest division.

    Raises:
        SplitError: at construction, if an image is in two subsets or twice in one.
    """

    corpus: str
    unit: Literal["page", "image"]
    writer_ids: tuple[str, ...]
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    excluded_writers: tuple[ExcludedWriter, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    choice: Choice | None = None
    leaky: "LeakyDeal | None" = None

    def __post_init__(self) -> None:
        """Refuse overlap."""
        subset_of: dict[str, Subset] = {}
        if self.leaky is not None and self.train != self.validation:
            raise SplitError("A leaky division deals out the images that it trains on, but has others in validation.")
        for subset in self._disjoint_subsets:
            for image_id in self.image_ids(subset):
                if image_id in subset_of:
                    raise SplitError(
                        f"An image must be once in one subset, but {image_id!r} is in {subset_of[image_id]} and in "
                        f"{subset}."
                    )
                subset_of[image_id] = subset

    def image_ids(self, subset: Subset) -> tuple[str, ...]:
        """The images of a subset."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[subset]

    def leak(self, subset: Subset) -> "LeakySubset | None":
        """Which lines and patches of its images a subset has; `None` where it has all of them."""
        return None if self.leaky is None or subset == "test" else self.leaky.subset(subset)

    @property
    def divided_by(self) -> str:
        """What was dealt out, in words, such as `page`, `page (fold 2 of 5)` or `patch (leaky)`."""
        if self.leaky is not None:
            return f"{self.leaky.by} (leaky)"
        if self.settings.get("lists"):
            return f"{self.unit} (lists)"
        if folds := self.settings.get("folds"):
            return f"{self.unit} (fold {folds['fold']} of {folds['n']})"
        kind = self.settings.get("kind", "page")
        return self.unit if kind == "page" else f"{kind} and {self.unit}" if kind == "text" else kind

    @property
    def has_unseen_writers(self) -> bool:
        """Whether validation and test are of writers that training has not seen."""
        return bool(self.settings.get("kind") == "writer")

    @property
    def warning(self) -> str:
        """What everyone who sees a score of this division must know; empty for every honest one."""
        if self.leaky is None:
            return ""
        what = "lines of the same pages" if self.unit == "page" else "the same images"
        if self.leaky.by == "patch":
            what = "the same lines, and overlap"
        return (
            f"Leaky split by {self.leaky.by}: training and validation {self.leaky.by}"
            f"{'es come from' if self.leaky.by == 'patch' else 's are'} {what}. "
            "The scores say nothing about new pages."
        )

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the content: equal divisions have equal hashes, on any machine."""
        return _sha256(self._content())

    @property
    def test_hash(self) -> str:
        """SHA-256 (hex) of the corpus's name and the set of test images: what the test access log
        counts by.
        """
        return _sha256({"corpus": self.corpus, "test": sorted(self.test)})

    def check_fits(self, index: CorpusIndex) -> None:
        """Refuse a corpus that has changed since: images gone, or a page that lies in two subsets.

        Raises:
            SplitError: if so.
        """
        page_of = {image.image_id: image.group_id for image in index.images}
        subset_of_page: dict[str, Subset] = {}
        for subset in self._disjoint_subsets:
            gone = [image_id for image_id in self.image_ids(subset) if image_id not in page_of]
            if gone:
                raise SplitError(
                    f"The corpus must hold every image of the split, but {len(gone)} of its {subset} images are not in "
                    f"{index.name!r} below {index.root}, such as {gone[:3]}. Put them back, or start a new sweep."
                )
            for image_id in self.image_ids(subset):
                page = page_of[image_id]
                if subset_of_page.setdefault(page, subset) != subset:
                    raise SplitError(
                        f"A page must lie in one subset, but {page!r} is in {subset_of_page[page]} and in {subset}."
                    )

    def save(self, path: Path) -> None:
        """Write the manifest as JSON that people can read; the file appears whole or not at all."""
        content = {"hash": self.hash, "test_hash": self.test_hash, **self._content()}
        write_atomically(path, f"{json.dumps(content, indent=1, ensure_ascii=False)}\n".encode())

    @classmethod
    def load(cls, path: Path) -> "SplitManifest":
        """Read a manifest.

        Raises:
            SplitError: if the file is missing or no manifest, if an image is in two subsets, or if
                it was edited.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            manifest = cls(
                corpus=content["corpus"],
                unit=content["unit"],
                writer_ids=tuple(content["writer_ids"]),
                train=tuple(content["train"]),
                validation=tuple(content["validation"]),
                test=tuple(content["test"]),
                excluded_writers=tuple(ExcludedWriter(**writer) for writer in content["left_out"]),
                settings=content["settings"],
                choice=Choice.from_json(content["choice"]) if "choice" in content else None,
                leaky=LeakyDeal(**content["leaky"]) if "leaky" in content else None,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SplitError(f"{path} must be a split manifest, but cannot be read as one ({error!r}).") from error
        except SplitError as error:
            raise SplitError(f"{path}: {error} Make the split again.") from error
        if manifest.hash != content.get("hash"):
            raise SplitError(
                f"A split manifest must not be edited, but the content of {path} has hash {manifest.hash} and says "
                f"{content.get('hash')}. Make the split again with `whosehand data split`."
            )
        return manifest

    @property
    def _disjoint_subsets(self) -> tuple[Subset, ...]:
        return SUBSETS if self.leaky is None else ("train", "test")

    def _content(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "corpus": self.corpus,
            "unit": self.unit,
            "n_images": {subset: len(self.image_ids(subset)) for subset in SUBSETS},
            "settings": dict(self.settings),
            # Only where there is something to say, so that older manifests keep their hash.
            **({} if self.choice is None else {"choice": self.choice.as_json()}),
            **({} if self.leaky is None else {"warning": self.warning, "leaky": self.leaky.as_json()}),
            "writer_ids": list(self.writer_ids),
            "left_out": [asdict(writer) for writer in self.excluded_writers],  # 0.1's key: it is hashed
            **{subset: list(self.image_ids(subset)) for subset in SUBSETS},
        }


class Line(Protocol):
    """What of a stored line decides where it goes."""

    @property
    def image_id(self) -> str:
        """The text image that it comes from."""
        ...

    @property
    def line_number(self) -> int:
        """Its place on that image."""
        ...

    @property
    def writer_id(self) -> str:
        """Who wrote it."""
        ...


@dataclass(frozen=True)
class LeakyDeal:
    """How the lines or patches of the pages that are not sealed are dealt out.

    Attributes:
        by: what is dealt out.
        validation: the share of each writer's lines that validation has; by patch, also the share
            of each line's offsets that is held back from training.
        seed: which ones.
    """

    by: LeakyUnit
    validation: float
    seed: int

    def subset(self, subset: Literal["train", "validation"]) -> "LeakySubset":
        """One side of it."""
        return LeakySubset(self, subset)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"by": self.by, "validation": self.validation, "seed": self.seed}


@dataclass(frozen=True)
class LeakySubset:
    """The lines and offsets that one subset has."""

    deal: LeakyDeal
    subset: Literal["train", "validation"]

    def choose(self, lines: Sequence[Line]) -> NDArray[np.bool_]:
        """Mark the lines that are in this subset; all lines of both subsets must be given, in any
        order.

        By line those of validation are in validation alone; by patch they are in both.
        """
        validates = np.zeros(len(lines), dtype=np.bool_)
        own: dict[str, list[int]] = {}
        for place, line in enumerate(lines):
            own.setdefault(line.writer_id, []).append(place)
        for places in own.values():
            ranked = sorted(places, key=lambda place: self._digest(lines[place]))
            n = max(1, round(self.deal.validation * len(places)))
            # One line alone can be divided by patch only; by line it is trained on.
            validates[ranked[: n if self.deal.by == "patch" else min(n, len(places) - 1)]] = True
        if self.subset == "validation":
            return validates
        return np.ones(len(lines), dtype=np.bool_) if self.deal.by == "patch" else ~validates

    def offsets(self, line: Line, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Mark the offsets of a line that are in this subset.

        Args:
            line: the line.
            shape: (n_tops, n_lefts).

        Returns:
            Of that shape. By patch each offset is in one subset, at least one in each; a line with
            a single offset has it in both, because it cannot be divided.
        """
        n = int(np.prod(shape))
        if self.deal.by == "line" or n == 1:
            return np.ones(shape, dtype=np.bool_)
        n_held = min(max(1, round(self.deal.validation * n)), n - 1)
        is_held = np.zeros(n, dtype=np.bool_)
        is_held[np.random.default_rng(list(self._digest(line))).permutation(n)[:n_held]] = True
        return (is_held if self.subset == "validation" else ~is_held).reshape(shape)

    def _digest(self, line: Line) -> bytes:
        return hashlib.sha256(f"{self.deal.seed} {line.line_number} {line.image_id}".encode()).digest()


def _sha256(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()
