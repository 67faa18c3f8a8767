"""How a trial's network is judged on a subset of the split, and what files say of it.

Where validation and test are of the writers of training, the network names the writer of each page.
Where they are of other writers, its classes say nothing: its embedding is judged by whether pages
by the same hand are found.
"""

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import keras
import numpy as np
import pandas as pd

from core.corpora.csv_cells import harmless_cell, harmless_row
from core.lines.reading import ProgressCallback
from core.lines.store import LineStore
from core.networks.inference import Embedder
from core.retrieval.described_pages import DescribedPages, PagesToDescribe, Query
from core.retrieval.pictures import retrieval_picture
from core.retrieval.scores import RetrievalScores
from core.scoring.confusion import cells_to_write
from core.scoring.evaluation import Evaluation
from core.scoring.intervals import Interval
from core.scoring.pictures import confusion_picture
from core.scoring.score_names import RETRIEVAL
from core.scoring.scorer import Scorer
from core.splits.manifest import SplitManifest, Subset
from search.ledger.files import reference_file
from search.ledger.trial import FileReference
from search.objectives.tasks import DESCRIPTORS_FILE, RETRIEVAL_PICTURE, PatchTask

_Kept = TypeVar("_Kept")


@dataclass(frozen=True)
class Judged:
    """Scores of a network, with intervals.

    Attributes:
        metrics: by name, without the subset.
        write: writes tables and pictures that say more into a folder, and gives the files by
            artifact path.
    """

    metrics: Mapping[str, float]
    write: Callable[[Path], dict[str, FileReference]]


class Judge(Protocol):
    """Judges a network as often as asked, always on the same patches; its weights at the time of
    each call count.
    """

    def metrics(self) -> Mapping[str, float]:
        """The scores alone, as they are wanted after every epoch."""
        ...

    def judge(self, on_progress: ProgressCallback | None = None, *, is_unchanged: bool = False) -> Judged:
        """The scores with intervals, and what can be written of them.

        Args:
            on_progress: called with (patches or pages done, in all).
            is_unchanged: the network has the weights of the last call of `metrics`, and need not be
                asked again.
        """
        ...


def open_judge(
    model: keras.Model,
    store: LineStore,
    manifest: SplitManifest,
    task: PatchTask,
    subset: Subset,
    per_image: int,
) -> Judge:
    """Who judges a network on a subset.

    Args:
        model: from patches to probabilities of the manifest's writers.
        store: the line store.
        manifest: the split.
        task: how patches are cut, and whether the subset is of writers that training has not seen.
        subset: of the split.
        per_image: most patches of one image.

    Raises:
        PatchError: if none of the images has a text line.
        RetrievalError: likewise, where the subset is of writers that training has not seen.
        ModelError: if a network of the user's own has no embedding there.
    """
    patches, image_ids = task.patches, manifest.image_ids(subset)
    if task.takes_epoch is not None and subset == "validation":
        return _Nobody()
    if task.images_per_page is not None:
        return _PageFinding(
            Embedder(model), PagesToDescribe(store, image_ids, patches, per_image, task.images_per_page)
        )
    leak = manifest.leak(subset)
    return _WriterNaming(Scorer(model, store, image_ids, manifest.writer_ids, patches, per_image, leak))


class _Nobody:
    """Judges no page: all that are not sealed are trained on."""

    def metrics(self) -> Mapping[str, float]:
        return {}

    def judge(self, on_progress: ProgressCallback | None = None, *, is_unchanged: bool = False) -> Judged:
        return Judged({}, lambda _: {})


@dataclass(frozen=True)
class _WriterNaming:
    """Judges a network by the writers that it names."""

    scorer: Scorer

    def metrics(self) -> Mapping[str, float]:
        return self.scorer.score(n_resamples=0).metrics

    def judge(self, on_progress: ProgressCallback | None = None, *, is_unchanged: bool = False) -> Judged:
        scores = self.scorer.score(on_progress=on_progress, is_unchanged=is_unchanged)
        return Judged(scores.metrics, partial(write_score_files, scores))


