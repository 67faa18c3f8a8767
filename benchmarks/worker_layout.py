"""How to divide the cores: one worker with all threads, or more workers with fewer threads each.

    python -m benchmarks.worker_layout

Real processes train the same network at the same time, through the feed, with the settings of a
trial; layouts take turns. Told are all patches of all workers per second. What a trial does besides
training (its start, validation, pictures, saving) has one thread mostly, and so speaks for more
workers than these numbers do; memory speaks against.
"""

import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.corpora import prepare_hands
from benchmarks.layout_worker import LayoutTask, train_on_demand
from benchmarks.networks import NETWORKS, patches_a_round
from benchmarks.options import Precision, Rounds, Scale
from benchmarks.report import median, notes, print_report, spread
from benchmarks.short_sweep import temporary_folder
from core.networks.hyperparameters import Hyperparameters
from core.training.plan import choose_precision
from search.executors.machine import count_cores
from search.sweep.preparation import PreparedCorpus, save_split

Layout = tuple[int, int]
"""Workers, and threads of each."""


def main(
    rounds: Rounds = 5,
    scale: Scale = 1.0,
    writers: int = 20,
    precision: Precision = "auto",
    layouts: Annotated[
        str, typer.Option(help="WORKERSxTHREADS, comma between; by default up to four workers on all cores.")
    ] = "",
) -> None:
    """Measure one worker with all threads against more workers."""
    corpus = prepare_hands(writers)
    chosen = parse_layouts(layouts) if layouts else all_layouts(count_cores())
    rows = []
    with temporary_folder() as folder:
        split = save_split(corpus.manifest, folder)
        for name, hyperparameters in NETWORKS.items():
            notes.print(f"worker_layout: {name} ...")
            crew = Crew(
                corpus, split, hyperparameters, patches_a_round(name, scale), rounds, choose_precision(precision)
            )
            speeds = crew.measure(chosen)
            for layout in chosen:
                ratios = [own / first for own, first in zip(speeds[layout], speeds[chosen[0]], strict=True)]
                rows.append((name, _say(layout), median(speeds[layout]), spread(ratios)))
    remarks = [
        f"{rounds} rounds after a warm-up; speeds are medians, ratios the median (lowest to highest) of the rounds",
        "patches of all workers together, until the last of them is through with its round",
    ]
    columns = ("network", "workers x threads", "patches/s of all", f"ratio to {_say(chosen[0])}")
    print_report("Layout of workers", columns, rows, remarks)


class Crew:
    """Workers in every layout, all alive, of which one layout works at a time."""

    def __init__(
        self,
        corpus: PreparedCorpus,
        split: Path,
        hyperparameters: Hyperparameters,
        n_patches: int,
        n_rounds: int,
        precision: str,
    ) -> None:
        self._corpus, self._split, self._hyperparameters = corpus, split, hyperparameters
        self._n_patches, self._n_rounds, self._precision = n_patches, n_rounds, precision

    def measure(self, layouts: list[Layout]) -> dict[Layout, list[float]]:
        """Take turns; patches a second of all workers together by layout, one a round."""
        links = {(workers, threads): [self._start(threads, k) for k in range(workers)] for workers, threads in layouts}
        for own in links.values():
            _hear(own)  # ready
        speeds: dict[Layout, list[float]] = {layout: [] for layout in layouts}
        for _ in range(self._n_rounds):
            for layout, own in links.items():
                started = time.perf_counter()
                for link in own:
                    link.send("go")
                speeds[layout].append(_hear(own) / (time.perf_counter() - started))
        return speeds

    def _start(self, threads: int, seed: int) -> Connection:
        task = LayoutTask(
            self._corpus.store.folder,
            self._split,
            self._hyperparameters,
            self._n_patches,
            self._n_rounds,
            threads,
            self._precision,
            seed,
        )
        context = multiprocessing.get_context("spawn")
        link, far_end = context.Pipe()
        context.Process(target=train_on_demand, args=(task, far_end), daemon=True).start()
        far_end.close()
        return link


def all_layouts(n_cores: int) -> list[Layout]:
    """One worker with all cores, then the layouts of up to four workers that divide the cores
    evenly.

    Example:
        >>> all_layouts(2), all_layouts(8)
        ([(1, 2), (2, 1)], [(1, 8), (2, 4), (4, 2)])
    """
    return [(workers, n_cores // workers) for workers in range(1, min(n_cores, 4) + 1) if n_cores % workers == 0]


def parse_layouts(text: str) -> list[Layout]:
    """Read `1x2,2x1`.

    Raises:
        typer.BadParameter: if a part is not WORKERSxTHREADS with numbers from 1.
    """
    layouts = []
    for part in text.split(","):
        workers, _, threads = part.strip().partition("x")
        if not (workers.isdigit() and threads.isdigit() and int(workers) > 0 and int(threads) > 0):
            raise typer.BadParameter(f"A layout is written WORKERSxTHREADS, such as 1x2, but got {part!r}.")
        layouts.append((int(workers), int(threads)))
    return layouts


def _hear(links: list[Connection]) -> int:
    return sum(int(link.recv()) for link in links)


def _say(layout: Layout) -> str:
    return f"{layout[0]} x {layout[1]}"


if __name__ == "__main__":
    typer.run(main)
