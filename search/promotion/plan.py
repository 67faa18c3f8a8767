"""What a promotion will do: found out, and said, before anything is trained, opened or
registered.
"""

from dataclasses import dataclass
from pathlib import Path

from core.errors import RegistryError
from core.lines.reading import ProgressCallback
from core.retrieval.counted_pages import pages_by_writer
from core.splits.cross_fitting import cross_fits
from core.splits.manifest import SplitManifest
from core.wording import counted, ordinal
from search.experiment.experiment import Experiment
from search.experiment.mlflow_names import check_model_name
from search.experiment.settings import RefitPages
from search.experiment.workspace import Workspace, git_commit, whosehand_version
from search.ledger.access_log import SealedTestSet
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.promotion.examination import kept_scores, pages_to_compare
from search.promotion.fit_parts import ALL_BUT_TEST
from search.promotion.found_pages import too_few_writers
from search.promotion.gate import GUESSING_ALPHA, corpus_key, too_few_to_tell
from search.promotion.length import RefitLength, refit_length
from search.promotion.refit import PACKED_FILE, refit_folder
from search.promotion.tested_images import page_of
from search.sweep.finalists import choose_trial
from search.sweep.known_sweeps import KnownSweep, read_sweep
from search.sweep.preparation import PreparedCorpus, prepare_corpus
from search.sweep.unseen_writers import images_per_page
from search.tracking.project_place import refuse_shared
from search.tracking.registry import CHAMPION, download_model, find_alias
from search.tracking.store import TrackingStore, open_store


@dataclass(frozen=True)
class PromotionChoice:
    """What a user may choose otherwise than the sweep and its file say.

    Attributes:
        trial: number of the trial; `None` for the best.
        model: registered name; `None` for the experiment's.
        epochs: of the refit; `None` for the experiment's.
        minutes: of the refit, instead of epochs; `None` for the experiment's.
        members: of the refit, each under a seed of its own; `None` for the experiment's.
        refit: pages that it trains on, `train` or `all_but_test`; `None` for the experiment's.
        accept: make it champion where the test pages are too few to tell whether it is better than
            guessing.
    """

    trial: int | None = None
    model: str | None = None
    epochs: int | None = None
    minutes: float | None = None
    accept: bool = False
    members: int | None = None
    refit: RefitPages | None = None


@dataclass(frozen=True)
class PromotionJob:
    """What is to be promoted, and where to.

    Attributes:
        sweep: as its ledger has it.
        trial: chosen.
        rule: why that one, in words.
        length: of the refit.
        name: of the registered model.
        store: where the registry is.
        corpus: with the split.
        workspace: of the sweep.
        accept: see `PromotionChoice`.
        cross_fits: divisions that each hold out some of the training and validation pages; empty
            where the refit trains on training pages.
    """

    sweep: KnownSweep
    trial: TrialRecord
    rule: str
    length: RefitLength
    name: str
    store: TrackingStore
    corpus: PreparedCorpus
    workspace: Workspace
    accept: bool = False
    cross_fits: tuple[SplitManifest, ...] = ()

    @property
    def epochs(self) -> int:
        """Of the refit."""
        return self.length.epochs

    @property
    def folder(self) -> Path:
        """Of the refit, and of what is made of it."""
        part = ALL_BUT_TEST if self.cross_fits else ""
        number, length = self.trial.number, self.length
        return refit_folder(self.workspace, self.experiment, number, length.epochs, length.members, part)

    @property
    def is_packed(self) -> bool:
        """Whether the refit has become a model before."""
        return (self.folder / PACKED_FILE).exists()

    @property
    def experiment(self) -> Experiment:
        """Of the sweep, with today's promotion settings where the sweep went on with others."""
        return self.sweep.experiment

    def test_set(self, planned_ms: int | None = None) -> SealedTestSet:
        """The sealed test set, not opened yet; see `SealedTestSet` for the argument."""
        pages = " on all but test pages" if self.cross_fits else ""
        return SealedTestSet(
            self.workspace.access_log,
            self.corpus.manifest.test_hash,
            f"promote {self.experiment.name} trial {self.trial.number}, {self.length.size()}{pages}",
            git_commit(self.workspace.root),
            planned_ms,
        )

    def run_tags(self) -> dict[str, str]:
        """Tags of the refit's run that say on which pages it trained, where these are not those of
        training alone.
        """
        if not self.cross_fits:
            return {}
        of = f"out-of-fold answers of {counted(len(self.cross_fits), 'cross-fit')}"
        return {"refit": "all_but_test: training and validation pages", "calibrated_on": of}

    def lineage(self) -> dict[str, str | int | float]:
        """Tags that say what a version is."""
        manifest = self.corpus.manifest
        return {
            "sweep": self.experiment.name,
            "sweep_id": self.sweep.created.sweep_id,
            "trial": self.trial.number,
            "refit_epochs": self.epochs,
            **({"members": self.length.members} if self.length.members > 1 else {}),
            **({"refit": "all_but_test"} if self.cross_fits else {}),
            "seed": self.experiment.seed,
            "split_hash": manifest.hash,
            "test_hash": manifest.test_hash,
            "corpus_key": corpus_key(self.experiment),
            "version": whosehand_version(),
            "git_commit": git_commit(self.workspace.root),
        }


