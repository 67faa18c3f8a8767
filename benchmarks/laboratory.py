"""Fits on validation pages whose results are kept: the same command goes on where it was."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kept_results import KeptResults
from benchmarks.report import notes
from benchmarks.validation_fit import ValidationFit, run_in_own_process
from core.corpora.hands import GENERATOR_VERSION
from core.corpora.settings import DhsdSettings, HandsSettings
from core.networks.hyperparameters import Hyperparameters
from core.settings import PatchSettings
from core.splits.manifest import SplitManifest
from search.cli.common import progress_bar
from search.experiment.experiment import Experiment
from search.experiment.settings import BudgetSettings
from search.experiment.workspace import Workspace
from search.sweep.preparation import PreparedCorpus, prepare_corpus, save_split


@dataclass(frozen=True)
class NamedCorpus:
    """A prepared corpus, its split on the disk, and what says which corpus it is."""

    name: str
    corpus: PreparedCorpus
    split: Path
    identity: Mapping[str, Any]


@dataclass(frozen=True)
class Laboratory:
    """Runs what is not yet in the file of results.

    Attributes:
        results: kept so far.
        threads: of TensorFlow.
        precision: of TensorFlow.
        seed: of all fits.
        folder: for the splits.
    """

    results: KeptResults
    threads: int
    precision: str
    seed: int
    folder: Path

    def prepare(
        self,
        name: str,
        settings: HandsSettings | DhsdSettings,
        train_images: int | None = None,
        train_pages: int | None = None,
    ) -> NamedCorpus:
        """Index, split and line store below the current folder.

        Args:
            name: for the reader.
            settings: of the corpus.
            train_images: leave each writer so many images to train on, drawn at random; `None` for
                all.
            train_pages: leave each writer so many whole pages to train on, the first ones; `None`
                for all.
        """
        experiment = Experiment(name="benchmark", corpus=settings, budget=BudgetSettings(trials=1))
        with progress_bar(f"reading text lines of {name}") as advance:
            corpus = prepare_corpus(experiment, Workspace(Path.cwd()), advance)
        notes.print(f"{name} is ready")
        if train_images is not None:
            corpus = replace(corpus, manifest=_thinned(corpus, train_images))
        if train_pages is not None:
            corpus = replace(corpus, manifest=_with_pages(corpus, train_pages))
        split = save_split(corpus.manifest, self.folder / f"{name}-{corpus.manifest.hash[:12]}")
        # The line store's name is a hash of the images and the ink settings.
        identity = {"corpus": name, "split": corpus.manifest.hash, "store": corpus.store.folder.name}
        if isinstance(settings, HandsSettings):
            identity["generator"] = str(GENERATOR_VERSION)
        return NamedCorpus(name, corpus, split, identity)

    def fit(
        self,
        corpus: NamedCorpus,
        point: Hyperparameters,
        n_patches: int,
        n_epochs: int,
        seed: int | None = None,
        begins_with: Path | None = None,
        leaves: Path | None = None,
    ) -> dict[str, Any]:
        """Scores of a fit of `n_epochs` epochs of `n_patches`; see
        `benchmarks.validation_fit.run`. The names of the files of weights say what made them.
        """
        seed = self.seed if seed is None else seed
        patches = PatchSettings(patches_per_epoch=n_patches, per_image_at_validation=8)
        store = corpus.corpus.store.folder
        machine = self.threads, self.precision
        fit = ValidationFit(
            store, corpus.split, patches, point.as_dict(), n_epochs, *machine, seed, begins_with, leaves
        )
        what = {
            **corpus.identity,
            "patches": patches.model_dump(mode="json"),
            "hyperparameters": point.as_identity(),
            "n_epochs": n_epochs,
            "precision": self.precision,
            "seed": seed,
            **({} if begins_with is None else {"begins_with": begins_with.name}),
            **({} if leaves is None else {"leaves": leaves.name}),
        }
        result: dict[str, Any] = self.results.get_or_make(what, lambda: run_in_own_process(fit))
        return result


def _thinned(corpus: PreparedCorpus, n: int) -> SplitManifest:
    """The same division with at most `n` images a writer to train on."""
    writer_of = {image.image_id: image.writer_id for image in corpus.index.images}
    order = np.random.default_rng(0).permutation(len(corpus.manifest.train))
    kept: dict[str, set[str]] = {}
    for image_id in (corpus.manifest.train[place] for place in order):
        chosen = kept.setdefault(writer_of[image_id], set())
        if len(chosen) < n:
            chosen.add(image_id)
    every = set().union(*kept.values())
    return replace(corpus.manifest, train=tuple(image_id for image_id in corpus.manifest.train if image_id in every))


def _with_pages(corpus: PreparedCorpus, n: int) -> SplitManifest:
    """The same division with the first `n` training pages of each writer."""
    train = set(corpus.manifest.train)
    pages: dict[str, dict[str, None]] = {}
    for image in corpus.index.images:
        if image.image_id in train:
            pages.setdefault(image.writer_id, {})[image.group_id] = None
    kept = {(writer_id, page) for writer_id, of_writer in pages.items() for page in list(of_writer)[:n]}
    chosen = {image.image_id for image in corpus.index.images if (image.writer_id, image.group_id) in kept}
    return replace(corpus.manifest, train=tuple(image for image in corpus.manifest.train if image in chosen))
