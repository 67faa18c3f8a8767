"""A champion beside a candidate on test pages by writers whom neither was trained on.

Both describe the same pages, each as its own network reads them; what is compared is how well each
finds the pages by the same hand. The champion does so in a worker.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from core.durable_files import write_atomically
from core.errors import RegistryError
from core.lines.reading import ProgressCallback
from core.lines.store import LineStore, build_line_store
from core.retrieval.described_pages import DescribedPages, PagesToDescribe, compare_pages
from core.training.plan import choose_precision
from search.executors.base import run_task, task_progress
from search.identification.identifier_folder import is_as_promoted, read_record
from search.identification.page_reader import load_embedder
from search.ledger.access_log import SealedTestSet
from search.ledger.files import reference_file
from search.ledger.trial import ReportEpoch, TrialResult, TrialSpec, TrialState
from search.objectives.tasks import DESCRIPTORS_FILE
from search.promotion.examination import Candidate, TestScores, pages_to_compare
from search.promotion.found_pages import FoundPages
from search.promotion.gate import Comparison
from search.promotion.plan import PromotionJob
from search.sweep.progress import Progress
from search.sweep.unseen_writers import images_per_page
from search.sweep.workers import local_executor
from search.tracking.registry import CHECKSUM_TAG, RegisteredVersion, download_model

DESCRIBE_PAGES = "search.promotion.finding:describe_test_pages"


@dataclass(frozen=True)
class DescribingTask:
    """Pages that a registered model shall describe.

    Attributes:
        model: its folder.
        runs_own_code: whether a network of the user's own may import the module beside it.
        line_store: of the images, read as the model reads pages.
        image_ids: that the pages are made of.
        per_image: most patches of one image.
        images_per_page: so many images of a writer make a page.
    """

    model: Path
    runs_own_code: bool
    line_store: Path
    image_ids: tuple[str, ...]
    per_image: int
    images_per_page: int


def describe_test_pages(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Describe pages by a registered model, in a worker; `spec.settings` is a `DescribingTask`.

    Raises:
        WhosehandError: if the model cannot be loaded, or the line store is damaged.
    """
    task: DescribingTask = spec.settings
    identifier, embedder = load_embedder(task.model, task.runs_own_code)
    lines, patches = LineStore.open(task.line_store), identifier.record.patches
    pages = PagesToDescribe(lines, task.image_ids, patches, task.per_image, task.images_per_page)
    spec.work_dir.mkdir(parents=True, exist_ok=True)
    path = spec.work_dir / DESCRIPTORS_FILE
    pages.describe(embedder, task_progress(report_epoch)).save(path)
    return TrialResult(TrialState.COMPLETED, artifacts={path.name: reference_file(path)})


def found_pages(scores: TestScores) -> FoundPages:
    """What the candidate found, from the files of its test."""
    return FoundPages.of(DescribedPages.load(scores.result.artifacts[f"test/{DESCRIPTORS_FILE}"].path))


def compare_finding(
    job: PromotionJob,
    champion: RegisteredVersion,
    candidate: Candidate,
    found: FoundPages | None,
    test_set: SealedTestSet,
    progress: Progress,
) -> Comparison:
    """Let the champion describe the candidate's test pages, and compare on those by writers whom it
    has not seen.

    Args:
        job: of the candidate.
        champion: registered.
        candidate: registered.
        found: by the candidate; `None` if it was not tested.
        test_set: is opened if nothing is kept of an earlier time.
        progress: shows how far it is.

    Raises:
        RegistryError: if the champion's files are gone, or it cannot describe the pages.
    """
    folder = download_model(job.store, champion.location)
    common = pages_to_compare(champion, candidate.images, candidate.manifest, candidate.corpus_key, folder)
    if common.refusal or found is None:
        return Comparison(champion.version, common, None)
    kept = candidate.folder / f"found-{champion.model_id}.npz"
    if not kept.exists():
        runs_own_code = is_as_promoted(folder, champion.tags.get(CHECKSUM_TAG))
        test_set.open()
        with progress.working("asking the champion", "pages") as advance:
            _describe(job, folder, runs_own_code, candidate, kept, advance)
    theirs = DescribedPages.load(kept)
    writers = {image.writer_id for image in common.images}
    test = compare_pages(found.pages.of_writers(writers), theirs.of_writers(writers))
    if test is None:
        refusal = "the two have no test pages in common that both could read"
        return Comparison(champion.version, replace(common, refusal=refusal), None)
    return Comparison(champion.version, common, test)


def _describe(
    job: PromotionJob,
    folder: Path,
    runs_own_code: bool,
    candidate: Candidate,
    kept: Path,
    on_progress: ProgressCallback,
) -> None:
    """Let a worker describe the candidate's test pages by a champion; the descriptors are kept."""
    experiment, corpus = job.experiment, job.corpus
    lines = corpus.store
    if read_record(folder).ink != experiment.ink:
        test_index = replace(corpus.index, images=candidate.test_images)
        lines = build_line_store(test_index, read_record(folder).ink, job.workspace.line_stores)
    task = DescribingTask(
        model=folder,
        runs_own_code=runs_own_code,
        line_store=lines.folder,
        image_ids=corpus.manifest.test,
        per_image=experiment.patches.per_image_at_test,
        images_per_page=images_per_page(experiment, corpus) or 1,
    )
    work_dir = candidate.folder / "champion"
    executor = local_executor(experiment, DESCRIBE_PAGES, n_workers=1)
    precision = choose_precision(experiment.training.precision)
    spec = TrialSpec.of_task(
        DESCRIBE_PAGES, task, work_dir, precision=precision, seed=experiment.seed, threads=executor.threads
    )
    result = run_task(executor, spec, on_progress)
    if result.state is not TrialState.COMPLETED:
        raise RegistryError(f"The champion must describe the test pages, but that failed: {result.reason}")
    write_atomically(kept, result.artifacts[DESCRIPTORS_FILE].path.read_bytes())
    shutil.rmtree(work_dir, ignore_errors=True)
