"""From a sweep's best trial to a champion: refit, sealed test pages, registered version, gate, alias."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from core.errors import RegistryError
from core.lines.reading import ProgressCallback
from core.training.plan import choose_precision
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace, git_commit, whosehand_version
from search.identification.identifier_folder import read_record
from search.ledger.access_log import SealedTestSet
from search.ledger.files import write_atomically
from search.objectives.tasks import PatchTask
from search.promotion.examination import (
    SCORE_PATCH_CNN,
    Candidate,
    Examined,
    TestScores,
    compare_with,
    decide,
    examine,
    kept_scores,
    open_test_pages,
)
from search.promotion.gate import Comparison, GateResult, corpus_key
from search.promotion.model_card import CARD_FILE, CardFacts, shortened, write_card
from search.promotion.plan import PromotionChoice, PromotionJob, prepare_promotion
from search.promotion.refit import PackagedModel, Refit, package_refit, run_refit
from search.sweep.launch import local_executor, patch_task, tracked_datasets
from search.sweep.progress import Progress
from search.tracking.aliases import ChampionMovedError, challenge, set_champion
from search.tracking.registry import (
    CHAMPION,
    RegisteredVersion,
    describe_version,
    find_alias,
    find_version,
    register_version,
)
from search.tracking.tracker import MlflowTracker

Became = Literal["champion", "challenger", "unchanged"]
_MOST_ROUNDS = 5
_REASONS_TAG = "gate_reasons"


@dataclass(frozen=True)
class Promotion:
    """What a promotion came to.

    Attributes:
        version: in the registry.
        became: `champion`, or `challenger` if it did not pass the gate; `unchanged` if it was champion already.
        former: the champion before, if there was another one.
        refit: the fit that the model is of.
        scores: of the network on the test pages; `None` if the split has none, or the smoke test failed.
        examined: of the registered model.
        comparison: with the champion; `None` without one.
        gate_result: of the gate.
        was_opened_before: the scores are of an earlier promotion of the same fit, which is not opened again.
        n_openings: how often the test pages have been opened until now.
    """

    version: RegisteredVersion
    became: Became
    former: RegisteredVersion | None
    refit: Refit
    scores: TestScores | None
    examined: Examined
    comparison: Comparison | None
    gate_result: GateResult
    was_opened_before: bool
    n_openings: int


def promote(
    sweep_name: str,
    workspace: Workspace,
    choice: PromotionChoice,
    progress: Progress,
    on_progress: ProgressCallback | None = None,
) -> Promotion:
    """Refit the best trial, register it, test it, and make it the champion if it passes the gate.

    Every step that an earlier call finished is taken as it is, so that an interrupted promotion can be repeated.

    Args:
        sweep_name: of a sweep in this workspace.
        workspace: where.
        choice: otherwise the experiment file counts.
        progress: shows the refit.
        on_progress: called with (images done, images in all) while the line store is built.

    Raises:
        LedgerError: if there is no such sweep.
        RegistryError: if the sweep's split is leaky, no trial is completed, or a step fails.
    """
    job = prepare_promotion(sweep_name, workspace, choice, on_progress)
    experiment, manifest = job.experiment, job.corpus.manifest
    progress.say(job.rule)
    # The refit's model is what a promotion is for, also where the sweep keeps none.
    task = replace(patch_task(experiment, job.corpus, workspace.sweep(experiment.name)), keeps_model=True)
    tracker = MlflowTracker(
        job.store,
        experiment.name,
        engine="none",
        datasets=tracked_datasets(job.corpus, with_test=bool(manifest.test)),
        kind=f"refit-{job.epochs}",
    )
    refit = run_refit(experiment, workspace, job.sweep.created, job.trial, job.epochs, task, tracker, progress)
    network = _network(refit, experiment)
    packaged = package_refit(refit, experiment, workspace, job.corpus, task, network)
    model_id = tracker.add_model(job.trial.number, "identifier", packaged.folder, job.epochs)
    version = register_version(job.store, job.name, model_id, job.lineage())
    was_opened_before = kept_scores(refit.folder) is not None
    candidate = _candidate(job, version, packaged, refit)
    pages = job.sealed_pages()
    examined = examine(candidate, job.store, pages, lambda: _score_network(network, job, task, refit, pages))
    scores = kept_scores(refit.folder)
    if scores is not None:
        files = {name: reference.path for name, reference in scores.result.artifacts.items()}
        opened = {"test_openings": str(scores.n_openings)}
        tracker.add_scores(job.trial.number, scores.result.metrics, files, scores.opened_ms, opened)
    comparison, gate_result, became, former = _judge_and_move(job, candidate, examined, pages)
    if became != "unchanged":
        _describe(job, version, refit, packaged, scores, examined, gate_result, comparison, tracker)
    described = find_version(job.store, job.name, version.version) or version
    return Promotion(
        described, became, former, refit, scores, examined, comparison, gate_result, was_opened_before, pages.count()
    )


def _candidate(job: PromotionJob, version: RegisteredVersion, packaged: PackagedModel, refit: Refit) -> Candidate:
    return Candidate(
        version=version,
        images=job.corpus.index.images,
        manifest=job.corpus.manifest,
        corpus_key=corpus_key(job.experiment),
        references=packaged.references,
        precision=choose_precision(job.experiment.training.precision),
        size_bytes=packaged.size_bytes,
        folder=refit.folder,
    )


def _judge_and_move(
    job: PromotionJob, candidate: Candidate, examined: Examined, pages: SealedTestSet
) -> tuple[Comparison | None, GateResult, Became, RegisteredVersion | None]:
    """Judge against the champion and move the aliases; again if another promotion was faster."""
    version, gate = candidate.version, job.experiment.promotion.gate
    for _ in range(_MOST_ROUNDS):
        champion = find_alias(job.store, job.name, CHAMPION)
        if champion is not None and champion.version == version.version:
            return None, decide(candidate, gate, examined, None), "unchanged", None
        comparison = None
        if champion is not None:
            comparison = compare_with(champion, candidate, examined, job.store, pages)
        gate_result = decide(candidate, gate, examined, comparison)
        if not gate_result.is_passed:
            challenge(job.store, job.name, version.version)
            return comparison, gate_result, "challenger", None
        try:
            former = set_champion(job.store, job.name, version.version, champion.version if champion else None)
        except ChampionMovedError:
            continue
        return comparison, gate_result, "champion", former
    raise RegistryError(
        f"The champion of {job.name!r} must stay for as long as a candidate is compared with it, but it changed "
        f"{_MOST_ROUNDS} times meanwhile. Run the same command again when the other promotions have ended."
    )


def _describe(
    job: PromotionJob,
    version: RegisteredVersion,
    refit: Refit,
    packaged: PackagedModel,
    scores: TestScores | None,
    examined: Examined,
    gate_result: GateResult,
    comparison: Comparison | None,
    tracker: MlflowTracker,
) -> None:
    """Write the card and the tags of a version that was judged."""
    card = write_card(
        CardFacts(
            name=job.name,
            version=version.version,
            experiment=job.experiment,
            manifest=job.corpus.manifest,
            generated=job.corpus.index.generated,
            trial=job.trial.number,
            epochs=job.epochs,
            commit=git_commit(job.workspace.root),
            whosehand=whosehand_version(),
            calibrations=read_record(packaged.folder).calibrations,
            scores=scores,
            product=examined.scores,
            gate_result=gate_result,
        )
    )
    path = refit.folder / CARD_FILE
    write_atomically(path, card.encode())
    metrics = {**packaged.metrics, **_product_metrics(examined)}
    tracker.add_scores(job.trial.number, metrics, {CARD_FILE: path}, _now_ms())
    tags = _score_tags(scores)
    tags |= {"gate": "passed" if gate_result.is_passed else "failed", _REASONS_TAG: "; ".join(gate_result.reasons)}
    if comparison is not None and comparison.test is not None:
        tags |= {"compared_with": comparison.champion, "compared_logloss": comparison.test.logloss_difference}
    describe_version(job.store, job.name, version.version, tags, shortened(card))


def _product_metrics(examined: Examined) -> dict[str, float]:
    metrics = {"latency_s": examined.smoke.latency_s}
    scores = examined.scores
    if scores is None:
        return metrics
    return metrics | {
        f"test/served_{scores.unit}_top1": scores.top1,
        "test/served_image_logloss": scores.log_loss,
        "test/calibration_error": scores.calibration_error,
        "test/false_reject_rate": scores.rejected,
    }


def _score_network(network: Path, job: PromotionJob, task: PatchTask, refit: Refit, pages: SealedTestSet) -> None:
    """Score the bare network on the test pages, unless that was done before."""
    if kept_scores(refit.folder) is not None:
        return
    experiment = job.experiment
    open_test_pages(
        network,
        task,
        pages,
        refit.folder,
        local_executor(experiment, SCORE_PATCH_CNN, n_workers=1),
        choose_precision(experiment.training.precision),
        experiment.seed,
    )


def _network(refit: Refit, experiment: Experiment) -> Path:
    if refit.result.model is None:
        raise RegistryError(f"The refit must save its model, but {experiment.objective.run} saved none.")
    return refit.result.model.path


def _score_tags(scores: TestScores | None) -> dict[str, str | int | float]:
    """The one score that belongs in the registry's table; the card has the others, and so has the refit's run."""
    if scores is None:
        return {}
    found = scores.result.metrics
    level = next(level for level in ("page", "image", "patch") if f"test/{level}_top1" in found)
    return {f"test/{level}_top1": found[f"test/{level}_top1"], "test_openings": scores.n_openings}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
