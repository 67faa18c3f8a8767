"""A sweep that has nothing to find: generated pages, dealt to writers at random.

`python -m benchmarks.shuffled_writers FOLDER` sweeps and promotes for each seed, in a project of
its own in FOLDER. The gate must refuse each model: where a page says nothing about its writer,
being right is chance.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import whosehand as wh
from benchmarks.report import notes, print_report
from core.corpora.catalogue import open_corpus
from core.corpora.settings import HandsSettings

N_WRITERS, N_PAGES = 6, 10
EXPERIMENT = """
name: shuffled
seed: {seed}
corpus: {{layout: folder, root: {root}, unit: page}}
split: {{validation: 0.2, test: 0.4}}
patches: {{patches_per_epoch: 400, per_image_at_validation: 4, per_image_at_test: 8}}
space:
  base: none
  fixed: {{input_px: 56, n_blocks: 3, stem_stride: 2, filters: 8, batch_size: 32}}
  dimensions: {{learning_rate: {{type: real, low: 1.0e-3, high: 1.0e-2, log: true}}}}
training: {{epochs: 2, precision: float32}}
executor: {{workers: 1}}
budget: {{trials: 2}}
promotion: {{epochs: 4}}
"""


@dataclass(frozen=True)
class Ended:
    """How the way of one seed ended.

    Attributes:
        seed: of the shuffling and the sweep.
        top1: share of the test pages that were identified correctly.
        became: `champion` or `challenger`.
        reasons: why it is not champion.
    """

    seed: int
    top1: float
    became: str
    reasons: tuple[str, ...]


def deal_pages(folder: Path, seed: int, data_dir: Path) -> None:
    """Copy pages into a folder for each of as many writers, each page to one of them at random.

    Args:
        folder: for the writers' folders.
        seed: of the shuffling; each writer gets as many pages as any other.
        data_dir: where the pages are generated, once for all seeds.
    """
    corpus = open_corpus(HandsSettings(n_writers=N_WRITERS, n_pages=N_PAGES, n_lines=3, unit="page"), data_dir)
    images = corpus.index().images
    dealt = np.random.default_rng(seed).permutation(np.arange(len(images)) % N_WRITERS)
    for image, writer in zip(images, dealt, strict=True):
        target = folder / f"writer {writer}"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(image.path, target)


def go_the_way(project: Path, seed: int, data_dir: Path) -> Ended:
    """Deal the pages, sweep, promote.

    Args:
        project: a folder that is not there yet.
        seed: of all of it.
        data_dir: where the pages are generated.
    """
    deal_pages(project / "scans", seed, data_dir)
    path = project / "shuffled.yaml"
    path.write_text(EXPERIMENT.format(seed=seed, root=project / "scans"), encoding="utf-8")
    sweep = wh.sweep(path, project=project)
    promotion = wh.promote(sweep)
    scores = promotion.examined.scores
    return Ended(seed, scores.top1 if scores else 0.0, promotion.became, promotion.gate.objections)


def main(
    folder: Annotated[Path, typer.Argument(help="For the projects.")],
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 5,
    first: Annotated[int, typer.Option(min=1, help="The first of them.")] = 1,
) -> None:
    """Sweep over shuffled writers, and see that no champion comes of it."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    ended = []
    for seed in range(first, first + seeds):
        notes.print(f"seed {seed}")
        ended.append(go_the_way(folder / f"seed-{seed}", seed, folder / "data"))
    print_report(
        f"Shuffled writers ({N_WRITERS} writers, {N_PAGES} pages each)",
        ("seed", "test pages identified correctly", "became", "reason"),
        [(str(each.seed), f"{each.top1:.1%}", each.became, "; ".join(each.reasons)) for each in ended],
    )


if __name__ == "__main__":
    typer.run(main)
