"""From a sweep's best trial to a champion: refit, registered version, sealed test set, gate, alias.

Each step takes what an earlier call has finished as it is, so that a promotion that was killed is
repeated by the same command. The alias moves last, once card, scores and tags stand.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from core.crash_points import crash_point
from core.durable_files import write_atomically
from core.errors import RegistryError
from core.retrieval.rank_tests import PairedRankings
from core.scoring.intervals import PairedTest
from core.splits.cross_fitting import all_but_test
from core.training.plan import choose_precision
from search.experiment.workspace import Workspace, git_commit, whosehand_version
from search.identification.identifier_folder import folder_checksum, read_record
from search.ledger.access_log import SealedTestSet
from search.objectives.starts import Start, origin_tags
from search.objectives.tasks import PatchTask
from search.promotion.examination import (
    SCORE_PATCH_CNN,
    Candidate,
    Examined,
    TestScores,
    compare_with,
    examine,
    kept_scores,
    score_test_set,
)
from search.promotion.finding import compare_finding, found_pages
from search.promotion.fit_parts import WHOLE_REFIT, CrossFit, FitPart, best_epoch, split_of
from search.promotion.gate import Comparison, GateResult, corpus_key, judge
from search.promotion.hand_scores import HAND_SCORES_FILE, HandScores
from search.promotion.length import LOG_LOSS, settled_length
from search.promotion.model_card import CARD_FILE, CardFacts, shortened, write_card
from search.promotion.outcome import Became, Promotion
from search.promotion.plan import PromotionChoice, PromotionJob, pages_in_words, prepare_promotion
from search.promotion.record import PromotionRecord, fit_lock
from search.promotion.refit import (
    PackagedModel,
    Refit,
    images_of_unknown_writers,
    package_refit,
    refit_folder,
    run_refit,
)
from search.sweep.launch import patch_task, search_facts, tracked_datasets, trial_task
from search.sweep.progress import PREPARING, Progress
from search.sweep.start import prepare_start
from search.sweep.unseen_writers import images_per_page
from search.sweep.workers import local_executor
from search.tracking.aliases import ChampionMovedError, challenge, finish_move, promotion_lock, set_champion
from search.tracking.registry import (
    CHAMPION,
    CHECKSUM_TAG,
    PROMOTION_DONE,
    PROMOTION_TAG,
    RegisteredVersion,
    describe_version,
    find_alias,
    find_version,
    register_version,
)
from search.tracking.runs import BesideTrial
from search.tracking.tracker import MlflowTracker

_MOST_ROUNDS = 5


def promote(
    sweep_name: str,
    workspace: Workspace,
    choice: PromotionChoice,
    progress: Progress,
) -> Promotion:
    """Refit the best trial, register it, test it, and make it the champion if it passes the gate.

    Args:
        sweep_name: of a sweep in this workspace.
        workspace: where.
        choice: otherwise the experiment file counts.
        progress: shows how far each step is.

    Raises:
        LedgerError: if there is no such sweep.
        RegistryError: if the sweep's split is leaky, no trial is completed, or a step fails.
    """
    with progress.working(PREPARING) as advance:
        job = prepare_promotion(sweep_name, workspace, choice, advance)
    progress.say(job.rule)
    sweep_folder = workspace.sweep(job.experiment.name)
    start = prepare_start(job.experiment, workspace, job.store, job.corpus, sweep_folder, progress)
    job = _settle_length(job, start, progress)
    fitted = _fit_parts(job, start, progress) if job.cross_fits else _fit(job, start, progress)
    with fit_lock(fitted.refit.folder, progress.say), promotion_lock(job.store, job.name, progress.say):
        return _promote(job, fitted, progress)


@dataclass(frozen=True)
class _Fitted:
    """A trial that is fitted again, and what is told to MLflow of it."""

    task: PatchTask
    tracker: MlflowTracker
    refit: Refit


@dataclass(frozen=True)
class _Registered:
    """A refit that has become a version in the registry."""

    fitted: _Fitted
    packaged: PackagedModel
    version: RegisteredVersion
    candidate: Candidate


@dataclass(frozen=True)
class _Judged:
    """What the gate said, and which alias moved."""

    comparison: Comparison | None
    gate_result: GateResult
    became: Became
    former: RegisteredVersion | None = None


def _promote(job: PromotionJob, fitted: _Fitted, progress: Progress) -> Promotion:
    """From the refit to the alias; each step takes what an earlier call has finished."""
    record = PromotionRecord(fitted.refit.folder, job.name)
    registered = _pack_and_register(job, fitted, progress)
    test_set = job.test_set(record.reach("opening"))
    was_opened_before = kept_scores(fitted.refit.folder) is not None
    examined = _examine(job, registered, test_set, progress)
    scores = kept_scores(fitted.refit.folder)
    for _ in range(_MOST_ROUNDS):
        with suppress(ChampionMovedError):
            judged = _judge_and_move(job, registered, examined, scores, test_set, record, progress)
            break
    else:
        raise RegistryError(
            f"The champion of {job.name!r} must stay for as long as a candidate is compared with it, but it changed "
            f"{_MOST_ROUNDS} times meanwhile. Run the same command again when the other promotions have ended."
        )
    record.finish()
    version = find_version(job.store, job.name, registered.version.version) or registered.version
    return Promotion(
        version=version,
        became=judged.became,
        former=judged.former,
        refit=fitted.refit,
        scores=scores,
        examined=examined,
        comparison=judged.comparison,
        gate_result=judged.gate_result,
        was_opened_before=was_opened_before,
        n_openings=test_set.count(),
    )


def _settle_length(job: PromotionJob, start: Start | None, progress: Progress) -> PromotionJob:
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
        fitted = _fit(replace(job, length=shorter), start, progress, FitPart("Shorter fit"))
        losses[epochs] = fitted.refit.metrics[LOG_LOSS]
    return replace(job, length=settled_length(length, job.trial, losses))


def _fit_parts(job: PromotionJob, start: Start | None, progress: Progress) -> _Fitted:
    """The cross-fits, then the fit on training and validation pages for as many epochs as they
    say.
    """
    if not job.is_packed:
        progress.say(f"Refit of trial {job.trial.number}: {job.length.in_words()}.")
        progress.say(f"{pages_in_words(job, 'It trains')}.")
    n, held_out, found = len(job.cross_fits), job.cross_fits, list[Refit]()
    for number, manifest in enumerate(held_out, start=1):
        found.append(_fit(job, start, progress, FitPart.cross_fit(manifest, number, n)).refit)
    curves = [curve for refit in found for curve in refit.curves]
    weights = [len(fold.validation) for fold, refit in zip(held_out, found, strict=True) for _ in refit.curves]
    takes = best_epoch(curves, weights, job.experiment.objective.resolved_direction)
    whole = all_but_test(job.corpus.manifest, job.corpus.index.images)
    fitted = _fit(job, start, progress, FitPart.of_all(whole, takes))
    kept = tuple(CrossFit(refit.network, split_of(refit.folder)) for refit in found)
    return replace(fitted, refit=replace(fitted.refit, cross_fits=kept))


def _fit(job: PromotionJob, start: Start | None, progress: Progress, part: FitPart = WHOLE_REFIT) -> _Fitted:
    experiment, corpus, created = job.experiment, job.corpus, job.sweep.created
    folder = job.workspace.sweep(experiment.name)
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
    return _Fitted(task, tracker, refit)


def _pack_and_register(job: PromotionJob, fitted: _Fitted, progress: Progress) -> _Registered:
    experiment, corpus, refit = job.experiment, job.corpus, fitted.refit
    finds = corpus.manifest.has_unseen_writers
    calibrating = f"calibrating on {'pages held out' if job.cross_fits else 'validation pages'}"
    with progress.working("packing the model" if finds else calibrating) as advance:
        packaged = package_refit(refit, experiment, job.workspace, corpus, fitted.task, advance)
    crash_point("identifier-packed")
    model_id = fitted.tracker.add_model("identifier", packaged.folder, job.epochs)
    crash_point("identifier-logged")
    tags = job.lineage() | {CHECKSUM_TAG: folder_checksum(packaged.folder)}
    if origin := read_record(packaged.folder).origin:
        tags |= origin.as_tags()
    version = register_version(job.store, job.name, model_id, tags)
    if PROMOTION_TAG not in version.tags:
        describe_version(job.store, job.name, version.version, {PROMOTION_TAG: "registered"})
    crash_point("version-registered")
    candidate = Candidate(
        version=version,
        images=corpus.index.images,
        manifest=corpus.manifest,
        corpus_key=corpus_key(experiment),
        references=packaged.references,
        precision=choose_precision(experiment.training.precision),
        size_bytes=packaged.size_bytes,
        folder=refit.folder,
        record=read_record(packaged.folder),
        unknown_images=images_of_unknown_writers(experiment, job.workspace, corpus)[1],
    )
    return _Registered(fitted, packaged, version, candidate)


def _examine(job: PromotionJob, registered: _Registered, test_set: SealedTestSet, progress: Progress) -> Examined:
    """Smoke test and test set; the scores go to the refit's run."""
    experiment, fitted = job.experiment, registered.fitted
    refit = fitted.refit

    def score_network() -> None:
        if kept_scores(refit.folder) is None:
            executor = local_executor(experiment, SCORE_PATCH_CNN, n_workers=1)
            precision = registered.candidate.precision
            what = (refit.network, fitted.task, test_set, refit.folder, executor, precision, experiment.seed)
            with progress.working("scoring patches of test pages", "patches") as advance:
                score_test_set(*what, advance)

    examined = examine(registered.candidate, job.store, test_set, score_network, progress)
    scores = kept_scores(refit.folder)
    if scores is not None and job.corpus.manifest.has_unseen_writers:
        examined = replace(examined, found=found_pages(scores))
    if scores is not None:
        files = {name: reference.path for name, reference in scores.result.artifacts.items()}
        opened = {"test_openings": str(scores.n_openings)}
        fitted.tracker.add_scores(scores.result.metrics, files, scores.opened_ms, opened)
        crash_point("scores-tracked")
    return examined


