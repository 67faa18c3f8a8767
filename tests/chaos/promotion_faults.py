"""Real promotions that are killed at each of their crash points, and a disk that is full at each
write of a ledger.
"""

import errno
import json
import os
import shutil
import signal
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from core.crash_points import PROMOTION_POINTS
from core.errors import LedgerError
from search.cli.main import CRASH_VARIABLE
from search.ledger.events import SweepClosed
from search.ledger.ledger import LEDGER_NAME, Ledger, open_ledger, read_ledger
from tests.chaos.project_faults import KeptProject
from tests.chaos.tally import Outcome
from tests.command_line import whosehand, write_experiment
from tests.search.upkeep.kept_project import NAME

MODEL = "whosehand-tiny"


def killed_promotion(folder: Path) -> Outcome:
    """One promotion, killed at every point in turn, then ended by the same command."""
    folder.mkdir(parents=True, exist_ok=True)
    experiment = write_experiment(folder, {"budget": {"trials": 1}})
    problems = _failed(folder, "sweep", experiment.name)
    tried = 0
    for point in PROMOTION_POINTS:
        answer = whosehand(folder, "promote", "tiny", "--accept", variables={CRASH_VARIABLE: point})
        if answer.code == -signal.SIGKILL:
            tried += 1
        else:
            problems.append(f"{point}: ended with {answer.code}: {answer.err[-500:]}")
    problems += _failed(folder, "promote", "tiny", "--accept")
    return Outcome(tried, problems or list(_wrong(folder)))


def _failed(folder: Path, *arguments: str) -> list[str]:
    answer = whosehand(folder, *arguments)
    return [] if answer.code == 0 else [f"{arguments}: {answer}"]


def _wrong(folder: Path) -> list[str]:
    """What is lost, doubled or half done."""
    found = []
    store = f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}"
    client = MlflowClient(store, store)  # this process may have set the registry of another project
    versions = client.search_model_versions(f"name = '{MODEL}'")
    champion = client.get_model_version_by_alias(MODEL, "champion")
    if len(versions) != 1 or champion.tags.get("promotion") != "done" or not champion.description:
        found.append(f"{len(versions)} versions; the champion has the tags {champion.tags}")
    openings = (folder / "mlruns" / "test_openings.jsonl").read_text().splitlines()
    if len(openings) != 1:
        found.append(f"the test set was opened {len(openings)} times")
    experiment = client.get_experiment_by_name("tiny")
    for run in client.search_runs([experiment.experiment_id]):
        if run.info.status != "FINISHED":
            found.append(f"{run.info.run_name} is {run.info.status}")
        for name in run.data.metrics:
            steps = Counter(point.step for point in client.get_metric_history(run.info.run_id, name))
            if max(steps.values()) > 1:
                found.append(f"{run.info.run_name} has {name} twice")
    found += [f"{path} is left" for path in (folder / "mlruns" / "sweeps").rglob(".*.tmp")]
    return found


def full_disk_at_each_line(project: KeptProject, folder: Path) -> Outcome:
    """A finished ledger is written anew, line by line, on a disk that is full at one line, or in
    the middle of it; some writers wait for room, some give up. An injected exception.
    """
    original = project.root / "mlruns" / "sweeps" / NAME
    shutil.rmtree(folder, ignore_errors=True)
    config = json.loads((original / LEDGER_NAME).read_bytes().splitlines()[0])["config"]
    lines = (original / LEDGER_NAME).read_bytes().splitlines(keepends=True)
    problems: list[str] = []
    tried = 0
    for waits in (True, False):
        for n_written in (0, 9):
            for number in range(1, len(lines)):
                tried += 1
                place = folder / f"{waits}-{n_written}-{number}"
                problems += _fill_at(place, lines[:number], config, n_written, waits)
    return Outcome(tried, problems)


def _fill_at(place: Path, lines: list[bytes], config: Any, n_written: int, waits: bool) -> list[str]:
    place.mkdir(parents=True)
    (place / LEDGER_NAME).write_bytes(b"".join(lines))
    before = read_ledger(place).last_ms
    ledger = Ledger(place)
    ledger.wait_for_room = lambda _: waits
    disk = _FullOnce(ledger._file, n_written)  # the file itself cannot be told that the disk is full
    ledger._file = disk  # type: ignore[assignment]
    try:
        ledger.append(SweepClosed, "interrupted", "")
        is_written = True
    except LedgerError:
        is_written = False
    ledger.close()
    content = (place / LEDGER_NAME).read_bytes()
    found = [] if is_written == waits else [f"{place.name}: the event was {'' if is_written else 'not '}written"]
    if not content.startswith(b"".join(lines)) or not content.endswith(b"\n"):
        found.append(f"{place.name}: what was written before is not whole")
    with open_ledger(place, name="", config=config, version="", git_commit="") as again:
        if again.trimmed_bytes or again.state.last_ms < before or (again.state.closed is not None) < waits:
            found.append(f"{place.name}: the ledger cannot be gone on with as it was")
    return found


class _FullOnce:
    """A ledger's file on a disk that is full at the first write, after so many bytes."""

    def __init__(self, file: Any, n_bytes: int) -> None:
        self._file, self._n_bytes, self._calls = file, n_bytes, count()

    def write(self, content: bytes) -> int:
        if next(self._calls) == 0:
            os.write(self._file.fileno(), bytes(content)[: self._n_bytes])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self._file.write(content))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
