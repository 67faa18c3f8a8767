"""From a sweep's best trial to a registered model: refit, sealed test pages, version, alias."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import RegistryError
from core.precision import choose_precision
from core.split import SplitManifest
from search.comparison.finalists import choose_trial
from search.config import Experiment
from search.known_sweeps import read_sweep
from search.launch import local_executor, patch_task, tracked_datasets
from search.patch_task import PatchTask
from search.preparation import prepare_corpus
from search.progress import Progress
from search.promotion.identifier import package_refit
from search.promotion.refit import Refit, run_refit
from search.promotion.registry import RegisteredVersion, crown, register_version
from search.promotion.sealed_test import SCORE_PATCH_CNN, TestScores, kept_scores, open_test_pages
from search.sweep_events import SweepCreated
from search.sweep_state import SweepState, TrialRecord
from search.tracking.store import open_store
from search.tracking.tracker import MlflowTracker
from search.trial import TrialState
from search.version import git_commit, whosehand_version
from search.workspace import Workspace

OnLines = Callable[[int, int], None]


@dataclass(frozen=True)
class PromotionChoice:
    """What a user may choose otherwise than the sweep and its file say.

    Attributes:
        trial: number of the trial; `None` for the best.
        model: registered name; `None` for the experiment's.
        epochs: of the refit; `None` for the experiment's.
    """

    trial: int | None = None
    model: str | None = None
    epochs: int | None = None


@dataclass(frozen=True)
class Promotion:
    """A promoted model.

    Attributes:
        version: in the registry; the champion now.
        former: the champion before, if there was another one.
        refit: the fit that the model is of.
        scores: on the test pages; `None` if the split has none.
        was_opened_before: the scores are of an earlier promotion of the same fit, which is not opened again.
    """

    version: RegisteredVersion
    former: RegisteredVersion | None
    refit: Refit
    scores: TestScores | None
    was_opened_before: bool


def promote(
    sweep_name: str,
    workspace: Workspace,
    choice: PromotionChoice,
    progress: Progress,
    on_lines: OnLines | None = None,
) -> Promotion:
    """Refit the best trial, score it on the sealed test pages once, register it and make it the champion.

    Every step that an earlier call finished is taken as it is, so that an interrupted promotion can be repeated.

    Args:
        sweep_name: of a sweep in this workspace.
        workspace: where.
        choice: otherwise the experiment file counts.
        progress: shows the refit.
        on_lines: called with (images done, images in all) while the line store is built.

    Raises:
        LedgerError: if there is no such sweep.
        RegistryError: if the sweep's split is leaky, no trial is completed, or a step fails.
    """
    sweep = read_sweep(sweep_name, workspace)
    experiment, created = sweep.experiment, sweep.created
    _refuse_leaky(experiment)
    chosen = choose_trial(sweep) if choice.trial is None else None
    if chosen is not None:
        progress.say(f"Trial {chosen.trial.number} is promoted: {chosen.rule}.")
    trial = chosen.trial if chosen else _choose_trial(sweep.state, experiment, choice.trial)
    epochs = choice.epochs or experiment.refit_epochs
    store = open_store(experiment.tracking, workspace.root)
    corpus = prepare_corpus(experiment, workspace, on_lines)
    manifest = corpus.manifest
    # The refit's model is what a promotion is for, also where the sweep keeps none.
    task = replace(patch_task(experiment, corpus, workspace.sweep(experiment.name)), keeps_model=True)
    tracker = MlflowTracker(
        store,
        experiment.name,
        engine="none",
        datasets=tracked_datasets(corpus, with_test=bool(manifest.test)),
        kind=f"refit-{epochs}",
    )
    refit = run_refit(experiment, workspace, created, trial, epochs, task, tracker, progress)
    network = _network(refit, experiment)
    packaged = package_refit(refit, experiment, workspace, corpus, task, network)
    was_opened_before = kept_scores(refit.folder) is not None
    scores = _test_scores(refit, network, experiment, workspace, task, manifest, f"{epochs} epochs")
    lineage = _lineage(experiment, created, trial, epochs, manifest.hash, manifest.test_hash, workspace)
    tags = lineage | _score_tags(refit, scores)
    if scores is not None:
        files = {name: reference.path for name, reference in scores.result.artifacts.items()}
        opened = {"test_openings": str(scores.n_openings)}
        tracker.add_scores(trial.number, scores.result.metrics, files, scores.opened_ms, opened)
    name = choice.model or experiment.model_name
    description = _describe(experiment, trial, epochs, scores)
    model_id = tracker.add_model(trial.number, "identifier", packaged.folder, epochs)
    version = register_version(store, name, model_id, tags, description)
    former = crown(store, name, version.version)
    return Promotion(version, former, refit, scores, was_opened_before)


def _refuse_leaky(experiment: Experiment) -> None:
    leaky = experiment.split.leaky
    if leaky is not None:
        raise RegistryError(
            f"A model is promoted for what it does on new pages, but the split of {experiment.name!r} is by {leaky} "
            f"(split.leaky: {leaky}): its best trial is the one that knows the same pages best. Run the sweep without "
            "`split.leaky`, under another name, and promote that."
        )


def _network(refit: Refit, experiment: Experiment) -> Path:
    if refit.result.model is None:
        raise RegistryError(f"The refit must save its model, but {experiment.objective.run} saved none.")
    return refit.result.model.path


def _test_scores(
    refit: Refit,
    network: Path,
    experiment: Experiment,
    workspace: Workspace,
    task: PatchTask,
    manifest: SplitManifest,
    length: str,
) -> TestScores | None:
    """The refit's scores on the test pages: those of the first opening, or of one now; `None` without test pages."""
    kept = kept_scores(refit.folder)
    if kept is not None or not manifest.test:
        return kept
    return open_test_pages(
        network,
        task,
        manifest.test_hash,
        workspace.openings_file,
        f"promote {experiment.name} trial {refit.trial}, {length}",
        refit.folder,
        local_executor(experiment, SCORE_PATCH_CNN, n_workers=1),
        choose_precision(experiment.training.precision),
        experiment.seed,
    )


