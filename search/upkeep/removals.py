"""What of a sweep can go: models and files of the trials below the best, checkpoints that nobody goes on from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.ledger.ranking import rank
from search.sweep.known_sweeps import KnownSweep
from search.tracking.model_folder import local_folder
from search.tracking.models import KnownModel
from search.upkeep.sweep_rows import SweepRow

MODEL, CHECKPOINTS, FILES, LEFTOVER = "model", "checkpoints", "files", "left over by a crash"


@dataclass(frozen=True)
class Removal:
    """Something that can go.

    Attributes:
        trial: whose it is.
        kind: in words.
        paths: folders that are deleted.
        model: in MLflow, deleted by its id; `None` where only files go.
        run_id: where it is written down that the model was dropped.
    """

    trial: int
    kind: str
    paths: Sequence[Path]
    model: KnownModel | None = None
    run_id: str = ""


def find_removals(sweep: KnownSweep, rows: Sequence[SweepRow], n_kept: int) -> list[Removal]:
    """List what can go of a sweep that no driver is on.

    Never among it: model and files of the best `n_kept` completed trials or of a registered version, anything of a
    trial that may go on or that MLflow does not have yet, and refits. What the best trials lose are checkpoints and
    attempts before the one that completed.

    Args:
        sweep: with its ledger.
        rows: its trials side by side.
        n_kept: how many of the best completed trials keep all.
    """
    direction = sweep.experiment.objective.resolved_direction
    ranked = rank([trial.summary for trial in sweep.state.trials.values()], direction)
    best = {trial.number for trial in ranked[:n_kept]}
    return [removal for row in rows for removal in _of_row(row, row.number in best)]


def _of_row(row: SweepRow, is_best: bool) -> Iterator[Removal]:
    if row.strays:
        yield Removal(row.number, LEFTOVER, row.strays)
    if row.trial is None or not row.trial.state.is_final or not row.trial.is_tracked:
        return
    is_kept = is_best or any(model.versions for model in row.models)
    if not is_kept:
        for model in row.models:
            known = KnownModel(model.model_id, model.is_ready, model.location, model.folder)
            places = (local_folder(model.location), Path(model.folder) if model.folder else None)
            run_id = row.runs[0].run_id if row.runs else ""
            yield Removal(row.number, MODEL, tuple(place for place in places if place is not None), known, run_id)
    attempts = tuple(folder for folder in row.attempts if not (is_kept and _holds_result(folder, row)))
    if attempts:
        yield Removal(row.number, FILES, attempts)
    spent = tuple(folder for folder in row.checkpoints if folder.parent not in attempts)
    if spent:
        yield Removal(row.number, CHECKPOINTS, spent)


def _holds_result(folder: Path, row: SweepRow) -> bool:
    """Whether the trial's end refers to a file in this attempt's folder; where it refers to none, the last one does."""
    result = row.trial.result if row.trial is not None else None
    if result is None:
        return True
    files = [file.path for file in (*result.artifacts.values(), *((result.model,) if result.model else ()))]
    return any(path.is_relative_to(folder) for path in files) if files else folder == row.attempts[-1]
