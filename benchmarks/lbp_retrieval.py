"""How well pages by the same hand are found without any training: the baseline beside a network.

    python -m benchmarks.lbp_retrieval experiments/dhsd.yaml --model FOLDER --join 10

The descriptor is that of Nicolaou, Bagdanov, Liwicki and Karatzas ("Sparse radial sampling LBP for
writer identification", ICDAR 2015) without its PCA, which needs training pages: for each of 12
radii the histogram of the local binary patterns of 8 neighbours, patterns of no edge left out, and
square roots. Neighbours are the nearest pixels, not interpolated ones. It is computed on the same
lines and the same pages as `whosehand retrieval` with the same model and options scores it on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.report import print_report
from core.lines.source import LineSource
from core.retrieval.page_embeddings import JoinedLines
from core.retrieval.scores import RetrievalScores, score_retrieval
from core.retrieval.similarities import Cosines
from core.scoring.mean_scores import FloatArray
from search.cli.common import progress_bar
from search.comparison.retrieval_pages import choose_pages, open_pages
from search.experiment.workspace import Workspace
from search.identification.identifier_folder import read_record
from search.sweep.preparation import read_corpus

RADII = tuple(range(1, 13))
_N_NEIGHBOURS = 8
_N_PATTERNS = 1 << _N_NEIGHBOURS
_COLUMNS = ("score", "found", "95 % interval")


def main(
    experiment: Annotated[Path, typer.Argument(help="An experiment's file, or a folder of scans.")],
    model: Annotated[Path, typer.Option(help="Folder of the model: it says how lines are read, and whom it knows.")],
    overrides: Annotated[list[str], typer.Option("--set", help="Override one key of the file.")] = [],  # noqa: B006
    join: Annotated[int, typer.Option(min=1, help="Join so many images to a page; 1 takes pages as they are.")] = 1,
    known: Annotated[bool, typer.Option("--known-writers", help="Count writers that the model knows, too.")] = False,
) -> None:
    """Score local binary patterns, each page a query."""
    record = read_record(model)
    settings, is_own = open_pages(experiment, overrides)
    with progress_bar("reading the corpus") as advance:
        corpus = read_corpus(settings.model_copy(update={"ink": record.ink}), Workspace(Path.cwd()), advance)
    chosen = choose_pages(corpus, settings if is_own else None, model, known)
    lines: LineSource = corpus.store
    image_ids: Sequence[str] = chosen.image_ids
    if join > 1:
        joined = JoinedLines(corpus.store, image_ids, join)
        lines, image_ids = joined, joined.image_ids
    descriptors, writers = describe_pages(lines, image_ids)
    scores = score_retrieval(Cosines(descriptors), writers)
    print_report("Local binary patterns", _COLUMNS, _rows(scores), [_remark(scores, join)])


def describe_pages(lines: LineSource, image_ids: Sequence[str]) -> tuple[FloatArray, list[str]]:
    """Describe each page by its lines.

    Returns:
        (n_pages, n_radii * 256), each row of length 1, and the writers.
    """
    wanted, counts = set(image_ids), dict[tuple[str, str], FloatArray]()
    with progress_bar("describing lines") as advance:
        for number, line in enumerate(lines.lines):
            if line.image_id in wanted:
                page = (line.writer_id, line.group_id)
                counts[page] = counts.get(page, 0.0) + count_patterns(lines.pixels(number))
            advance(number + 1, len(lines.lines))
    roots = np.sqrt([page / np.maximum(page.sum(axis=1, keepdims=True), 1) for page in counts.values()])
    flat = roots.reshape(len(roots), -1)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True), [writer for writer, _ in counts]


def count_patterns(pixels: NDArray[np.uint8]) -> FloatArray:
    """Count the patterns around every pixel that has all neighbours: (n_radii, 256).

    A bit is set where a neighbour is darker than the pixel by more than half of the whole range;
    the pattern without any is not counted: it is paper, or the inside of a stroke.

    Args:
        pixels: (height, width) of a line, 0 ink to 255 paper.
    """
    counts = np.zeros((len(RADII), _N_PATTERNS))
    signed = pixels.astype(np.int16)
    for place, radius in enumerate(RADII):
        height, width = (size - 2 * radius for size in pixels.shape)
        if min(height, width) < 1:
            continue
        middle = signed[radius : radius + height, radius : radius + width]
        patterns = np.zeros(middle.shape, np.uint8)
        for bit in range(_N_NEIGHBOURS):
            angle = 2 * np.pi * bit / _N_NEIGHBOURS
            top, left = radius + round(-radius * np.sin(angle)), radius + round(radius * np.cos(angle))
            is_darker = middle - signed[top : top + height, left : left + width] > 127
            patterns |= is_darker.astype(np.uint8) << bit
        counts[place] = np.bincount(patterns.ravel(), minlength=_N_PATTERNS)
    counts[:, 0] = 0
    return counts


def _rows(scores: RetrievalScores) -> list[tuple[str, str, str]]:
    return [
        (name, f"{value:.1%}", "{:.1%} to {:.1%}".format(*scores.intervals[name]))
        for name, value in scores.metrics.items()
    ]


def _remark(scores: RetrievalScores, join: int) -> str:
    pages = "pages" if join == 1 else f"pages of {join} joined images"
    return f"{len(scores.queries):,} queries among {scores.n_pages:,} {pages} by {scores.n_writers} writers"


if __name__ == "__main__":
    typer.run(main)
