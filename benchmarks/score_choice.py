"""Which validation score should a sweep look at: how well each tells what a trial is worth.

    python -m benchmarks.champions dhsd --dhsd PATH
    cd build/champions; python -m benchmarks.score_choice dhsd-1 dhsd-2 dhsd-3

A trial's worth is what its saved model comes to on images that no subset of the sweep's split
has, with the temperature that fits its validation images, as a promotion would fit it. Test images
are not touched. The sweeps must have left images out, as those of `benchmarks.champions` on DHSD
do, and have kept their models.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.kept_results import KeptResults
from benchmarks.options import Threads, resolve_threads
from benchmarks.report import notes, print_report
from core.identification.calibration import apply_temperature, fit_temperature, item_means
from core.lines.store import LineStore
from core.networks.inference import Predictor
from core.patches.feed import evaluation_batches
from core.patches.plan import PatchPlan, evaluation_plan
from core.splits.settings import SplitSettings
from core.training.fit import configure_tensorflow
from search.cli.common import progress_bar
from search.experiment.experiment import Experiment
from search.experiment.workspace import Workspace
from search.ledger.trial import TrialState
from search.objectives.saved_model import load_model
from search.sweep.known_sweeps import read_sweep
from search.sweep.preparation import prepare_corpus

FloatArray = NDArray[np.float64]
SCORES = {
    "image log-loss": "image_logloss",
    "image log-loss, calibrated": "calibrated",
    "patch log-loss": "patch_logloss",
    "image top-1": "image_top1",
    "patch top-1": "patch_top1",
}
_N_SPARE, _PER_IMAGE = 1200, 8  # images, and patches of each
_N_DRAWS, _OF = 4000, 8  # sweeps of so many trials, drawn from all


def main(
    sweeps: Annotated[list[str], typer.Argument(help="Names of sweeps of this project, all of one split.")],
    out: Annotated[Path, typer.Option(help="File of results to go on with.")] = Path("score_choice.json"),
    threads: Threads = 0,
) -> None:
    """Compare validation scores as guides of a sweep."""
    configure_tensorflow(resolve_threads(threads), "float32", 0)
    workspace, kept = Workspace(Path.cwd()), KeptResults(out)
    found: list[dict[str, dict[str, float]]] = []
    plans: tuple[LineStore, PatchPlan, PatchPlan] | None = None
    for name in sweeps:
        sweep = read_sweep(name, workspace)
        plans = plans or _plans(name, sweep.experiment, workspace)
        for trial in sweep.state.trials.values():
            if trial.state is TrialState.COMPLETED and trial.result is not None and trial.result.model is not None:
                notes.print(f"{name}, trial {trial.number} ...")
                model = trial.result.model
                found.append(kept.get_or_make({"model": model.sha256}, partial(_measure, model.path, *plans)))
    if len(found) < _OF:
        raise typer.BadParameter(f"At least {_OF} completed trials with models are needed, but got {len(found)}.")
    _report(found)


def _plans(name: str, experiment: Experiment, workspace: Workspace) -> tuple[LineStore, PatchPlan, PatchPlan]:
    """The line store of the whole corpus, the patches of the validation images, and those of images
    that the sweep left out.
    """
    with progress_bar(f"reading the corpus of {name}") as advance:
        manifest = prepare_corpus(experiment, workspace, advance).manifest
        whole = experiment.model_copy(update={"split": SplitSettings(official=experiment.split.official)})
        store = prepare_corpus(whole, workspace, advance).store
    used = {*manifest.train, *manifest.validation, *manifest.test}
    spare = sorted({line.image_id for line in store.lines if line.writer_id in manifest.writer_ids} - used)
    if not spare:
        raise typer.BadParameter(f"The split of {name} must leave images out, but it has all.")
    chosen = [spare[place] for place in np.random.default_rng(0).permutation(len(spare))[:_N_SPARE]]
    patches, per_image = experiment.patches, experiment.patches.of_validation_image(len(manifest.validation))
    return (
        store,
        evaluation_plan(store, manifest.validation, manifest.writer_ids, patches, per_image),
        evaluation_plan(store, chosen, manifest.writer_ids, patches, _PER_IMAGE),
    )


def _measure(model: Path, store: LineStore, validation: PatchPlan, spare: PatchPlan) -> dict[str, dict[str, float]]:
    predictor = Predictor(load_model(model))
    on_validation = _scores(predictor, store, validation)
    return {
        "validation": on_validation,
        "worth": _scores(predictor, store, spare, on_validation["temperature"]),
    }


def _scores(
    predictor: Predictor, store: LineStore, plan: PatchPlan, temperature: float | None = None
) -> dict[str, float]:
    answers = predictor.log_probabilities(evaluation_batches(store, plan, 256)).astype(np.float64)
    images = [store.lines[line].image_id for line in plan.lines.tolist()]
    means, true = item_means(answers, plan.labels, images)
    fitted = fit_temperature(means, true) if temperature is None else temperature
    own = np.arange(len(means)), true
    return {
        "image_logloss": float(-means[own].mean()),
        "calibrated": float(-apply_temperature(means, fitted)[own].mean()),
        "patch_logloss": float(-answers[np.arange(len(answers)), plan.labels].mean()),
        "image_top1": float((means.argmax(axis=1) == true).mean()),
        "patch_top1": float((answers.argmax(axis=1) == plan.labels).mean()),
        "temperature": fitted,
    }


def _report(found: Sequence[dict[str, dict[str, float]]]) -> None:
    def values(on: str, score: str) -> FloatArray:
        """The lower the better."""
        sign = -1.0 if score.endswith("top1") else 1.0
        return sign * np.array([trial[on][score] for trial in found])

    generator = np.random.default_rng(0)
    draws = [generator.choice(len(found), _OF, replace=False) for _ in range(_N_DRAWS)]
    worths = {name: values("worth", name) for name in ("calibrated", "image_top1", "patch_top1")}
    better = worths["calibrated"] <= np.median(worths["calibrated"])
    rows = []
    for name, score in SCORES.items():
        guide = values("validation", score)
        orders = [spearmanr(guide[some], worths["calibrated"][some]).statistic for some in (slice(None), better)]
        lost = {
            worth: np.mean([own[draw][np.argmin(guide[draw])] - own[draw].min() for draw in draws])
            for worth, own in worths.items()
        }
        rows.append(
            (
                name,
                *(f"{order:.2f}" for order in orders),
                f"{lost['calibrated']:.3f}",
                *(f"{100 * lost[worth]:.1f}" for worth in ("image_top1", "patch_top1")),
            )
        )
    columns = (
        *("validation score", "rank correlation", "better half"),
        *("lost: nats", "points of image top-1", "points of patch top-1"),
    )
    remarks = [
        f"{len(found)} trained networks; their worth is told by images that no subset of the split has, log-loss "
        "with the temperature of the validation images",
        f"rank correlation with that log-loss; lost: what the best of {_OF} trials by this score is worse than the "
        f"best of them, mean of {_N_DRAWS} draws",
    ]
    print_report("Which validation score tells what a trial is worth", columns, rows, remarks)


if __name__ == "__main__":
    typer.run(main)
