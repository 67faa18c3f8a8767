"""What leakage is worth: one recipe, trained on the same pages under several divisions of them.

All divisions are of training and validation pages alone. Each is an arm with a record of its own,
so that an audit survives kills, and a finished arm is not trained again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from core.corpora.index import CorpusIndex
from core.errors import SplitError
from core.lines.store import LineStore
from core.networks.presets import seed_recipe
from core.patches.plan import PatchSampler, evaluation_plan
from core.settings import PatchSettings
from core.space import Point
from core.splits.by_text import split_texts
from core.splits.division import leak
from core.splits.manifest import SplitManifest
from core.splits.settings import SplitSettings
from search.experiment.changes import identity_of
from search.experiment.experiment import Experiment
from search.experiment.objective_settings import MOVED_OBJECTIVES, TRAIN_PATCH_CNN
from search.experiment.workspace import Workspace
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialResult, TrialState
from search.sweep.given_points import GivenPoints, fit_given_points
from search.sweep.launch import patch_task
from search.sweep.preparation import PreparedCorpus, prepare_corpus
from search.sweep.progress import PREPARING, Progress

Recipe = Literal["default", "seed_recipe"]


@dataclass(frozen=True)
class AuditChoice:
    """What a user may choose.

    Attributes:
        recipe: `default` is the experiment's point of fixed values and defaults, `seed_recipe` the
            published network.
        epochs: of each arm; `None` for the experiment's `training.epochs`.
        patches: of an epoch; `None` for the experiment's `patches.patches_per_epoch`.
    """

    recipe: Recipe = "default"
    epochs: int | None = None
    patches: int | None = None


@dataclass(frozen=True)
class Arms:
    """The divisions by name, and those that there are none of.

    Attributes:
        divisions: the leakiest first.
        baseline: its name: `page`, or `image` where the corpus has no pages.
        lacking: why a division is not among them.
    """

    divisions: Mapping[str, SplitManifest]
    baseline: str
    lacking: Mapping[str, str]


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class AuditedArm:
    """One division, and what the recipe came to under it.

    Attributes:
        name: `patch`, `line`, `page` (or `image`) or `text`.
        warning: of a division that leaks; empty for an honest one.
        split_hash: of its manifest.
        n_training_lines: that training patches are drawn from.
        n_validation_lines: that validation patches are of.
        n_validation_patches: scored after each epoch.
        n_training_patches: trained in all.
        scores: such as `image_top1`, of the best epoch on the validation part.
        duration_s: of all epochs.
    """

    name: str
    warning: str
    split_hash: str
    n_training_lines: int
    n_validation_lines: int
    n_validation_patches: int
    n_training_patches: int
    scores: Mapping[str, Score]
    duration_s: float


@dataclass(frozen=True)
class Audit:
    """An audit, as far as it came.

    Attributes:
        experiment: its name.
        corpus: its name.
        is_generated: whether its handwriting is no real one.
        n_writers: that are told apart.
        split_hash: of the experiment's own division, whose test pages no arm has.
        baseline: the arm that others are compared with.
        recipe: as chosen.
        epochs: of each arm.
        seed: of the experiment.
        arms: those that are finished.
        lacking: why a division is not among them.
        is_interrupted: whether the user stopped it; the same command goes on.
        folder: of its records.
    """

    experiment: str
    corpus: str
    is_generated: bool
    n_writers: int
    split_hash: str
    baseline: str
    recipe: Recipe
    epochs: int
    seed: int
    arms: tuple[AuditedArm, ...]
    lacking: Mapping[str, str]
    is_interrupted: bool
    folder: Path


def run_audit(
    experiment: Experiment,
    workspace: Workspace,
    choice: AuditChoice,
    progress: Progress,
) -> Audit:
    """Train the recipe under every division of the training and validation pages; the test pages
    stay sealed.

    All arms have the same number of training patches, the same seed and, as nearly as pages and
    texts allow, the same number of validation lines.

    Args:
        experiment: its corpus, shares, patches and seed count. Where its split is leaky or of
            another kind, the plain division by page takes its place.
        workspace: records are kept in `mlruns/audits/` of it.
        choice: recipe and budget.
        progress: shows the corpus being read, and each arm.

    Raises:
        SplitError: if the experiment trains something else, its split is by writer, or an arm's
            trial fails.
        WhosehandError: if corpus, line store or workers are at fault.
    """
    experiment = _with_budget(experiment, choice)
    with progress.working(PREPARING) as advance:
        corpus = prepare_corpus(experiment, workspace, advance)
    arms = audit_arms(corpus.index, corpus.manifest, experiment.split.seed)
    experiment = _with_equal_patches(experiment, corpus.store, arms)
    point = seed_recipe().as_dict() if choice.recipe == "seed_recipe" else {}
    folder = workspace.root / "mlruns" / "audits" / experiment.name / _key(experiment, corpus.manifest, point)
    done = _run_arms(experiment, workspace, corpus, arms, folder, point, progress)
    return Audit(
        experiment=experiment.name,
        corpus=corpus.index.name,
        is_generated=corpus.index.generated,
        n_writers=len(corpus.manifest.writer_ids),
        split_hash=corpus.manifest.hash,
        baseline=arms.baseline,
        recipe=choice.recipe,
        epochs=experiment.training.epochs,
        seed=experiment.seed,
        arms=done,
        lacking=arms.lacking,
        is_interrupted=len(done) < len(arms.divisions),
        folder=folder,
    )


def audit_arms(index: CorpusIndex, manifest: SplitManifest, seed: int) -> Arms:
    """Divide the training and validation pages of a division in other ways, in the same shares.

    Args:
        index: the corpus.
        manifest: by page (or by image, where the corpus has no pages); its test part goes into no
            arm.
        seed: of the other divisions.
    """
    sealed = replace(manifest, test=(), choice=None)
    divisions, lacking = {"patch": leak(sealed, "patch", seed)}, {}
    if manifest.unit == "page":
        divisions["line"] = leak(sealed, "line", seed)
    else:
        lacking["line"] = "the corpus has no pages, and its images part as lines do"
    divisions[manifest.unit] = sealed
    try:
        divisions["text"] = _by_text(index, sealed, seed)
    except SplitError as error:
        lacking["text"] = str(error)
    return Arms(divisions, manifest.unit, lacking)


def _with_budget(experiment: Experiment, choice: AuditChoice) -> Experiment:
    if experiment.objective.run != TRAIN_PATCH_CNN:
        raise SplitError(
            f"An audit trains patch CNNs ({TRAIN_PATCH_CNN}), but objective.run is {experiment.objective.run}."
        )
    if experiment.split.kind == "writer":
        raise SplitError(
            "An audit divides each writer's pages in several ways, but `split.kind: writer` seals writers with all "
            "their pages. Set `split.kind: page` in an experiment of another name."
        )
    n_patches, n_epochs = choice.patches or experiment.patches.patches_per_epoch, choice.epochs
    length = {"epochs": n_epochs or experiment.training.epochs, "early_stopping_patience": None}
    changes = {
        "split": experiment.split.model_copy(update={"leaky": None, "kind": "page"}),
        "patches": experiment.patches.model_copy(update={"patches_per_epoch": n_patches, "at": "random"}),
        "training": experiment.training.model_copy(update={**length, "start_from": None}),
        "tracking": experiment.tracking.model_copy(update={"keep_models": 0}),
    }
    return experiment.model_copy(update=changes)


def _with_equal_patches(experiment: Experiment, store: LineStore, arms: Arms) -> Experiment:
    """So few patches an epoch that the cap of the poorest arm allows them."""
    patches = experiment.patches
    least = min(
        _sampler(store, manifest, patches, experiment.seed).n_patches_per_epoch for manifest in arms.divisions.values()
    )
    return experiment.model_copy(update={"patches": patches.model_copy(update={"patches_per_epoch": least})})


def _sampler(store: LineStore, manifest: SplitManifest, patches: PatchSettings, seed: int) -> PatchSampler:
    return PatchSampler(store, manifest.train, manifest.writer_ids, patches, seed, manifest.leak("train"))


def _key(experiment: Experiment, manifest: SplitManifest, point: Point) -> str:
    """Names the folder: another budget, recipe, seed or corpus is another audit.

    The objective counts under its name of version 0.1, so that an audit of that version is not
    trained again.
    """
    identity = identity_of(experiment.snapshot())
    former_names = {name: former for former, name in MOVED_OBJECTIVES.items()}
    run = identity["objective"]["run"]
    identity["objective"] = {**identity["objective"], "run": former_names.get(run, run)}
    del identity["training"]["start_from"]  # of no audit; version 0.1 did not know it
    kept = {key: value for key, value in identity.items() if key not in ("engine", "corpus")}
    content = {"identity": kept, "split": manifest.hash, "point": dict(point)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _run_arms(
    experiment: Experiment,
    workspace: Workspace,
    corpus: PreparedCorpus,
    arms: Arms,
    folder: Path,
    point: Point,
    progress: Progress,
) -> tuple[AuditedArm, ...]:
    """Train one arm after the other, as far as the user lets them."""
    done: list[AuditedArm] = []
    for number, (name, manifest) in enumerate(arms.divisions.items(), start=1):
        title = f"Arm {number} of {len(arms.divisions)}: split by {manifest.divided_by}"
        arm = _run_arm(experiment, workspace, corpus, manifest, folder / name, point, title, progress)
        if arm is None:
            break
        done.append(replace(arm, name=name))
    return tuple(done)


def _run_arm(
    experiment: Experiment,
    workspace: Workspace,
    corpus: PreparedCorpus,
    manifest: SplitManifest,
    folder: Path,
    point: Point,
    title: str,
    progress: Progress,
) -> AuditedArm | None:
    """Train an arm, or read what an earlier call has trained; `None` if the user stopped it."""
    given = GivenPoints(
        folder,
        name=f"{experiment.name} audit by {folder.name}",
        config={"audit": experiment.name, "split_hash": manifest.hash},
        points=[point],
        epochs=experiment.training.epochs,
        title="Audit",
        announcement=title,
    )
    task = patch_task(experiment, replace(corpus, manifest=manifest), folder)
    fitted = fit_given_points(given, experiment, workspace, task, progress)
    record = fitted.state.trials.get(0)
    if record is not None and record.result is not None and record.state is TrialState.COMPLETED:
        return _describe(record.result, record, manifest, corpus.store, experiment)
    if fitted.is_interrupted:
        return None
    reason = record.result.reason if record is not None and record.result else fitted.reason
    raise SplitError(f"Every arm of an audit must be trained, but that by {folder.name} failed: {reason}")


def _describe(
    result: TrialResult, record: TrialRecord, manifest: SplitManifest, store: LineStore, experiment: Experiment
) -> AuditedArm:
    patches, per_image = experiment.patches, experiment.patches.of_validation_image(len(manifest.validation))
    train = _sampler(store, manifest, patches, experiment.seed)
    leak = manifest.leak("validation")
    plan = evaluation_plan(store, manifest.validation, manifest.writer_ids, patches, per_image, leak)
    kept = json.loads(result.artifacts["scores.json"].path.read_text(encoding="utf-8"))["scores"]
    return AuditedArm(
        name=manifest.divided_by,
        warning=manifest.warning,
        split_hash=manifest.hash,
        n_training_lines=train.n_lines,
        n_validation_lines=len(set(plan.lines.tolist())),
        n_validation_patches=len(plan),
        n_training_patches=sum(report.report.n_patches for report in record.reports),
        scores={name: Score(score["value"], score["low"], score["high"]) for name, score in kept.items()},
        duration_s=record.duration_s,
    )


def _by_text(index: CorpusIndex, sealed: SplitManifest, seed: int) -> SplitManifest:
    ids = {*sealed.train, *sealed.validation}
    open_pages = replace(index, images=tuple(image for image in index.images if image.image_id in ids))
    share = round(len(sealed.validation) / len(ids), 6)
    return split_texts(open_pages, SplitSettings(kind="text", validation=share, test=0.0, seed=seed))