def _judge_and_move(
    job: PromotionJob,
    registered: _Registered,
    examined: Examined,
    scores: TestScores | None,
    test_set: SealedTestSet,
    record: PromotionRecord,
    progress: Progress,
) -> _Judged:
    """Judge against the champion, describe the version, move the alias.

    Raises:
        ChampionMovedError: if another promotion was faster.
    """
    number, gate = registered.version.version, job.experiment.promotion.gate
    candidate = registered.candidate
    judged = examined.found or examined.scores
    finish_move(job.store, job.name)
    champion = find_alias(job.store, job.name, CHAMPION)
    if champion is not None and champion.version == number:
        result = judge(gate, examined.smoke, candidate.size_bytes, judged, None, job.accept)
        describe_version(job.store, job.name, number, {PROMOTION_TAG: PROMOTION_DONE})
        return _Judged(None, result, "unchanged")
    comparison = _compare(job, champion, candidate, examined, test_set, progress) if champion else None
    result = judge(gate, examined.smoke, candidate.size_bytes, judged, comparison, job.accept)
    _describe(job, registered, examined, scores, result, comparison, record)
    former = _move(job, number, result, champion)
    describe_version(job.store, job.name, number, {PROMOTION_TAG: PROMOTION_DONE})
    return _Judged(comparison, result, "champion" if result.is_passed else "challenger", former)


