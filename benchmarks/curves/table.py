"""The format of recorded curves: CSV, one row a trial and epoch, under lines that say how they were
made.

    # 0: 2026-11-29; AMD EPYC, 2 cores; ...; python -m benchmarks.curves record ...
    recording,point,seed,horizon,start_s,end_s,epoch,seconds,patches,failed,val/image_logloss,...
    0,"{""batch_norm"": true, ...}",0,8,0.6,1.9,1,14.2,10000,,2.31,...

`recording` is the number of the line at the head that says command, machine and date. `point` is
JSON with all hyperparameters. `start_s` and `end_s` are the seconds of a trial before its first
epoch and after its last one, alike in all its rows. A trial that failed has a last row with the
reason in `failed`, and no scores.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.durable_files import write_atomically
from core.space import Point
from core.space.search_space import PointKey, key_of
from search.testing.simulation import SimulatedEpoch

_COLUMNS = ("recording", "point", "seed", "horizon", "start_s", "end_s", "epoch", "seconds", "patches", "failed")
_N_ALIKE = 6  # columns that are alike in all rows of a trial
CurveKey = tuple[PointKey, int, int]


@dataclass(frozen=True)
class RecordedCurve:
    """One trial that was trained to its end.

    Attributes:
        point: all hyperparameters.
        seed: which of the trials of this point, from 0; each has a seed of its own.
        horizon: epochs over which the schedule ran.
        epochs: as many as the horizon, or fewer where it failed.
        failed: why it failed; empty if it did not.
        recording: which line of the head says how it was made.
        start_s: seconds before the first epoch.
        end_s: seconds from the last epoch to the result.
    """

    point: Point
    seed: int
    horizon: int
    epochs: Sequence[SimulatedEpoch]
    failed: str = ""
    recording: int = 0
    start_s: float = 0.0
    end_s: float = 0.0

    @property
    def key(self) -> CurveKey:
        """What tells it from others: point, seed and horizon."""
        return key_of(self.point), self.seed, self.horizon


@dataclass(frozen=True)
class CurveTable:
    """Recorded curves, and how they were made.

    Attributes:
        recordings: command, machine and date of each, one line.
        curves: in the order in which they were recorded.
    """

    recordings: tuple[str, ...] = ()
    curves: tuple[RecordedCurve, ...] = ()

    @property
    def keys(self) -> set[CurveKey]:
        """Of all curves."""
        return {curve.key for curve in self.curves}

    def with_recording(self, said: str, curves: Sequence[RecordedCurve]) -> "CurveTable":
        """The table with what a recording has added; curves that it has already are left out."""
        recordings = self.recordings if said in self.recordings else (*self.recordings, said)
        known, number = self.keys, recordings.index(said)
        new = [replace(curve, recording=number) for curve in curves if curve.key not in known]
        return CurveTable(recordings, (*self.curves, *new)) if new else self

    def write(self, path: Path) -> None:
        """Write the file so that a crash leaves the old one or the new one."""
        names = sorted({name for curve in self.curves for epoch in curve.epochs for name in epoch.metrics})
        text = io.StringIO()
        for number, said in enumerate(self.recordings):
            text.write(f"# {number}: {' '.join(said.split())}\n")
        table = csv.writer(text, lineterminator="\n")
        table.writerow((*_COLUMNS, *names))
        for curve in self.curves:
            table.writerows(_rows(curve, names))
        write_atomically(path, text.getvalue().encode())

    @classmethod
    def read(cls, path: Path) -> "CurveTable":
        """Read a file; an empty table where there is none.

        Raises:
            ValueError: if it is no table of curves.
        """
        if not path.exists():
            return cls()
        lines = path.read_text(encoding="utf-8").splitlines()
        n_head = next((place for place, line in enumerate(lines) if not line.startswith("# ")), len(lines))
        table = csv.DictReader(lines[n_head:])
        if tuple(table.fieldnames or ())[: len(_COLUMNS)] != _COLUMNS:
            raise ValueError(
                f"A table of curves must begin with the columns {', '.join(_COLUMNS)}, but {path} has not."
            )
        return cls(tuple(line.partition(": ")[2] for line in lines[:n_head]), tuple(_curves(table)))


def _rows(curve: RecordedCurve, names: Sequence[str]) -> Iterator[tuple[object, ...]]:
    point = json.dumps(dict(curve.point), sort_keys=True)
    head = curve.recording, point, curve.seed, curve.horizon, f"{curve.start_s:.3f}", f"{curve.end_s:.3f}"
    for number, epoch in enumerate(curve.epochs, start=1):
        scores = (_number(epoch.metrics[name]) if name in epoch.metrics else "" for name in names)
        yield (*head, number, f"{epoch.duration_s:.3f}", epoch.n_patches, "", *scores)
    if curve.failed:
        yield (*head, len(curve.epochs) + 1, "", "", curve.failed, *("" for _ in names))


def _number(value: float) -> str:
    """Six digits: seeds differ in the second."""
    return f"{value:.6g}"


def _curves(rows: "csv.DictReader[str]") -> Iterator[RecordedCurve]:
    """Rows of one trial stand together."""
    present: tuple[str, ...] = ()
    epochs: list[SimulatedEpoch] = []
    failed = ""
    for row in rows:
        head = tuple(row[name] for name in _COLUMNS[:_N_ALIKE])
        if present and head != present:
            yield _curve(present, epochs, failed)
            epochs, failed = [], ""
        present = head
        if row["failed"]:
            failed = row["failed"]
        else:
            epochs.append(_epoch(row))
    if present:
        yield _curve(present, epochs, failed)


def _epoch(row: Mapping[str, str]) -> SimulatedEpoch:
    scores = {name: float(value) for name, value in row.items() if name not in _COLUMNS and value}
    return SimulatedEpoch(scores, float(row["seconds"]), int(row["patches"]))


def _curve(head: Sequence[str], epochs: Sequence[SimulatedEpoch], failed: str) -> RecordedCurve:
    recording, point, seed, horizon, start_s, end_s = head
    return RecordedCurve(
        json.loads(point), int(seed), int(horizon), tuple(epochs), failed, int(recording), float(start_s), float(end_s)
    )
