"""What a promotion trains: shorter fits where they settle the refit's length, cross-fits where no
page is left to validate on, and the refit.
"""

from dataclasses import dataclass, replace
from functools import partial

from core.crash_points import crash_point
from core.splits.cross_fitting import all_but_test
from search.objectives.starts import origin_tags
from search.objectives.tasks import PatchTask
from search.promotion.fit_parts import WHOLE_REFIT, CrossFit, FitPart, best_epoch, split_of
from search.promotion.length import LOG_LOSS, settled_length
from search.promotion.plan import PromotionJob, pages_in_words
from search.promotion.refit import Refit, refit_folder, run_refit
from search.sweep.launch import patch_task, search_facts, tracked_datasets, trial_task
from search.sweep.progress import Progress
from search.sweep.start import prepare_start
from search.tracking.runs import BesideTrial
from search.tracking.tracker import MlflowTracker


@dataclass(frozen=True)
class Fitted:
    """A trial that is fitted again.

    Attributes:
        task: of a trial of the sweep.
        tracker: tells MLflow of it.
        refit: what came of it.
    """

    task: PatchTask
    tracker: MlflowTracker
    refit: Refit


def fit_again(job: PromotionJob, progress: Progress) -> tuple[PromotionJob, Fitted]:
    """Settle the length, and fit; what an earlier call has finished is taken as it is.

    Returns:
        The job with the length that it came to, and the refit.
    """
    job = _settle_length(job, progress)
    return job, _fit_parts(job, progress) if job.cross_fits else _fit(job, progress)


def _settle_length(job: PromotionJob, progress: Progress) -> PromotionJob:
    """Measure shorter fits where the length depends on what a longer one gains; what was measured
    before is taken as it is.
    """
    length = job.length
    if not length.to_measure:
        return job
    losses = {}
    for epochs in length.to_measure:
        rule = f"to measure what a longer fit gains, before one of {length.epochs} at most"
        shorter = replace(length, epochs=epochs, rule=rule, epoch_s=None, to_measure=(), members=1, folds=0)
        losses[epochs] = _fit(replace(job, length=shorter), progress, FitPart("Shorter fit")).refit.metrics[LOG_LOSS]
    return replace(job, length=settled_length(length, job.trial, losses))


def _fit_parts(job: PromotionJob, progress: Progress) -> Fitted:
    """The cross-fits, then the fit on training and validation pages for as many epochs as they
    say.
    """
    if not job.is_packed:
        progress.say(f"Refit of trial {job.trial.number}: {job.length.in_words()}.")
        progress.say(f"{pages_in_words(job, 'It trains')}.")
    n, held_out, found = len(job.cross_fits), job.cross_fits, list[Refit]()
    for number, manifest in enumerate(held_out, start=1):
        found.append(_fit(job, progress, FitPart.cross_fit(manifest, number, n)).refit)
    curves = [curve for refit in found for curve in refit.curves]
    weights = [len(fold.validation) for fold, refit in zip(held_out, found, strict=True) for _ in refit.curves]
    takes = best_epoch(curves, weights, job.experiment.objective.resolved_direction)
    whole = all_but_test(job.corpus.manifest, job.corpus.index.images)
    fitted = _fit(job, progress, FitPart.of_all(whole, takes))
    kept = tuple(CrossFit(refit.network, split_of(refit.folder)) for refit in found)
    return replace(fitted, refit=replace(fitted.refit, cross_fits=kept))


def _fit(job: PromotionJob, progress: Progress, part: FitPart = WHOLE_REFIT) -> Fitted:
    experiment, corpus, created = job.experiment, job.corpus, job.sweep.created
    folder = job.workspace.sweep(experiment.name)
    start = prepare_start(experiment, job.workspace, job.store, corpus, folder, progress)
    # The refit's model is what a promotion is for, also where the sweep keeps none.
    task = replace(patch_task(experiment, corpus, folder, start), keeps_model=True)
    own_or_not = trial_task(experiment, corpus, folder, keeps_model=True, start=start)
    if part.manifest is not None:
        members = job.length.members
        own = refit_folder(job.workspace, experiment, job.trial.number, job.epochs, members, part.name)
        corpus = replace(corpus, manifest=part.manifest)
        own_or_not = task = part.change(task, own)
    tracker = MlflowTracker(
        job.store,
        experiment.name,
        part.facts(search_facts(experiment)),
        datasets=tracked_datasets(corpus, with_test=bool(corpus.manifest.test) and not part.is_cross_fit),
        beside=BesideTrial(created.sweep_id, created.name, job.trial.number, job.length.kinds(part.name)),
        command="whosehand promote",
        start_tags=partial(origin_tags, start),
    )
    refit = run_refit(experiment, job.workspace, created, job.trial, job.length, own_or_not, tracker, progress, part)
    crash_point("refit-done")
    return Fitted(task, tracker, refit)
