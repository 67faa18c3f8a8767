"""Generated handwriting to measure with, kept in `data/` like that of a sweep."""

from pathlib import Path

from core.corpora.settings import HandsSettings
from core.patches.plan import PatchSampler
from core.settings import PatchSettings
from search.experiment.experiment import Experiment
from search.experiment.settings import BudgetSettings
from search.experiment.workspace import Workspace
from search.sweep.preparation import PreparedCorpus, prepare_corpus


def hands_experiment(n_writers: int, n_pages: int = 4, n_lines: int = 8) -> Experiment:
    """An experiment with all defaults on generated handwriting."""
    corpus = HandsSettings(n_writers=n_writers, n_pages=n_pages, n_lines=n_lines)
    return Experiment(name="benchmark", corpus=corpus, budget=BudgetSettings(trials=1))


def prepare_hands(n_writers: int, n_pages: int = 4, n_lines: int = 8) -> PreparedCorpus:
    """The corpus of `hands_experiment`, ready to be trained on."""
    return prepare_experiment(hands_experiment(n_writers, n_pages, n_lines))


def prepare_experiment(experiment: Experiment) -> PreparedCorpus:
    """Pages, split and line store below the current folder; made once."""
    return prepare_corpus(experiment, Workspace(Path.cwd()))


def training_sampler(corpus: PreparedCorpus, n_patches: int, seed: int = 0) -> PatchSampler:
    """A sampler of the corpus's training pages with `n_patches` in an epoch."""
    manifest = corpus.manifest
    settings = PatchSettings(patches_per_epoch=n_patches)
    return PatchSampler(corpus.store, manifest.train, manifest.writer_ids, settings, seed)