def prepare_promotion(
    sweep_name: str, workspace: Workspace, choice: PromotionChoice, on_progress: ProgressCallback | None = None
) -> PromotionJob:
    """Find out what is to be promoted; nothing is trained, opened or registered.

    Raises:
        LedgerError: if there is no such sweep.
        RegistryError: if the sweep's split is leaky, no trial is completed, MLflow allows no such
            name, or the refit cannot train on validation pages.
        SplitError: if it cannot because no writer has two pages beside the test pages.
    """
    sweep = read_sweep(sweep_name, workspace)
    experiment = sweep.experiment
    _refuse_leaky(experiment)
    trial, why = _choose_trial(sweep, choice.trial)
    rule = f"Trial {trial.number} is promoted: {why}."
    _refuse_without_model(experiment, trial)
    name = registered_name(choice, experiment)
    refit = choice.refit or experiment.promotion.refit
    _refuse_cross_fits(experiment, refit)
    refuse_shared(workspace.root, sweep_name)
    store = open_store(experiment.tracking, workspace.root)
    corpus = prepare_corpus(experiment, workspace, on_progress)
    folds = cross_fits(corpus.manifest, corpus.index.images) if refit == "all_but_test" else ()
    length = refit_length(experiment, trial, choice.epochs, choice.minutes, choice.members, len(folds))
    return PromotionJob(sweep, trial, rule, length, name, store, corpus, workspace, choice.accept, folds)


def registered_name(choice: PromotionChoice, experiment: Experiment) -> str:
    """The name to promote under; checked before anything is trained, also where a ledger has it.

    Raises:
        RegistryError: if MLflow allows no such name.
    """
    name = choice.model or experiment.model_name
    try:
        check_model_name(name)
    except ValueError as error:
        raise RegistryError(f"The model's name {error}. Give another one with --model.") from None
    return name


def _refuse_cross_fits(experiment: Experiment, refit: RefitPages) -> None:
    why = experiment.why_no_cross_fits
    if refit == "all_but_test" and why:
        raise RegistryError(
            f"A refit of {experiment.name!r} cannot train on all but the test pages, because {why}. Promote it with "
            "`--refit train`."
        )


def _refuse_leaky(experiment: Experiment) -> None:
    leaky = experiment.split.leaky
    if leaky is not None:
        raise RegistryError(
            f"A model is promoted for what it does on new pages, but the split of {experiment.name!r} is by {leaky} "
            f"(split.leaky: {leaky}): its best trial is the one that knows the same pages best. Run the sweep without "
            "`split.leaky`, under another name, and promote that."
        )


def _refuse_without_model(experiment: Experiment, trial: TrialRecord) -> None:
    """An objective of the user's own may leave no network; the sweep has its best values all the
    same.
    """
    if not experiment.objective.is_own:
        return
    if experiment.corpus is None:
        raise RegistryError(
            f"A promotion makes a model that identifies writers, but {experiment.name!r} searches with "
            f"{experiment.objective.run} and has no `corpus`. Its best values are those of trial {trial.number}: "
            f"{dict(trial.proposed.hyperparameters)}."
        )
    if trial.result is None or trial.result.model is None:
        raise RegistryError(
            f"A promotion needs a model, but {experiment.objective.run} left none in trial {trial.number}. Let it call "
            "`trial.save_model(model)` before it returns, with a Keras network from patches (n, height, width, 1), 0 "
            "ink to 255 paper, to probabilities (n, n_writers) in float32; class k is `trial.corpus.writer_ids[k]`."
        )


