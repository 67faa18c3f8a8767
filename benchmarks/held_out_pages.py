"""Pages by writers that a network never saw: corpora of pages, folds by writer, and each fold's
network, trained once, with the embeddings of its pages kept on the disk.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.lbp_retrieval import describe_pages
from benchmarks.report import notes
from benchmarks.trainings import PLAIN, Training
from core.corpora.settings import DhsdSettings, HandsSettings
from core.lines.source import LineSource, StoredLine
from core.retrieval.page_embeddings import EmbeddedPage, JoinedLines, embed_pages
from core.scoring.mean_scores import FloatArray
from core.settings import PatchSettings
from core.training.plan import EpochRecord, FitPlan, Monitor, choose_precision
from search.cli.common import progress_bar
from search.executors.machine import count_cores
from search.experiment.experiment import Experiment
from search.experiment.settings import BudgetSettings
from search.experiment.workspace import Workspace
from search.sweep.preparation import read_corpus

N_EPOCHS = 4
_N_JOINED = 10  # words to an artificial page
Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def fade(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pale ink on uneven contrast: 45 % of the blackness, and thin strokes paler still."""
    blackness = 1 - pixels / 255.0
    return np.rint(255 * (1 - 0.45 * blackness**1.6)).astype(np.uint8)


def binarise(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Ink or paper, by Otsu's threshold of the line."""
    return np.asarray(cv2.threshold(pixels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1], dtype=np.uint8)


CHANGES: Mapping[str, Change | None] = {"as they are": None, "binarised": binarise, "faded": fade}
"""What is done to the pixels of pages that are searched: another pen, another scanner."""


class ChangedLines:
    """A line source whose pixels are changed; where patches are cut stays as it was.

    Attributes:
        height_px: of every line.
        lines: as they were.
    """

    def __init__(self, lines: LineSource, change: Change) -> None:
        self._lines, self._change = lines, change
        self.height_px, self.lines = lines.height_px, lines.lines

    def pixels(self, line: int) -> NDArray[np.uint8]:
        """The pixels of a line, (height_px, width_px), 255 is paper."""
        return self._change(self._lines.pixels(line))

    def n_ink(self, line: int) -> NDArray[np.int32]:
        """The count of ink pixels left of each column before the change, (width_px + 1,)."""
        return self._lines.n_ink(line)

    def kept_arrays(self, about: Mapping[str, object]) -> None:
        """Nothing: what is kept is of the pixels as they were."""


@dataclass(frozen=True, eq=False)
class PageCorpus:
    """Pages whose writers are known.

    Attributes:
        name: of the corpus.
        lines: on pages.
        image_ids: that the pages are made of.
        identity: of lines and pages, for the names of files that depend on them.
    """

    name: str
    lines: LineSource
    image_ids: tuple[str, ...]
    identity: str

    def images_of(self, writers: Sequence[str], most_pages: int | None = None) -> list[str]:
        """The images of some writers, or of the first pages of each."""
        wanted, on_page, pages = set(writers), set(self.image_ids), dict[str, dict[str, list[StoredLine]]]()
        for line in self.lines.lines:
            if line.writer_id in wanted and line.image_id in on_page:
                pages.setdefault(line.writer_id, {}).setdefault(line.group_id, []).append(line)
        chosen = (lines for own in pages.values() for lines in list(own.values())[:most_pages])
        return list(dict.fromkeys(line.image_id for lines in chosen for line in lines))

    @property
    def writer_ids(self) -> list[str]:
        """All writers, sorted."""
        on_page = set(self.image_ids)
        return sorted({line.writer_id for line in self.lines.lines if line.image_id in on_page})


@dataclass(frozen=True)
class Fold:
    """Writers who train, who calibrate and who are looked for; nobody is in two of these.

    Attributes:
        train: the network, and whatever a descriptor learns, are from their pages.
        calibrate: likelihood ratios are from their pages.
        test: their pages are scored.
    """

    train: tuple[str, ...]
    calibrate: tuple[str, ...]
    test: tuple[str, ...]


def read_hands(n_writers: int, n_pages: int, seed: int = 0) -> PageCorpus:
    """Generated handwriting, pages of four lines."""
    settings = HandsSettings(n_writers=n_writers, n_pages=n_pages, n_lines=4, seed=seed)
    store, _ = _read(Experiment(name="benchmark", corpus=settings, budget=BudgetSettings(trials=1)))
    ids = tuple(dict.fromkeys(line.image_id for line in store.lines))
    return PageCorpus("hands", store, ids, f"hands {store.folder.name}")


def read_dhsd(root: Path, seed: int = 0) -> PageCorpus:
    """DHSD's words, ten of a writer to an artificial page; its test words stay sealed."""
    experiment = Experiment(name="benchmark", corpus=DhsdSettings(root=root), budget=BudgetSettings(trials=1))
    store, index = _read(experiment)
    is_open = [image.image_id for image in index.images if image.official_split == "train"]
    joined = JoinedLines(store, is_open, _N_JOINED, seed)
    return PageCorpus("dhsd", joined, joined.image_ids, f"dhsd {_N_JOINED} {seed} {store.folder.name}")


def hands_folds(n_train: int, n_calibrate: int, n_test: int) -> list[Fold]:
    """One fold of generated writers, who are all drawn alike."""
    names = [f"{writer:03d}" for writer in range(n_train + n_calibrate + n_test)]
    stop = n_train + n_calibrate
    return [Fold(tuple(names[:n_train]), tuple(names[n_train:stop]), tuple(names[stop:]))]


def rotating_folds(writers: Sequence[str], n_folds: int, seed: int = 0) -> list[Fold]:
    """Each writer is looked for in one fold, calibrates the next, and trains the others."""
    dealt = np.random.default_rng(seed).permutation(list(writers)).tolist()
    parts = [tuple(dealt[fold::n_folds]) for fold in range(n_folds)]
    folds = []
    for fold in range(n_folds):
        test, calibrate = parts[fold], parts[(fold + 1) % n_folds]
        train = [writer for writer in dealt if writer not in test and writer not in calibrate]
        folds.append(Fold(tuple(train), calibrate, test))
    return folds


class FoldPages:
    """The pages of a fold in the embedding of its network, made once and kept.

    Args:
        corpus: of the fold.
        fold: its writers.
        n_patches: that the network is trained on.
        per_page: most patches of a page that are embedded.
        folder: where network and embeddings are kept.
        seed: of network and patches.
        training: how the network is trained.
    """

    def __init__(
        self,
        corpus: PageCorpus,
        fold: Fold,
        n_patches: int,
        per_page: int,
        folder: Path,
        seed: int = 0,
        training: Training = PLAIN,
    ) -> None:
        self.corpus, self.fold, self._per_page, self._seed = corpus, fold, per_page, seed
        self._training = training
        self._patches = PatchSettings(patches_per_epoch=n_patches // N_EPOCHS, size_px=training.size_px)
        self._folder = folder
        what = {
            "corpus": corpus.identity,
            "train": fold.train,
            "point": training.point.as_identity(),
            "patches": self._patches.model_dump(mode="json"),
            "epochs": N_EPOCHS,
            "seed": seed,
            "precision": choose_precision(),
            **({} if training == PLAIN else {"training": training.as_dict()}),
        }
        self.key = _hash(what)
        self._embedder: Any = None

    def embeddings(
        self,
        writers: Sequence[str],
        change: str = "as they are",
        of: PageCorpus | None = None,
        most_pages: int | None = None,
    ) -> list[EmbeddedPage]:
        """The pages of some writers.

        Args:
            writers: whose.
            change: what is done to their pixels, a name of `CHANGES`.
            of: their corpus, where it is another one.
            most_pages: the first so many of each writer; all if not given.
        """
        corpus = of or self.corpus
        what = {
            "network": self.key,
            "corpus": corpus.identity,
            "writers": sorted(writers),
            "change": change,
            "patches": [self._per_page, most_pages],
        }
        path = self._folder / f"pages-{_hash(what)}.npz"
        if not path.exists():
            started = time.perf_counter()
            lines, ids = _changed(corpus, change), corpus.images_of(writers, most_pages)
            pages = list(embed_pages(lines, ids, self._patches, self._per_page, self._network()))
            _save(pages, path)
            notes.print(f"  {len(pages)} pages of {corpus.name}, {change}: {time.perf_counter() - started:.0f} s")
        return _load(path)

    def _network(self) -> Any:
        # TensorFlow takes seconds, and where all is kept it is not needed.
        import core.networks.quiet_tensorflow  # noqa: F401

        # isort: split
        from benchmarks.margin import with_cosines
        from core.networks.inference import Embedder
        from core.networks.model import build_model

        if self._embedder is None:
            path = self._folder / f"network-{self.key}.weights.h5"
            shape, n_writers = (self._patches.size_px,) * 2 + (1,), len(self.fold.train)
            model = build_model(self._training.point, shape, n_writers, self._seed)
            if self._training.margin:
                model = with_cosines(model, n_writers, self._seed)
            if not path.exists():
                self._train(model)
                path.parent.mkdir(parents=True, exist_ok=True)
                model.save_weights(path)
            model.load_weights(path)
            self._embedder = Embedder(model)
        return self._embedder

    def _train(self, model: Any) -> None:
        from benchmarks.margin import margin_in_loss
        from core.training.fit import fit

        images = self.corpus.images_of(self.fold.train)
        feed = self._training.feed(self.corpus.lines, images, self.fold.train, self._patches, self._seed)
        epochs: list[EpochRecord] = []

        def note(record: EpochRecord) -> bool:
            epochs.append(record)
            return True

        monitor = Monitor("epochs", "maximize")  # the last epoch is the best
        plan = FitPlan(self._training.point, monitor, N_EPOCHS, checkpoint_dir=None, seed=self._seed)
        with margin_in_loss(self._training.margin):
            fit(model, feed, lambda _: {"epochs": float(len(epochs))}, plan, note)
        spent_s, n = sum(record.duration_s for record in epochs), sum(record.n_patches for record in epochs)
        top1 = epochs[-1].metrics["train/top1"]
        notes.print(f"  trained on {n:,} patches of {len(self.fold.train)} writers: {spent_s:.0f} s, top-1 {top1:.1%}")


def alternating(first: Sequence[EmbeddedPage], second: Sequence[EmbeddedPage]) -> list[EmbeddedPage]:
    """Of each writer's pages the first, third, ... of one kind and the others of the other kind."""
    n_before: dict[str, int] = {}
    chosen = []
    for one, other in zip(first, second, strict=True):
        place = n_before.get(one.writer_id, 0)
        n_before[one.writer_id] = place + 1
        chosen.append(other if place % 2 else one)
    return chosen


def configure() -> None:
    """Set up TensorFlow for all networks of a process."""
    from core.training.fit import configure_tensorflow

    configure_tensorflow(count_cores(), choose_precision(), seed=0)


def binary_patterns(corpus: PageCorpus, folder: Path) -> "Described":
    """Local binary patterns of all pages, made once and kept; they need no network."""
    path = folder / f"lbp-{_hash({'lbp': 1, 'corpus': corpus.identity})}.npz"
    if not path.exists():
        started = time.perf_counter()
        descriptors, owners = describe_pages(corpus.lines, corpus.image_ids)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, descriptors=descriptors.astype(np.float32), writers=np.array(owners))
        notes.print(f"  local binary patterns of {len(owners)} pages: {time.perf_counter() - started:.0f} s")
    with np.load(path) as kept:
        return Described(kept["descriptors"], kept["writers"].tolist())


@dataclass(frozen=True, eq=False)
class Described:
    """Pages as vectors.

    Attributes:
        descriptors: (n_pages, n_dimensions), each row of length 1.
        writers: of each page.
    """

    descriptors: NDArray[np.float32] | FloatArray
    writers: list[str]

    def of(self, writers: Sequence[str]) -> "Described":
        """Those of some writers."""
        chosen = np.array([writer in set(writers) for writer in self.writers])
        return Described(self.descriptors[chosen], [writer for writer in self.writers if writer in set(writers)])


def _read(experiment: Experiment) -> Any:
    with progress_bar(f"reading {experiment.handwriting.layout}") as advance:
        corpus = read_corpus(experiment, Workspace(Path.cwd()), advance)
    return corpus.store, corpus.index


def _changed(corpus: PageCorpus, change: str) -> LineSource:
    made = CHANGES[change]
    return corpus.lines if made is None else ChangedLines(corpus.lines, made)


def _save(pages: Sequence[EmbeddedPage], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        embeddings=np.concatenate([page.embeddings for page in pages]),
        lengths=np.array([len(page.embeddings) for page in pages]),
        pages=np.array([page.page_id for page in pages]),
        writers=np.array([page.writer_id for page in pages]),
    )
    partial.rename(path)


def _load(path: Path) -> list[EmbeddedPage]:
    with np.load(path) as kept:
        parts = np.split(kept["embeddings"], np.cumsum(kept["lengths"])[:-1])
        named = zip(kept["pages"].tolist(), kept["writers"].tolist(), parts, strict=True)
        return [EmbeddedPage(*page) for page in named]


def _hash(what: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
