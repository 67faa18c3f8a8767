"""The leaderboard of one sweep: for a report, a terminal, a spreadsheet and a program."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TextIO

from core.corpora.csv_cells import harmless_row
from core.errors import ComparisonError
from core.scoring.score_names import SHARES
from core.space import SearchSpace, Value
from search.comparison.figures import readable_metric
from search.comparison.tables import Table, as_html, readable_bytes, readable_speed, readable_value, score_text
from search.comparison.trial_table import TrialRow, differing, other_scores, read_rows
from search.ledger.ranking import Direction, readable_duration, score_name
from search.sweep.known_sweeps import KnownSweep

LEADERBOARD_LENGTH = 10
_MOST_SCORES = 3


@dataclass(frozen=True)
class Leaderboard:
    """A sweep's trials in the order in which they are shown.

    Attributes:
        rows: the trials; those that are not completed have no place, and come last.
        metric: of the objective.
        direction: whether low or high values of it are better.
        scores: names of the other scores worth a column.
        hyperparameters: names of those that vary.
    """

    rows: tuple[TrialRow, ...]
    metric: str
    direction: Direction
    scores: tuple[str, ...]
    hyperparameters: tuple[str, ...]

    @property
    def objective(self) -> str:
        """The objective's short name."""
        return score_name(self.metric)

    def _repr_html_(self) -> str:
        return as_html(report_table(self))


def read_leaderboard(
    sweep: KnownSweep, sort: str | None = None, top: int | None = None, importance: Sequence[str] = ()
) -> Leaderboard:
    """Read the trials of a sweep, which may be running.

    Args:
        sweep: with its ledger.
        sort: name of a score (the best first) or another column (the smallest first); `None` for
            the objective.
        top: so many trials at the most; `None` for all.
        importance: names of hyperparameters that come before the others.

    Raises:
        ComparisonError: if there is no such column.
    """
    space = sweep.experiment.space.search_space()
    rows = tuple(_without_inactive(row, space) for row in read_rows(sweep))
    varied = [name for name in differing(rows) if name in space.names]
    board = Leaderboard(
        rows,
        sweep.experiment.objective.metric,
        sweep.experiment.objective.resolved_direction,
        tuple(other_scores(sweep)),
        (*(name for name in importance if name in varied), *(name for name in varied if name not in importance)),
    )
    ordered = rows if sort is None else _sorted(board, sort)
    return Leaderboard(ordered[:top], board.metric, board.direction, board.scores, board.hyperparameters)


def report_table(board: Leaderboard, length: int | None = LEADERBOARD_LENGTH) -> Table:
    """The completed trials for a report: score with interval, cost, size and speed."""
    ranked = [row for row in board.rows if row.place is not None][:length]
    shown = [name for name in board.scores if any(name in row.scores for row in ranked)][:_MOST_SCORES]
    with_size = any(row.n_weights for row in ranked)
    header = ["", "trial", readable_metric(board.metric), *(_short_metric(name) for name in shown)]
    header += ["patches", "time", "patches/s", *(["weights", "model"] if with_size else [])]
    cells = []
    for row in ranked:
        line = [str(row.place), row.name, score_text(board.objective, row.score)]
        line += [score_text(name, row.scores.get(name)) for name in shown]
        line += [f"{row.n_patches:,}", readable_duration(row.duration_s), readable_speed(row)]
        if with_size:
            line += [f"{row.n_weights:,}", readable_bytes(row.model_bytes)]
        cells.append(tuple(line))
    return Table(tuple(header), tuple(cells), n_text_columns=2, marked=frozenset({0}))


