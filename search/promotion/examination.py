"""A registered version is examined: smoke test, test pages, the champion beside it, and what the gate says.

The sealed test pages: opened once for a model, written down before, and the scores kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from core.corpora.index import TextImage
from core.errors import RegistryError
from core.splits.manifest import SplitManifest
from search.executors.base import run_task
from search.executors.local.executor import LocalExecutor
from search.experiment.settings import GateSettings
from search.identification.identifier_folder import is_identifier, read_split
from search.identification.model_process import ModelProcess
from search.ledger.access_log import SealedTestSet
from search.ledger.files import write_atomically
from search.ledger.trial import TrialResult, TrialSpec, TrialState
from search.objectives.tasks import PatchTask, ScoringTask
from search.promotion.gate import (
    CommonPages,
    Comparison,
    GateResult,
    ProductScores,
    common_pages,
    compare_answers,
    judge,
    score_product,
)
from search.promotion.model_answers import ModelAnswers, SmokeTest, ask_about, load_answers, save_answers, smoke_test
from search.promotion.refit import ReferenceAnswer
from search.tracking.registry import RegisteredVersion, download_model
from search.tracking.store import TrackingStore

SCORE_PATCH_CNN = "search.objectives.patch_cnn:score_patch_cnn"
_KEPT_FILE = "test.json"


@dataclass(frozen=True)
class TestScores:
    """What a model did on the sealed test pages.

    Attributes:
        result: metrics `test/...` and files.
        n_openings: how often these pages had been opened, this time included.
        opened_ms: when, Unix time.
    """

    __test__ = False  # no test class, whatever pytest thinks of the name

    result: TrialResult
    n_openings: int
    opened_ms: int


_KEPT: TypeAdapter[TestScores] = TypeAdapter(TestScores)


def kept_scores(folder: Path) -> TestScores | None:
    """The scores of an earlier opening by the same model, if there was one."""
    path = folder / _KEPT_FILE
    return _KEPT.validate_json(path.read_bytes()) if path.exists() else None


def open_test_pages(
    model: Path,
    task: PatchTask,
    pages: SealedTestSet,
    folder: Path,
    executor: LocalExecutor,
    precision: str,
    seed: int,
) -> TestScores:
    """Score a model on the test part, in a worker; the opening is written down before.

    Args:
        model: the saved model's folder.
        task: of the trial that trained it.
        pages: are opened.
        folder: for the scores, which later calls of `kept_scores` find.
        executor: closed when this returns.
        precision: as the model was trained in.
        seed: of nothing but TensorFlow's set-up.

    Raises:
        RegistryError: if scoring fails. The opening counts nevertheless.
    """
    n_openings = pages.open()
    settings = ScoringTask(model, task, "test")
    spec = TrialSpec.of_task(
        SCORE_PATCH_CNN, settings, folder / "test", precision=precision, seed=seed, threads=executor.threads
    )
    result = run_task(executor, spec)
    if result.state is not TrialState.COMPLETED:
        raise RegistryError(f"The model must be scored on the test pages, but that failed: {result.reason}")
    scores = TestScores(result, n_openings, pages.opened_ms)
    write_atomically(folder / _KEPT_FILE, _KEPT.dump_json(scores, indent=2))
    return scores


@dataclass(frozen=True)
class Candidate:
    """A registered version that wants to be champion.

    Attributes:
        version: in the registry.
        images: its corpus.
        manifest: its split.
        corpus_key: of the corpus's settings; see `common_pages`.
        references: answers of its network before it was packed.
        precision: that it computes in.
        size_bytes: of all its files.
        folder: where answers for test pages are kept.
    """

    version: RegisteredVersion
    images: tuple[TextImage, ...]
    manifest: SplitManifest
    corpus_key: str
    references: tuple[ReferenceAnswer, ...]
    precision: str
    size_bytes: int
    folder: Path

    @property
    def test_images(self) -> tuple[TextImage, ...]:
        """The images of its sealed pages."""
        test = set(self.manifest.test)
        return tuple(image for image in self.images if image.image_id in test)


@dataclass(frozen=True)
class Examined:
    """What was found about a candidate alone.

    Attributes:
        smoke: whether it answers as before.
        answers: for its test images; `None` if there are none, or the smoke test failed.
        scores: of them.
    """

    smoke: SmokeTest
    answers: ModelAnswers | None
    scores: ProductScores | None


def examine(
    candidate: Candidate, store: TrackingStore, pages: SealedTestSet, score_network: Callable[[], None]
) -> Examined:
    """Load the candidate afresh from the registry in a process of its own, and ask it.

    Args:
        candidate: registered.
        store: where.
        pages: are opened if the smoke test passes and nothing is kept of an earlier time.
        score_network: called once before the test pages are asked about; it scores the bare network on them.

    Raises:
        RegistryError: if the model's process ends.
    """
    with ModelProcess(download_model(store, candidate.version.location)) as model:
        smoke = smoke_test(model, candidate.references, candidate.precision)
        if smoke.failure or not candidate.test_images:
            return Examined(smoke, None, None)
        score_network()
        answers = _answers(candidate, candidate.version, model, candidate.test_images, pages)
    if not answers.images:
        return Examined(smoke, answers, None)
    return Examined(smoke, answers, score_product(answers.images, candidate.manifest.unit))


def compare_with(
    champion: RegisteredVersion, candidate: Candidate, examined: Examined, store: TrackingStore, pages: SealedTestSet
) -> Comparison:
    """Ask the champion about those of the candidate's test pages that it has not seen, and compare.

    Raises:
        RegistryError: if the champion's files are gone or its process ends.
    """
    folder = download_model(store, champion.location)
    common = pages_to_compare(champion, candidate.images, candidate.manifest, candidate.corpus_key, folder)
    if common.refusal or examined.answers is None:
        return Comparison(champion.version, common, None)
    kept = load_answers(_answers_file(candidate, champion))
    if kept is None:
        with ModelProcess(folder) as model:
            kept = _answers(candidate, champion, model, common.images, pages)
    return Comparison(champion.version, common, compare_answers(examined.answers.images, kept.images))


def pages_to_compare(
    champion: RegisteredVersion,
    images: tuple[TextImage, ...],
    manifest: SplitManifest,
    key: str,
    folder: Path,
) -> CommonPages:
    """Find the test pages that a champion has not seen; nothing is opened.

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
    return common_pages(images, manifest, split, champion.tags.get("corpus_key") == key)


def decide(
    candidate: Candidate, settings: GateSettings, examined: Examined, comparison: Comparison | None
) -> GateResult:
    """Ask the gate."""
    return judge(settings, examined.smoke, candidate.size_bytes, examined.scores, comparison)


def _answers(
    candidate: Candidate,
    version: RegisteredVersion,
    model: ModelProcess,
    images: tuple[TextImage, ...],
    pages: SealedTestSet,
) -> ModelAnswers:
    """A model's answers for test images: those that are kept, or new ones, for which the pages are opened."""
    file = _answers_file(candidate, version)
    kept = load_answers(file)
    if kept is not None:
        return kept
    pages.open()
    answers = ask_about(model, images)
    save_answers(answers, file)
    return answers


def _answers_file(candidate: Candidate, version: RegisteredVersion) -> Path:
    return candidate.folder / f"answers-{version.model_id}.json"