def _choose_trial(sweep: KnownSweep, number: int | None) -> tuple[TrialRecord, str]:
    """The trial that was asked for, or the best one, and why."""
    state = sweep.state
    if number is None:
        chosen = choose_trial(sweep)
        if chosen is None:
            raise RegistryError(
                f"A promotion needs a completed trial, but none of the {len(state.trials)} trials of "
                f"{sweep.experiment.name!r} is. Run `whosehand sweep` on it first."
            )
        return chosen.trial, chosen.rule
    if number not in state.trials or state.trials[number].state is not TrialState.COMPLETED:
        completed = [trial.number for trial in state.trials.values() if trial.state is TrialState.COMPLETED]
        raise RegistryError(f"A completed trial can be promoted ({', '.join(map(str, completed))}), but got {number}.")
    return state.trials[number], "it was asked for"


def plan_promotion(job: PromotionJob) -> tuple[str, ...]:
    """Say what would be done, a line for each step."""
    folder, is_there = job.folder, job.is_packed
    manifest, opened = job.corpus.manifest, job.test_set().count()
    fit = "its refit is there already" if is_there else f"its refit would train {job.length.in_words()}"
    if job.length.to_measure:
        shorter = " and ".join(map(str, job.length.to_measure))
        fit += f"; to find out how long it pays, {shorter} epochs would be trained first"
    tested = (
        "their scores are kept from before and they are not opened again"
        if kept_scores(folder)
        else f"this would be the {ordinal(opened + 1)} time these test images are opened"
    )
    n_test = len(manifest.test)
    return (
        job.rule,
        fit,
        *((pages_in_words(job, "it would train"),) if job.cross_fits and not is_there else ()),
        f"{counted(n_test, 'test image')}: {tested}"
        if n_test
        else "the split has no test pages: there would be no score",
        *_too_few(job),
        _champion(job),
        "nothing was trained, opened or registered (--dry-run)",
    )


def pages_in_words(job: PromotionJob, who: str) -> str:
    """What a refit on training and validation pages trains on, and what that costs more.

    Args:
        job: with cross-fits.
        who: begins the sentence, such as `it would train`.
    """
    manifest, length = job.corpus.manifest, job.length
    n_images, n_more = len(manifest.train) + len(manifest.validation), length.n_fits - length.members
    text = (
        f"{who} on training and validation pages, {counted(n_images, 'image')} together. Number of epochs, temperature "
        f"and thresholds come from {counted(length.folds, 'cross-fit')}, in which each of these pages is held out "
        f"once (but a writer's only one): {counted(n_more, 'fit')} more"
    )
    if length.minutes is None:
        return text
    minutes = length.minutes * n_more / length.n_fits
    return f"{text}, about {minutes:.0f} min" if minutes >= 1 else f"{text}, less than a minute"


def _too_few(job: PromotionJob) -> tuple[str, ...]:
    """What the gate will say if even a perfect score could not tell the model from one that
    guesses.
    """
    test = set(job.corpus.manifest.test)
    n_images = images_per_page(job.experiment, job.corpus)
    if n_images is not None and test:
        n_pages = pages_by_writer(job.corpus.store, job.corpus.manifest.test, n_images)
        said = too_few_writers(list(n_pages.elements()), GUESSING_ALPHA)
        return (f"it would become challenger, unless --accept is given: {said}",) if said else ()
    pages = {page_of(image) for image in job.corpus.index.images if image.image_id in test}
    said = too_few_to_tell([writer_id for writer_id, _ in pages], job.corpus.manifest.unit)
    return (f"it would become challenger, unless --accept is given: {said}",) if said else ()


def _champion(job: PromotionJob) -> str:
    champion = find_alias(job.store, job.name, CHAMPION)
    if champion is None:
        return f"{job.name} has no champion yet: only the thresholds of promotion.gate would count"
    try:
        folder = download_model(job.store, champion.location)
    except RegistryError as error:
        return f"version {champion.version} is champion of {job.name}, but cannot be loaded: {error}"
    key, corpus = corpus_key(job.experiment), job.corpus
    common = pages_to_compare(champion, corpus.index.images, corpus.manifest, key, folder)
    if common.refusal:
        return f"it would stay challenger beside version {champion.version} of {job.name}: {common.refusal}"
    return (
        f"it would be compared with the champion of {job.name}, version {champion.version}, on {common.n_pages} test "
        f"{corpus.manifest.unit}s that neither has seen ({common.n_seen} others were seen by the champion)"
    )