def terminal_table(board: Leaderboard) -> tuple[Table, tuple[int, ...]]:
    """The completed trials for a terminal, with the hyperparameters that vary.

    Returns:
        The table, and the places of columns that can be left out, the least telling ones first.
    """
    ranked = [row for row in board.rows if row.place is not None]
    scores = [name for name in board.scores if any(name in row.scores for row in ranked)]
    names = [name for name in board.hyperparameters if len({repr(row.hyperparameters.get(name)) for row in ranked}) > 1]
    columns = {"": [str(row.place) for row in ranked], "trial": [f"{row.number:03d}" for row in ranked]}
    texts = [score_text(board.objective, row.score).partition(" (") for row in ranked]
    columns[readable_metric(board.metric)] = [value for value, _, _ in texts]
    columns["95 %"] = [interval.removesuffix(")") for _, _, interval in texts]
    columns |= {name: [readable_value(row.hyperparameters.get(name)) for row in ranked] for name in names}
    columns |= {
        _short_metric(name): [score_text(name, row.scores.get(name)).split(" (")[0] for row in ranked]
        for name in scores
    }
    columns["time"] = [readable_duration(row.duration_s) for row in ranked]
    columns["patches"] = [f"{row.n_patches:,}" for row in ranked]
    columns["weights"] = [f"{row.n_weights:,}" if row.n_weights else "" for row in ranked]
    columns["model"] = [readable_bytes(row.model_bytes) for row in ranked]
    columns["patches/s"] = [readable_speed(row) for row in ranked]
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    header = tuple(columns)
    least_first = ["patches/s", "model", "weights", "patches", *reversed([_short_metric(name) for name in scores[1:]])]
    least_first += [*reversed(names[2:]), *(_short_metric(name) for name in scores[:1]), "time", *reversed(names[:2])]
    rows = tuple(zip(*columns.values(), strict=True))
    best = frozenset(place for place, row in enumerate(ranked) if row.place == 1)
    return Table(header, rows, 2, best), tuple(header.index(name) for name in least_first if name in header)


def write_leaderboard(board: Leaderboard, file: TextIO, is_raw: bool = False) -> None:
    """Write every trial as a row of a CSV file.

    Args:
        board: of the sweep.
        file: an open one.
        is_raw: write texts as they are, also those that a spreadsheet would take for a formula.
    """
    records = [_record(board, row) for row in board.rows]
    table = csv.writer(file, lineterminator="\n")
    table.writerow(_record_names(board))
    for record in records:
        cells = list(record.values())
        table.writerow(cells if is_raw else harmless_row(cells))


def leaderboard_json(board: Leaderboard) -> dict[str, object]:
    """Every trial as plain values, with what is needed to read them."""
    return {
        "objective": board.objective,
        "direction": board.direction,
        "hyperparameters": list(board.hyperparameters),
        "trials": leaderboard_records(board),
    }


def leaderboard_records(board: Leaderboard) -> list[dict[str, Value | None]]:
    """Every trial as named plain values."""
    return [_record(board, row) for row in board.rows]


def _without_inactive(row: TrialRow, space: SearchSpace) -> TrialRow:
    """Leave out what had no effect: a default that nobody chose, such as the size of a layer that
    is not there.
    """
    active = space.active(row.hyperparameters)
    kept = {name: value for name, value in row.hyperparameters.items() if name in active or name not in space.names}
    return replace(row, hyperparameters=kept)


def _record(board: Leaderboard, row: TrialRow) -> dict[str, Value | None]:
    """A trial as named plain values: scores with both ends of their intervals, hyperparameters,
    costs.
    """
    score = row.score
    record: dict[str, Value | None] = {"place": row.place, "trial": row.number, "state": str(row.state)}
    record[board.objective] = None if score is None else score.value
    record |= {"low": None if score is None else score.low, "high": None if score is None else score.high}
    record |= {name: row.scores[name].value if name in row.scores else None for name in board.scores}
    record |= {name: row.hyperparameters.get(name) for name in board.hyperparameters}
    record |= {"epochs": row.n_epochs, "patches": row.n_patches, "time_s": round(row.duration_s, 3)}
    speed = None if row.patches_per_s is None else round(row.patches_per_s, 1)
    return record | {
        "patches_per_s": speed,
        "weights": row.n_weights or None,
        "model_bytes": row.model_bytes,
        "reason": row.reason,
    }


def _record_names(board: Leaderboard) -> list[str]:
    scores = (board.objective, "low", "high", *board.scores)
    costs = ("epochs", "patches", "time_s", "patches_per_s", "weights", "model_bytes", "reason")
    return list(dict.fromkeys(("place", "trial", "state", *scores, *board.hyperparameters, *costs)))


def _sorted(board: Leaderboard, sort: str) -> tuple[TrialRow, ...]:
    name = {"time": "time_s", "model": "model_bytes"}.get(sort, score_name(sort))
    names = _record_names(board)
    if name not in names:
        raise ComparisonError(f"A leaderboard is sorted by one of {', '.join(names)}, but got {sort!r}.")
    falls = name.endswith(SHARES) if name in board.scores else False
    falls = board.direction == "maximize" if name == board.objective else falls

    def key(row: TrialRow) -> tuple[bool, str, float, str]:
        value = _record(board, row)[name]
        number = float(value) if isinstance(value, int | float) else 0.0
        return value is None, "" if isinstance(value, int | float) else "text", -number if falls else number, str(value)

    return tuple(sorted(board.rows, key=key))


def _short_metric(name: str) -> str:
    return readable_metric(name).split(" (")[0]
