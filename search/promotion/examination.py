"""A registered version is examined: smoke test, sealed test set, and the champion beside it.

Candidate and champion may differ in all that comes before the network, even in the version of
whosehand: so each is given the images, not patches, in a process of its own. The test set is opened
once for a model; that is written down before, and the answers are kept.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from core.corpora.index import TextImage
from core.crash_points import crash_point
from core.durable_files import write_atomically
from core.errors import RegistryError
from core.identification.model_record import ModelRecord
from core.identification.prediction import Prediction
from core.lines.reading import ProgressCallback
from core.scoring.score_names import LEVELS, RETRIEVAL
from core.splits.manifest import SplitManifest
from search.executors.base import Executor, run_task
from search.identification.identifier_folder import is_as_promoted, is_identifier, read_split
from search.identification.model_process import ModelProcess
from search.ledger.access_log import SealedTestSet
from search.ledger.references import with_absolute_paths, with_relative_paths
from search.ledger.trial import TrialResult, TrialSpec, TrialState
from search.objectives.tasks import PatchTask, ScoringTask
from search.promotion.found_pages import FoundPages
from search.promotion.gate import CommonPages, Comparison, SmokeTest, common_pages, common_writers
from search.promotion.model_answers import ask_about, load_answers, save_answers
from search.promotion.tested_images import ProductScores, TestedImages, compare_models, score_product
from search.sweep.progress import Progress, SilentProgress
from search.tracking.registry import CHECKSUM_TAG, RegisteredVersion, download_model
from search.tracking.store import TrackingStore

SCORE_PATCH_CNN = "search.objectives.patch_cnn:score_patch_cnn"
TOLERANCE = {"float32": 1e-3, "mixed_bfloat16": 2e-2}
"""Largest difference of any writer's probability that still counts as the same.