@dataclass
class _PageFinding:
    """Judges a network by the pages that are found by its embedding."""

    embedder: Embedder
    pages: PagesToDescribe
    described: DescribedPages | None = None

    def metrics(self) -> Mapping[str, float]:
        return _of_retrieval(self._describe().scores(n_resamples=0).metrics)

    def judge(self, on_progress: ProgressCallback | None = None, *, is_unchanged: bool = False) -> Judged:
        pages = self.described if is_unchanged and self.described is not None else self._describe(on_progress)
        scores = pages.scores()
        return Judged(_of_retrieval(scores.metrics), partial(write_retrieval_files, pages, scores))

    def _describe(self, on_progress: ProgressCallback | None = None) -> DescribedPages:
        self.embedder.refresh()
        self.described = self.pages.describe(self.embedder, on_progress)
        return self.described


def write_score_files(scores: Evaluation, folder: Path) -> dict[str, FileReference]:
    """Write confusion matrix (picture, and a table of its cells above zero), per-writer table,
    decisions, and scores with intervals.

    Returns:
        The files by artifact path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writer_ids = list(scores.writer_ids)
    confusion_picture(scores.confusion, writer_ids, folder / "confusion.png")
    true, named, images = cells_to_write(scores.confusion).T
    names = np.array(harmless_row(writer_ids), dtype=object)
    cells = pd.DataFrame({"true writer": names[true], "named writer": names[named], "images": images})
    cells.to_csv(folder / "confusion.csv", index=False)
    writers = pd.DataFrame([asdict(row) for row in scores.per_writer])
    writers.map(harmless_cell).to_csv(folder / "writers.csv", index=False)
    decisions = scores.page_decisions or scores.image_decisions
    table = pd.DataFrame([asdict(row) for row in decisions]).dropna(axis="columns", how="all")
    table.map(harmless_cell).to_csv(folder / "decisions.csv", index=False)
    _write_scores(folder, scores.metrics, scores.intervals, scores.n_interval_units, scores.interval_unit)
    return _references(folder, ("confusion.png", "confusion.csv", "writers.csv", "decisions.csv", "scores.json"))


def write_retrieval_files(pages: DescribedPages, scores: RetrievalScores, folder: Path) -> dict[str, FileReference]:
    """Write a picture, a row for each query and for each writer, the descriptors, and scores with
    intervals.

    Returns:
        The files by artifact path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    retrieval_picture(pages, scores, folder / RETRIEVAL_PICTURE)
    queries = pages.queries(scores)
    _write_table(folder / "queries.csv", [asdict(query) for query in queries])
    _write_table(folder / "writers.csv", _found_by_writer(queries))
    pages.save(folder / DESCRIPTORS_FILE)
    _write_scores(folder, _of_retrieval(scores.metrics), _of_retrieval(scores.intervals), scores.n_writers, "writer")
    return _references(folder, (RETRIEVAL_PICTURE, "queries.csv", "writers.csv", DESCRIPTORS_FILE, "scores.json"))


def _found_by_writer(queries: Sequence[Query]) -> list[dict[str, object]]:
    """A row for each writer with a query."""
    own: dict[str, list[Query]] = {}
    for query in queries:
        own.setdefault(query.writer_id, []).append(query)
    rows: list[dict[str, object]] = [
        {
            "writer_id": writer_id,
            "n_queries": len(found),
            "map": float(np.mean([query.average_precision for query in found])),
            "top1": float(np.mean([query.first_right == 1 for query in found])),
        }
        for writer_id, found in own.items()
    ]
    return sorted(rows, key=lambda row: str(row["writer_id"]))


def _of_retrieval(values: Mapping[str, _Kept]) -> dict[str, _Kept]:
    return {f"{RETRIEVAL}_{name}": value for name, value in values.items()}


def _write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(rows[0])
        table.writerows([harmless_cell(value) for value in row.values()] for row in rows)


def _write_scores(
    folder: Path, metrics: Mapping[str, float], intervals: Mapping[str, Interval], n_units: int, unit: str
) -> None:
    content = {
        "interval": f"95 %, bootstrap over {n_units} {unit}s",
        "scores": {
            name: {"value": value, "low": intervals[name][0], "high": intervals[name][1]}
            for name, value in metrics.items()
        },
    }
    (folder / "scores.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _references(folder: Path, names: Iterable[str]) -> dict[str, FileReference]:
    return {name: reference_file(folder / name) for name in names}
