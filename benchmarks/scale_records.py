"""The part of `benchmarks.scale` that opens a long ledger again."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.scale_cost import Cost, Size, measured
from search.ledger.events import AttemptStarted, EpochReported, SegmentEnded, TrialProposed
from search.ledger.ledger import LEDGER_NAME, Ledger, open_ledger
from search.ledger.trial import EpochReport, FileReference, PruningDecision, TrialResult, TrialState

N_EPOCHS = 10
_NAMES = [f"val/{level}_{score}" for level in ("patch", "image", "page") for score in ("top1", "top5", "logloss")]
_ARTIFACTS = ("confusion.png", "confusion.csv", "writers.csv", "decisions.csv", "scores.json", "patches.png")


def measure_ledger(size: Size, folder: Path) -> Sequence[Cost]:
    """A relaunch of as many trials as there are writers."""
    sweep = folder / f"sweep-{size.n_writers}"
    if not (sweep / "written").exists():
        (sweep / LEDGER_NAME).unlink(missing_ok=True)
        _write(sweep, size.n_writers)
        (sweep / "written").touch()
    megabytes = (sweep / LEDGER_NAME).stat().st_size / 1e6

    def open_again() -> None:
        with Ledger(sweep) as ledger:
            assert len(ledger.state.trials) == size.n_writers

    return [measured(f"{size.n_writers:,} trials, {megabytes:.0f} MB", open_again)]


def _write(folder: Path, n_trials: int) -> None:
    def file(trial: int, name: str) -> FileReference:
        return FileReference(folder / f"trials/{trial}/attempt-1/{name}", "0" * 64, 1_000_000)

    with open_ledger(folder, name="many", config={"name": "many"}, version="", git_commit="") as ledger:
        for number in range(n_trials):
            point = {f"hyperparameter_{k}": 0.1 * k + number for k in range(21)}
            ledger.append(TrialProposed, number, point, point, number, None, N_EPOCHS)
            ledger.append(AttemptStarted, number, 1, 0, N_EPOCHS, 1, "float32", 1)
            metrics = {}
            for epoch in range(1, N_EPOCHS + 1):
                metrics = {name: 1 / (epoch + k) for k, name in enumerate(_NAMES)}
                report = EpochReport(epoch, metrics, 10_000, 12.3, file(number, f"checkpoints/epoch-{epoch:05d}.npz"))
                ledger.append(EpochReported, number, 1, report, PruningDecision.GO)
            files = {name: file(number, name) for name in _ARTIFACTS}
            result = TrialResult(TrialState.COMPLETED, 0.5, metrics, files, file(number, "model"))
            ledger.append(SegmentEnded, number, 1, result)
