"""The pictures and tables that a trial leaves behind, for people to look at."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import keras
import pandas as pd

from core.lines.store import LineStore
from core.patches.plan import PatchPlan
from core.scoring.evaluation import Evaluation
from core.scoring.pictures import confusion_picture, learning_curves, patch_collage
from search.ledger.files import reference_file
from search.ledger.trial import FileReference


def write_score_files(scores: Evaluation, folder: Path) -> dict[str, FileReference]:
    """Write confusion matrix (picture and table), per-writer table, decisions, and scores with intervals.

    Returns:
        The files by artifact path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writer_ids = list(scores.writer_ids)
    confusion_picture(scores.confusion, writer_ids, folder / "confusion.png")
    confusion = pd.DataFrame(scores.confusion, index=pd.Index(writer_ids, name="true writer"), columns=writer_ids)
    confusion.to_csv(folder / "confusion.csv")
    pd.DataFrame([asdict(row) for row in scores.per_writer]).to_csv(folder / "writers.csv", index=False)
    decisions = scores.page_decisions or scores.image_decisions
    table = pd.DataFrame([asdict(row) for row in decisions]).dropna(axis="columns", how="all")
    table.to_csv(folder / "decisions.csv", index=False)
    content = {
        "interval": f"95 %, bootstrap over {scores.n_interval_units} {scores.interval_unit}s",
        "scores": {
            name: {"value": value, "low": scores.intervals[name][0], "high": scores.intervals[name][1]}
            for name, value in scores.metrics.items()
        },
    }
    (folder / "scores.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return _references(folder, ("confusion.png", "confusion.csv", "writers.csv", "decisions.csv", "scores.json"))


def write_fit_files(
    model: keras.Model,
    history: Sequence[Mapping[str, float]],
    store: LineStore,
    plan: PatchPlan,
    writer_ids: Sequence[str],
    folder: Path,
) -> dict[str, FileReference]:
    """Write learning curves, the network's layers, and a collage of training patches.

    Returns:
        The files by artifact path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    learning_curves(history, folder / "learning_curves.png")
    lines: list[str] = []
    model.summary(print_fn=lambda line, **_: lines.append(line), line_length=100)
    (folder / "model.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    patch_collage(store, plan, writer_ids, folder / "patches.png")
    return _references(folder, ("learning_curves.png", "model.txt", "patches.png"))


def _references(folder: Path, names: Sequence[str]) -> dict[str, FileReference]:
    return {name: reference_file(folder / name) for name in names}
