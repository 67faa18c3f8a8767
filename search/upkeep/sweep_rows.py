"""A sweep's trials as the ledger, the engine's study, MLflow and the disk have them, side by side."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.filesize import decimal

from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.sweep.disk_use import folder_bytes
from search.sweep.known_sweeps import KnownSweep
from search.tracking.models import ModelOwner
from search.tracking.tracker import TRIAL_ENDS
from search.upkeep.sweep_records import RecordedModel, RecordedRun, SweepRecords

T = TypeVar("T")

IN_MEMORY = "in memory"
TRIALS, CHECKPOINTS = "trials", "checkpoints"
_ATTEMPT = re.compile(r"attempt-(\d+)(-again-\d+)?")


@dataclass(frozen=True)
class SweepRow:
    """One trial.

    Attributes:
        number: of the trial.
        trial: in the ledger; `None` if it does not know the trial.
        engine: the study's word for it.
        runs: in MLflow, the one to keep first.
        models: in MLflow, the one to keep first.
        folder: where the worker saved the model; `None` if it saved none, or what it saved is gone.
        checkpoints: folders of the trial with checkpoints.
        attempts: folders of its attempts, in order.
        strays: folders of attempts that the ledger does not know.
    """

    number: int
    trial: TrialRecord | None
    engine: str
    runs: Sequence[RecordedRun]
    models: Sequence[RecordedModel]
    folder: Path | None
    checkpoints: Sequence[Path]
    attempts: Sequence[Path]
    strays: Sequence[Path]

    @property
    def ledger_text(self) -> str:
        """The ledger's word for it."""
        return "-" if self.trial is None else self.trial.state.value

    @property
    def run_text(self) -> str:
        """MLflow's words for its runs."""
        return ", ".join(run.status for run in self.runs) or "-"

    @property
    def model_text(self) -> str:
        """MLflow's words for its models."""
        return (
            ", ".join(model.status if model.has_files else f"{model.status}, no files" for model in self.models) or "-"
        )

    @property
    def disk_text(self) -> str:
        """What is in the sweep's folder."""
        size = sum(map(folder_bytes, self.checkpoints))
        parts = {
            "model": self.folder is not None,
            f"checkpoints {decimal(size)}": bool(self.checkpoints),
            f"{len(self.strays)} unknown": bool(self.strays),
        }
        return ", ".join(text for text, is_there in parts.items() if is_there) or "-"

    @property
    def expected_status(self) -> str:
        """What the run's status should be while no driver is on the sweep."""
        if self.trial is None:
            return "-"
        return TRIAL_ENDS.get(self.trial.state, "SCHEDULED")

    @property
    def should_have_model(self) -> bool:
        """Whether the trial saved a model that nobody has dropped."""
        result = None if self.trial is None else self.trial.result
        if result is None or result.state is not TrialState.COMPLETED or result.model is None:
            return False
        return not any(run.is_model_dropped for run in self.runs)


def sweep_rows(sweep: KnownSweep, records: SweepRecords, engine: Mapping[int, str] | None) -> list[SweepRow]:
    """Lay a sweep's records side by side, by the trials' numbers.

    Args:
        sweep: with its ledger.
        records: of MLflow.
        engine: the study's words by trial number; `None` where the study is kept in memory.
    """
    runs = _by_number(records.runs, sweep.created.sweep_id)
    models = _by_number(records.models, sweep.created.sweep_id)
    trials = sweep.state.trials
    on_disk = _attempts(sweep.folder)
    numbers = sorted({*trials, *runs, *models, *on_disk, *(engine or ())})
    return [
        _row(sweep, number, runs.get(number, ()), models.get(number, ()), engine, on_disk.get(number, ()))
        for number in numbers
    ]


def has_checkpoints(folder: Path) -> bool:
    """Whether a trial could go on from this folder; what else is in it is small."""
    return any(folder.glob("epoch-*"))


def _row(
    sweep: KnownSweep,
    number: int,
    runs: Sequence[RecordedRun],
    models: Sequence[RecordedModel],
    engine: Mapping[int, str] | None,
    attempts: Sequence[Path],
) -> SweepRow:
    trial = sweep.state.trials.get(number)
    # A start is written down after the worker was started: a killed driver may leave a folder of a later attempt.
    n_attempts = 0 if trial is None else trial.n_attempts
    known = [folder for folder in attempts if _attempt_of(folder) <= n_attempts]
    model = trial.result.model if trial is not None and trial.result is not None else None
    return SweepRow(
        number=number,
        trial=trial,
        engine=IN_MEMORY if engine is None else engine.get(number, "-"),
        runs=runs,
        models=models,
        folder=model.path if model is not None and (model.path / "MLmodel").is_file() else None,
        checkpoints=tuple(
            folder / CHECKPOINTS for folder in attempts if folder in known and has_checkpoints(folder / CHECKPOINTS)
        ),
        attempts=tuple(known),
        strays=tuple(folder for folder in attempts if folder not in known),
    )


def _by_number(of_owner: Mapping[ModelOwner, Sequence[T]], sweep_id: str) -> dict[int, Sequence[T]]:
    return {
        owner.number: found for owner, found in of_owner.items() if (owner.sweep_id, owner.kind) == (sweep_id, "trial")
    }


def _attempts(folder: Path) -> dict[int, list[Path]]:
    """The folders of attempts by trial number."""
    return {
        int(trial.name): sorted((path for path in trial.iterdir() if _is_attempt(path)), key=_attempt_of)
        for trial in sorted((folder / TRIALS).glob("*"))
        if trial.name.isdigit() and trial.is_dir()
    }


def _is_attempt(path: Path) -> bool:
    return path.is_dir() and _ATTEMPT.fullmatch(path.name) is not None


def _attempt_of(folder: Path) -> int:
    """The number in `attempt-2` or `attempt-2-again-1`."""
    found = _ATTEMPT.fullmatch(folder.name)
    return int(found[1]) if found else 0