Before, patches of many images went through the network in one batch, afterwards those of one: sums
are added in another order, and a temperature below 1 enlarges the difference. In float32 1e-5 and
less was seen."""
_KEPT_FILE = "test.json"


@dataclass(frozen=True)
class TestScores:
    """What a network did on the sealed test set.

    Attributes:
        result: metrics `test/...` and files.
        n_openings: how often the test set had been opened, this time included.
        opened_ms: when, Unix time.
    """

    __test__ = False  # no test class, whatever pytest thinks of the name

    result: TrialResult
    n_openings: int
    opened_ms: int

    def tags(self) -> dict[str, str | int | float]:
        """The one score that belongs in the registry's table; the card has the others, and so has
        the refit's run.
        """
        found = self.result.metrics
        names = (f"test/{RETRIEVAL}_map", *(f"test/{level}_top1" for level in reversed(LEVELS)))
        name = next(name for name in names if name in found)
        return {name: found[name], "test_openings": self.n_openings}


@dataclass(frozen=True)
class Candidate:
    """A registered version that wants to be champion.

    Attributes:
        version: in the registry.
        images: its corpus.
        manifest: its split.
        corpus_key: of the corpus's settings; see `common_pages`.
        references: by image id, what its network said of validation images before it was packed.
        precision: that it computes in.
        size_bytes: of all its files.
        folder: where answers for test images are kept.
        record: of the model.
        unknown_images: by writers who took no part, on which its threshold was not set.
    """

    version: RegisteredVersion
    images: tuple[TextImage, ...]
    manifest: SplitManifest
    corpus_key: str
    references: Mapping[str, Prediction]
    precision: str
    size_bytes: int
    folder: Path
    record: ModelRecord
    unknown_images: tuple[TextImage, ...] = ()

    @property
    def test_images(self) -> tuple[TextImage, ...]:
        """The images of its sealed test set."""
        test = set(self.manifest.test)
        return tuple(image for image in self.images if image.image_id in test)

    @property
    def reference_images(self) -> tuple[TextImage, ...]:
        """The validation images of the smoke test."""
        return tuple(image for image in self.images if image.image_id in self.references)


@dataclass(frozen=True)
class Examined:
    """What was found about a candidate alone.

    Attributes:
        smoke: whether it answers as before.
        tested: its answers for its test images; `None` if there are none, or the smoke test failed.
        scores: of them.
        found: instead of both, the test pages that it found by the same hand, where they are by
            writers that training has not seen.
    """

    smoke: SmokeTest
    tested: TestedImages | None
    scores: ProductScores | None
    found: FoundPages | None = None


_SCORES: TypeAdapter[TestScores] = TypeAdapter(TestScores)


def examine(
    candidate: Candidate,
    store: TrackingStore,
    test_set: SealedTestSet,
    score_network: Callable[[], None],
    progress: Progress | None = None,
) -> Examined:
    """Load the candidate afresh from the registry in a process of its own, and ask it.

    Args:
        candidate: registered.
        store: where.
        test_set: is opened if the smoke test passes and nothing is kept of an earlier time.
        score_network: called once before the test images are asked about; it scores the bare
            network on them.
        progress: shows how far it is.

    Raises:
        RegistryError: if the version's files are not those that were packed, or the model's process
            ends.
    """
    shown = progress or SilentProgress()
    folder = download_model(store, candidate.version.location)
    if not is_as_promoted(folder, candidate.version.tags.get(CHECKSUM_TAG)):
        raise RegistryError(
            f"Version {candidate.version.version} of {candidate.version.name!r} must hold the files that were packed, "
            f"but those in {folder} are others. Delete the version and run the same command again."
        )
    with ExitStack() as open_model:
        with shown.working("loading the model afresh"):
            model = open_model.enter_context(ModelProcess(folder, runs_own_code=True))
            smoke = _with_first_latency(smoke_test(model, candidate), candidate)
        if smoke.failure or not candidate.test_images:
            return Examined(smoke, None, None)
        score_network()
        if candidate.manifest.has_unseen_writers:  # whom it cannot name
            return Examined(smoke, None, None)
        with shown.working("asking about test images") as advance:
            tested = _ask_once(candidate, candidate.version, model, candidate.test_images, test_set, advance)
        crash_point("candidate-asked")
        unknown: tuple[Prediction, ...] = ()
        if candidate.unknown_images:
            with shown.working("asking about unknown writers") as advance:
                unknown = _ask_about_unknown_writers(candidate, model, advance)
    if not tested.images:
        return Examined(smoke, tested, None)
    return Examined(smoke, tested, score_product(tested, candidate.manifest.unit, candidate.record, unknown))


def smoke_test(model: ModelProcess, candidate: Candidate) -> SmokeTest:
    """Ask a freshly loaded model about validation images whose answers are known.

    Raises:
        RegistryError: if the model's process ends.
    """
    answers = ask_about(model, candidate.reference_images)
    tolerance = TOLERANCE.get(candidate.precision, max(TOLERANCE.values()))
    differences = [
        abs(writer.probability - candidate.references[image_id].probability_of(writer.writer_id))
        for image_id, prediction in answers.predictions.items()
        for writer in prediction.ranking
    ]
    largest = max(differences, default=0.0)
    failure = ""
    if answers.unusable:
        reasons = "; ".join(answers.unusable.values())
        failure = (
            f"it could not use {len(answers.unusable)} of {len(candidate.references)} validation images: {reasons}"
        )
    elif not differences:
        failure = "there was no validation image to ask about"
    elif largest > tolerance:
        failure = f"its probabilities differ from the network's by {largest:.2g}, more than {tolerance:g}"
    return SmokeTest(len(answers.predictions), largest, tolerance, answers.latency_s, failure)


def compare_with(
    champion: RegisteredVersion,
    candidate: Candidate,
    examined: Examined,
    store: TrackingStore,
    test_set: SealedTestSet,
    progress: Progress | None = None,
) -> Comparison:
    """Ask the champion about those of the candidate's test images that it has not seen, and
    compare.

    Raises:
        RegistryError: if the champion's files are gone or its process ends.
    """
    folder = download_model(store, champion.location)
    common = pages_to_compare(champion, candidate.images, candidate.manifest, candidate.corpus_key, folder)
    if common.refusal or examined.tested is None:
        return Comparison(champion.version, common, None)
    kept = load_answers(_answers_file(candidate, champion))
    if kept is not None:
        theirs = kept.of(common.images)
    else:
        runs_own_code = is_as_promoted(folder, champion.tags.get(CHECKSUM_TAG))
        with (
            (progress or SilentProgress()).working("asking the champion") as advance,
            ModelProcess(folder, runs_own_code) as model,
        ):
            theirs = _ask_once(candidate, champion, model, common.images, test_set, advance)
    return Comparison(champion.version, common, compare_models(examined.tested, theirs))


def pages_to_compare(
    champion: RegisteredVersion,
    images: tuple[TextImage, ...],
    manifest: SplitManifest,
    key: str,
    folder: Path,
) -> CommonPages:
    """Find the test pages that a champion has not seen, where the split is by writer those by
    writers whom it has not seen; nothing is opened.

    Args:
        champion: registered.
        images: the candidate's corpus.
        manifest: the candidate's split.
        key: of the candidate's corpus.
        folder: of the champion's files.
    """
    if not manifest.test:
        return CommonPages((), 0, 0, "the candidate's split has no test pages")
    split = read_split(folder) if is_identifier(folder) else None
    find = common_writers if manifest.has_unseen_writers else common_pages
    return find(images, manifest, split, champion.tags.get("corpus_key") == key)


def score_test_set(
    model: Path,
    task: PatchTask,
    test_set: SealedTestSet,
    folder: Path,
    executor: Executor,
    precision: str,
    seed: int,
    on_progress: ProgressCallback | None = None,
) -> TestScores:
    """Score a bare network on the test set, in a worker; the opening is written down before.

    Args:
        model: the saved model's folder.
        task: of the trial that trained it.
        test_set: is opened.
        folder: for the scores, which later calls of `kept_scores` find.
        executor: closed when this returns.
        precision: as the model was trained in.
        seed: of nothing but TensorFlow's set-up.
        on_progress: called with (patches done, in all).

    Raises:
        RegistryError: if scoring fails. The opening counts nevertheless.
    """
    n_openings = test_set.open()
    settings = ScoringTask(model, task, "test")
    spec = TrialSpec.of_task(
        SCORE_PATCH_CNN, settings, folder / "test", precision=precision, seed=seed, threads=executor.threads
    )
    result = run_task(executor, spec, on_progress)
    if result.state is not TrialState.COMPLETED:
        raise RegistryError(f"The model must be scored on the test pages, but that failed: {result.reason}")
    scores = TestScores(result, n_openings, test_set.opened_ms)
    values = with_relative_paths(_SCORES.dump_python(scores, mode="json"), folder)
    write_atomically(folder / _KEPT_FILE, json.dumps(values, indent=2).encode())
    crash_point("network-scored")
    return scores


def kept_scores(folder: Path) -> TestScores | None:
    """The scores of an earlier opening by the same model, if there was one."""
    path = folder / _KEPT_FILE
    if not path.exists():
        return None
    return _SCORES.validate_python(with_absolute_paths(json.loads(path.read_bytes()), folder))


def _ask_once(
    candidate: Candidate,
    version: RegisteredVersion,
    model: ModelProcess,
    images: tuple[TextImage, ...],
    test_set: SealedTestSet,
    on_progress: ProgressCallback,
) -> TestedImages:
    """A model's answers for test images: those that are kept, or new ones, for which the test set
    is opened.
    """
    file = _answers_file(candidate, version)
    answers = load_answers(file)
    if answers is None:
        test_set.open()
        answers = ask_about(model, images, on_progress)
        save_answers(answers, file)
    return answers.of(images)


def _with_first_latency(smoke: SmokeTest, candidate: Candidate) -> SmokeTest:
    """The seconds of the first time: told to MLflow again, others would be a second point."""
    file = candidate.folder / f"latency-{candidate.version.model_id}.json"
    if not file.exists():
        write_atomically(file, json.dumps(smoke.latency_s).encode())
    return replace(smoke, latency_s=json.loads(file.read_bytes()))


def _ask_about_unknown_writers(
    candidate: Candidate, model: ModelProcess, on_progress: ProgressCallback
) -> tuple[Prediction, ...]:
    file = candidate.folder / f"unknown-writers-{candidate.version.model_id}.json"
    answers = load_answers(file)
    if answers is None:
        answers = ask_about(model, candidate.unknown_images, on_progress)
        save_answers(answers, file)
    return tuple(answers.predictions.values())


def _answers_file(candidate: Candidate, version: RegisteredVersion) -> Path:
    return candidate.folder / f"answers-{version.model_id}.json"