def _choose_trial(state: SweepState, experiment: Experiment, number: int | None) -> TrialRecord:
    if number is None:
        best = state.best(experiment.objective.resolved_direction)
        if best is None:
            raise RegistryError(
                f"A promotion needs a completed trial, but none of the {len(state.trials)} trials of "
                f"{experiment.name!r} is. Run `whosehand sweep` on it first."
            )
        return best
    if number not in state.trials or state.trials[number].state is not TrialState.COMPLETED:
        completed = [trial.number for trial in state.trials.values() if trial.state is TrialState.COMPLETED]
        raise RegistryError(f"A completed trial can be promoted ({', '.join(map(str, completed))}), but got {number}.")
    return state.trials[number]


def _lineage(
    experiment: Experiment,
    created: SweepCreated,
    trial: TrialRecord,
    epochs: int,
    split_hash: str,
    test_hash: str,
    workspace: Workspace,
) -> dict[str, str | int | float]:
    return {
        "sweep": experiment.name,
        "sweep_id": created.sweep_id,
        "trial": trial.number,
        "refit_epochs": epochs,
        "seed": experiment.seed,
        "split_hash": split_hash,
        "test_hash": test_hash,
        "version": whosehand_version(),
        "git_commit": git_commit(workspace.root),
    }


def _score_tags(refit: Refit, scores: TestScores | None) -> dict[str, str | int | float]:
    metrics: Mapping[str, float] = {**refit.result.metrics, **(scores.result.metrics if scores else {})}
    tags: dict[str, str | int | float] = {
        name: value for name, value in metrics.items() if name.endswith(("_top1", "_logloss"))
    }
    return tags | ({"test_openings": scores.n_openings} if scores else {})


def _describe(experiment: Experiment, trial: TrialRecord, epochs: int, scores: TestScores | None) -> str:
    head = f"Trial {trial.number} of the sweep {experiment.name}, refitted for {epochs} epochs."
    if scores is None:
        return f"{head} The split has no test pages: there is no score on unseen pages."
    level = "page" if "test/page_top1" in scores.result.metrics else "image"
    top1 = scores.result.metrics[f"test/{level}_top1"]
    times = "once" if scores.n_openings == 1 else f"{scores.n_openings} times"
    return f"{head} {top1:.1%} of the test {level}s right; these test {level}s had been opened {times} by then."
