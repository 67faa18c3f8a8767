"""A sweep that has nothing to find: generated pages, dealt to writers at random.

`python -m benchmarks.shuffled_writers FOLDER` does the whole way for each seed, in a project of its
own in FOLDER, with the commands that a user gives. The gate must refuse each model: where a page
says nothing about its writer, being right is chance.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.report import notes, print_report
from core.corpora.catalogue import open_corpus
from core.corpora.settings import HandsSettings

N_WRITERS, N_PAGES = 6, 10
EXPERIMENT = """
name: shuffled
seed: {seed}
corpus: {{layout: folder, root: scans, unit: page}}
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
    (project / "shuffled.yaml").write_text(EXPERIMENT.format(seed=seed), encoding="utf-8")
    _run(project, "sweep", "shuffled.yaml")
    promoted = _run(project, "promote", "shuffled")
    refit = next((project / "mlruns" / "sweeps" / "shuffled" / "refits").iterdir())
    scores = json.loads((refit / "test.json").read_text(encoding="utf-8"))
    metrics = scores["result"]["metrics"]
    top1 = metrics.get("test/page_top1", metrics["test/image_top1"])
    return Ended(seed, float(top1), promoted.split(" ", 1)[0], tuple(_reasons(promoted)))


def _run(project: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "search.cli.main", *arguments]
    ran = subprocess.run(command, cwd=project, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode not in (0, 2):  # 2: did not pass the gate
        raise RuntimeError(f"`whosehand {' '.join(arguments)}` ended with code {ran.returncode}")
    return ran.stdout


def _reasons(promoted: str) -> Iterator[str]:
    """The lines below the first one, as far as they are a list."""
    for line in promoted.splitlines()[1:]:
        if not line.startswith("  - "):
            return
        yield line.removeprefix("  - ")


def main(
    folder: Annotated[Path, typer.Argument(help="For the projects; must not be there.")],
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 1.")] = 5,
) -> None:
    """Sweep over shuffled writers, and see that no champion comes of it."""
    folder = folder.absolute()
    folder.mkdir(parents=True)
    ended = []
    for seed in range(1, seeds + 1):
        notes.print(f"seed {seed}")
        ended.append(go_the_way(folder / f"seed-{seed}", seed, folder / "data"))
    print_report(
        f"Shuffled writers ({N_WRITERS} writers, {N_PAGES} pages each)",
        ("seed", "test pages identified correctly", "became", "reason"),
        [(str(each.seed), f"{each.top1:.1%}", each.became, "; ".join(each.reasons)) for each in ended],
    )


if __name__ == "__main__":
    typer.run(main)
