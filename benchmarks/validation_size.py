"""How many validation patches a sweep needs: what fewer cost in certainty, and save in time.

    python -m benchmarks.validation_size SWEEP [SWEEP ...] [--per-image 1,2,3,6]

The sweeps must be of one split, and have kept their models. Every completed trial's model names
the validation patches anew, with each number of patches of an image. Images are then halved many
times: the best trial by one half is judged by 32 patches of each image of the other half, and what
it is worse there than the best trial is lost. Test images are not touched.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.kept_results import KeptResults
from benchmarks.options import Threads, resolve_threads
from benchmarks.report import notes, print_report
from core.lines.store import LineStore
from core.networks.inference import Predictor
from core.patches.feed import evaluation_batches
from core.patches.plan import PatchPlan, evaluation_plan
from core.training.fit import configure_tensorflow
from search.cli.common import progress_bar
from search.experiment.workspace import Workspace
from search.ledger.time_use import parts_of
from search.ledger.trial import TrialState
from search.objectives.saved_model import load_model
from search.sweep.known_sweeps import KnownSweep, read_sweep
from search.sweep.preparation import prepare_corpus

FloatArray = NDArray[np.float64]
REFERENCE = 32
"""Patches of an image by which a trial is judged."""
_N_HALVES, _N_RESAMPLES = 1000, 1000


def main(
    sweeps: Annotated[list[str], typer.Argument(help="Names of sweeps of this project, all of one split.")],
    per_image: Annotated[str, typer.Option(help="Patches of an image, with commas.")] = "1,2,3,6",
    out: Annotated[Path, typer.Option(help="File of results to go on with.")] = Path("build/validation_size.json"),
    threads: Threads = 0,
) -> None:
    """Compare numbers of validation patches as guides of a sweep."""
    configure_tensorflow(resolve_threads(threads), "float32", 0)
    workspace, kept = Workspace(Path.cwd()), KeptResults(out)
    known = [read_sweep(name, workspace) for name in sweeps]
    numbers = [int(number) for number in per_image.split(",")]
    store, plans, n_validated = _plans(known[0], workspace, [*numbers, REFERENCE])
    patch_s = _validation_s(known, n_validated)
    found: dict[int, list[FloatArray]] = {number: [] for number in plans}
    for name, sweep in zip(sweeps, known, strict=True):
        for trial in sweep.state.trials.values():
            if trial.state is not TrialState.COMPLETED or trial.result is None or trial.result.model is None:
                continue
            notes.print(f"{name}, trial {trial.number} ...")
            model = trial.result.model
            for number, plan in plans.items():
                make = partial(_shares_right, model.path, store, plan)
                found[number].append(np.array(kept.get_or_make({"model": model.sha256, "per image": number}, make)))
    n_trials = len(found[REFERENCE])
    if n_trials < 2:
        raise typer.BadParameter(f"At least two completed trials with models are needed, but got {n_trials}.")
    rows = [
        (
            f"{number}",
            f"{len(plans[number]):,}",
            f"{100 * patch_s * len(plans[number]) / (1 + patch_s * len(plans[number])):.1f} %",
            *(f"{100 * each:.2f}" for each in standard_errors(np.array(found[number]))),
            f"{100 * lost_by_choice(np.array(found[number]), np.array(found[REFERENCE])):.2f}",
        )
        for number in numbers
    ]
    columns = (
        *("patches of an image", "patches", "share of an epoch's time"),
        *("standard error, points", "of a difference, points", "lost, points"),
    )
    remarks = [
        f"{n_trials} trained networks, {found[REFERENCE][0].size:,} validation images, patch top-1",
        "standard errors by bootstrap over images, median over networks and over pairs of them",
        f"lost: what the best trial by half of the images has less than the best one, by {REFERENCE} patches of each "
        f"image of the other half; mean of {_N_HALVES} halvings",
    ]
    print_report("How many validation patches a sweep needs", columns, rows, remarks)


def _plans(
    sweep: KnownSweep, workspace: Workspace, numbers: Sequence[int]
) -> tuple[LineStore, dict[int, PatchPlan], int]:
    """The line store, a plan for each number of patches of an image, and how many patches the sweep
    itself validated on.
    """
    with progress_bar("reading the corpus") as advance:
        corpus = prepare_corpus(sweep.experiment, workspace, advance)
    manifest, patches = corpus.manifest, sweep.experiment.patches

    def plan_of(number: int) -> PatchPlan:
        return evaluation_plan(corpus.store, manifest.validation, manifest.writer_ids, patches, number)

    own = patches.of_validation_image(len(manifest.validation))
    return corpus.store, {number: plan_of(number) for number in numbers}, len(plan_of(own))


def _shares_right(model: Path, store: LineStore, plan: PatchPlan) -> list[float]:
    """The share of each image's patches that a model names right."""
    answers = Predictor(load_model(model)).log_probabilities(evaluation_batches(store, plan, 256))
    right = answers.argmax(axis=1) == plan.labels
    _, images = np.unique([store.lines[line].image_id for line in plan.lines.tolist()], return_inverse=True)
    shares: list[float] = (np.bincount(images, weights=right) / np.bincount(images)).tolist()
    return shares


def _validation_s(sweeps: Sequence[KnownSweep], n_validated: int) -> float:
    """Seconds of validating a patch, for each second of an epoch's training steps; median over
    trials.
    """
    ratios = []
    for sweep in sweeps:
        for trial in sweep.state.trials.values():
            if trial.state is TrialState.COMPLETED:
                parts = parts_of(trial)
                ratios.append(parts["validation"] / parts["steps"] / n_validated)
    return float(np.median(ratios))


def standard_errors(shares: FloatArray) -> tuple[float, float]:
    """Of a network's score, and of the difference of two: medians over networks and pairs.

    Args:
        shares: (n_networks, n_images) of an image's patches that are named right.
    """
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(shares.shape[1], np.full(shares.shape[1], 1 / shares.shape[1]), _N_RESAMPLES)
    scores = shares @ drawn.T / shares.shape[1]
    one, other = np.triu_indices(len(shares), 1)
    return float(np.median(scores.std(axis=1))), float(np.median((scores[one] - scores[other]).std(axis=1)))


def lost_by_choice(shares: FloatArray, reference: FloatArray) -> float:
    """What the best network by half of the images is worse than the best one on the other half.

    Args:
        shares: (n_networks, n_images) of an image's patches that are named right, to choose by.
        reference: the same of more patches, to judge by.

    Returns:
        A share of patches, the mean over many halvings.
    """
    generator, n_images = np.random.default_rng(0), shares.shape[1]
    lost = []
    for _ in range(_N_HALVES):
        order = generator.permutation(n_images)
        guide, judge = order[: n_images // 2], order[n_images // 2 :]
        worths = reference[:, judge].mean(axis=1)
        lost.append(worths.max() - worths[np.argmax(shares[:, guide].mean(axis=1))])
    return float(np.mean(lost))


if __name__ == "__main__":
    typer.run(main)