def _compare(
    job: PromotionJob,
    champion: RegisteredVersion,
    candidate: Candidate,
    examined: Examined,
    test_set: SealedTestSet,
    progress: Progress,
) -> Comparison:
    if candidate.manifest.has_unseen_writers:
        return compare_finding(job, champion, candidate, examined.found, test_set, progress)
    return compare_with(champion, candidate, examined, job.store, test_set, progress)


def _move(
    job: PromotionJob, number: int, result: GateResult, champion: RegisteredVersion | None
) -> RegisteredVersion | None:
    """Move the alias that the gate says, and return the former champion where there is a new
    one.
    """
    if result.is_passed:
        return set_champion(job.store, job.name, number, champion.version if champion else None)
    challenge(job.store, job.name, number)
    return None


def _describe(
    job: PromotionJob,
    registered: _Registered,
    examined: Examined,
    scores: TestScores | None,
    result: GateResult,
    comparison: Comparison | None,
    record: PromotionRecord,
) -> None:
    """Write the card and the tags of a version that was judged."""
    version, packaged, fitted = registered.version, registered.packaged, registered.fitted
    card = write_card(
        CardFacts(
            name=job.name,
            version=version.version,
            experiment=job.experiment,
            manifest=job.corpus.manifest,
            generated=job.corpus.index.generated,
            trial=job.trial.number,
            epochs=job.epochs,
            cross_fits=job.cross_fits,
            taken_epoch=fitted.refit.n_epochs,
            commit=git_commit(job.workspace.root),
            whosehand=whosehand_version(),
            calibrations=registered.candidate.record.calibrations,
            scores=scores,
            product=examined.scores,
            found=examined.found,
            images_per_page=images_per_page(job.experiment, job.corpus) or 1,
            gate_result=result,
            origin=registered.candidate.record.origin,
            hands=HandScores.load(packaged.files[HAND_SCORES_FILE]) if HAND_SCORES_FILE in packaged.files else None,
        )
    )
    path = fitted.refit.folder / CARD_FILE
    write_atomically(path, card.encode())
    judged = examined.found or examined.scores
    product = judged.metrics if judged else {}
    metrics = {**packaged.metrics, "latency_s": examined.smoke.latency_s, **product}
    fitted.tracker.add_scores(metrics, {CARD_FILE: path, **packaged.files}, record.reach("described"), job.run_tags())
    crash_point("card-written")
    tags = scores.tags() if scores is not None else {}
    gate = "accepted" if result.is_accepted else "passed" if result.is_passed else "failed"
    tags |= {"gate": gate, "gate_reasons": "; ".join(result.objections)}
    if comparison is not None and comparison.test is not None:
        tags |= {"compared_with": comparison.champion, **_difference(comparison.test)}
    describe_version(job.store, job.name, version.version, tags | {PROMOTION_TAG: "described"}, shortened(card))
    crash_point("version-described")


def _difference(test: PairedTest | PairedRankings) -> dict[str, float]:
    if isinstance(test, PairedRankings):
        return {"compared_map": test.map_difference}
    return {"compared_logloss": test.logloss_difference}
