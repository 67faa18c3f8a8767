"""Whether the patches that evidence calls decisive are: the deletion test, on validation pages.

    python -m benchmarks.evidence_deletion SWEEP

Asks the model that `whosehand promote SWEEP` registered. Of each validation image the patches that
speak most for the decision are painted over with paper; the loss of the right writer is compared
with that of as many random patches of the same image. Test pages are not opened.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from scipy.stats import bootstrap

from benchmarks.deletion import DeletionLoss, Painted, deletion_loss
from benchmarks.report import print_report
from core.identification.writer_identifier import WriterIdentifier
from core.pages.image_files import read_grey
from search.cli.common import progress_bar
from search.experiment.workspace import Workspace
from search.identification.identifier_folder import ARTIFACTS
from search.sweep.known_sweeps import read_sweep
from search.sweep.preparation import prepare_corpus
from search.tracking.registry import champion, download_model
from search.tracking.store import open_store

_SEED = 0


def main(
    sweep: Annotated[str, typer.Argument(help="A promoted sweep in the current folder.")],
    model: Annotated[str | None, typer.Option(help="Registered name, if not the experiment's.")] = None,
    share: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Of an image's distinct patches to paint over.")
    ] = 0.25,
    draws: Annotated[int, typer.Option(min=1, help="Of random patches for each image.")] = 10,
    most: Annotated[int, typer.Option(min=1, help="At most so many validation images, evenly chosen.")] = 200,
) -> None:
    """Print what the right writer loses, on average over the validation images."""
    workspace = Workspace(Path.cwd())
    experiment = read_sweep(sweep, workspace).experiment
    corpus = prepare_corpus(experiment, workspace)
    store = open_store(experiment.tracking, workspace.root)
    folder = download_model(store, champion(store, model or experiment.model_name).location) / ARTIFACTS
    identifier = WriterIdentifier.load(folder / "model.keras", folder)
    if identifier.record.split_hash != corpus.manifest.hash:
        raise typer.BadParameter("The champion was trained on another split: its validation pages are others.")
    with_lines = {line.image_id for line in corpus.store.lines}
    wanted = set(corpus.manifest.validation) & with_lines
    images = [image for image in corpus.index.images if image.image_id in wanted]
    images = [images[i] for i in np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).astype(int))]
    losses: list[DeletionLoss] = []
    with progress_bar("painting over") as advance:
        for number, image in enumerate(images):
            lines = identifier.read_lines(read_grey(image.path, image.region), str(image.path), image.unit)
            loss = deletion_loss(identifier, lines, image.writer_id, share, draws, seed=_SEED + number)
            if loss is not None:
                losses.append(loss)
            advance(number + 1, len(images))
    _report(losses, len(images), sweep, share, draws)


def _report(losses: list[DeletionLoss], n_images: int, sweep: str, share: float, draws: int) -> None:
    differences = np.array([loss.difference for loss in losses])
    interval = bootstrap((differences,), np.mean, rng=np.random.default_rng(_SEED)).confidence_interval
    rows = [
        _row("decisive patches", [loss.decisive for loss in losses]),
        _row("random patches", [draw for loss in losses for draw in loss.random]),
        ("difference (95 %)", f"{differences.mean():.3f} ({interval.low:.3f} to {interval.high:.3f})", ""),
        ("images with a larger loss", f"{np.mean(differences > 0):.0%}", ""),
    ]
    print_report(
        f"Deletion test of the evidence, sweep {sweep}: {share:.0%} of each image's distinct patches painted over",
        ("painted over", "loss of the right writer, nats", "of the ink"),
        rows,
        [
            f"{len(losses)} of {n_images} validation images; in the others fewer patches speak for the decision.",
            f"{np.mean([loss.n_painted for loss in losses]):.1f} patches an image on average; none shares over half "
            "of its area with another.",
            f"{draws} random draws an image; the mean log-probability over all its patches is compared; bootstrap over "
            "images.",
        ],
    )


def _row(name: str, painted: list[Painted]) -> tuple[str, str, str]:
    return name, f"{np.mean([one.loss for one in painted]):.3f}", f"{np.mean([one.ink for one in painted]):.1%}"


if __name__ == "__main__":
    typer.run(main)
