"""What a promotion would do, said before anything is trained, opened or registered."""

from core.errors import RegistryError
from search.promotion.common_pages import corpus_key
from search.promotion.examination import pages_to_compare
from search.promotion.plan import PromotionJob
from search.promotion.refit import refit_folder
from search.promotion.sealed_test import kept_scores
from search.tracking.registry import CHAMPION, download_model, find_alias


def foresee(job: PromotionJob) -> tuple[str, ...]:
    """Say what would be done, a line for each step."""
    folder = refit_folder(job.workspace, job.experiment, job.trial.number, job.epochs)
    manifest, opened = job.corpus.manifest, job.sealed_pages().count()
    fit = "is there already" if (folder / "identifier.json").exists() else f"would train {job.epochs} epochs"
    tested = "kept from before, not opened again" if kept_scores(folder) else f"opened for the time {opened + 1}"
    n_test = len(manifest.test)
    return (
        job.rule,
        f"its refit {fit}",
        f"{n_test} test images, {tested}" if n_test else "the split has no test pages: there would be no score",
        _champion(job),
        "nothing was trained, opened or registered (--dry-run)",
    )


def _champion(job: PromotionJob) -> str:
    champion = find_alias(job.store, job.name, CHAMPION)
    if champion is None:
        return f"{job.name} has no champion yet: the thresholds of promotion.gate alone would count"
    try:
        folder = download_model(job.store, champion.location)
    except RegistryError as error:
        return f"version {champion.version} is champion of {job.name}, but cannot be asked: {error}"
    key, corpus = corpus_key(job.experiment), job.corpus
    common = pages_to_compare(champion, corpus.index.images, corpus.manifest, key, folder)
    if common.refusal:
        return f"it would stay challenger beside version {champion.version} of {job.name}: {common.refusal}"
    return (
        f"it would be compared with the champion of {job.name}, version {champion.version}, on {common.n_pages} test "
        f"{corpus.manifest.unit}s that neither has seen ({common.n_seen} others were seen by the champion)"
    )
