"""The report's tables, as rows of text that a terminal and a page can both show."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from core.retrieval.rank_tests import PairedRankings
from core.scoring.intervals import PairedTest
from core.scoring.score_names import SHARES
from core.splits.manifest import SUBSETS
from search.comparison.figures import readable_metric
from search.comparison.trial_table import Score, TrialRow, differing
from search.ledger.ranking import COUNTED_STATES, readable_duration, score_name
from search.sweep.finalists import Finalist, FinalistRanking, Spread
from search.sweep.known_sweeps import KnownSweep
from search.sweep.preparation import PreparedCorpus


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Attributes:
        header: a name for each column.
        rows: cells.
        n_text_columns: so many columns from the left hold words, the others numbers.
        marked: places of rows that stand out.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_text_columns: int = 1
    marked: frozenset[int] = frozenset()


def as_markdown(table: Table) -> str:
    r"""A table for a description in MLflow.

    >>> as_markdown(Table(("a", "b"), (("x|y", "1"),)))
    '| a | b |\n| --- | --- |\n| x\\|y | 1 |'
    """
    lines = [table.header, ("---",) * len(table.header), *table.rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |" for cells in lines)


def as_html(table: Table) -> str:
    """A table for a notebook.

    >>> as_html(Table(("a", "b"), (("<x>", "1"),)))
    '<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>&lt;x&gt;</td><td>1</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def trials_table(rows: Sequence[TrialRow], metric: str, searched: Sequence[str]) -> Table:
    """Every trial with the hyperparameters that were searched over, and how it ended."""
    names = [name for name in differing(rows) if name in searched]
    header = ("trial", "state", readable_metric(metric), "epochs", *names, "why it ended")
    cells = tuple(
        (
            f"{row.number:03d}",
            str(row.state),
            "" if row.score is None else f"{row.score.value:.4g}",
            str(row.n_epochs),
            *(readable_value(row.hyperparameters.get(name)) for name in names),
            row.reason,
        )
        for row in sorted(rows, key=lambda row: row.number)
    )
    marked = frozenset(place for place, row in enumerate(sorted(rows, key=lambda r: r.number)) if row.place == 1)
    return Table(header, cells, n_text_columns=2, marked=marked)


def finalists_table(ranking: FinalistRanking) -> Table:
    """The finalists by their mean, with what the search saw and how far each is behind the
    first.
    """
    first = ranking.finalists[0]
    header = (
        "",
        "trial",
        "mean of fresh fits",
        "95 % interval",
        "fits",
        "search saw",
        "flattered by",
        "behind the first",
    )
    rows = tuple(
        (
            str(place),
            f"{finalist.trial:03d}",
            "" if finalist.spread is None else f"{finalist.spread.mean:.4g}",
            _interval(finalist.spread),
            _fits(finalist),
            f"{finalist.search_value:.4g}",
            _signed(ranking.flattery(finalist)),
            "" if finalist is first else _signed(ranking.behind(finalist, first), with_interval=True),
        )
        for place, finalist in enumerate(ranking.finalists, start=1)
    )
    return Table(header, rows, n_text_columns=2, marked=frozenset({0}) if ranking.chosen is first else frozenset())


def against_baseline_table(best: TrialRow, baseline: TrialRow, metric: str) -> Table:
    """Scores, cost and size of both."""
    names = [
        name for name in best.scores if name in baseline.scores and name.split("_")[0] in ("patch", "image", "page")
    ]
    objective = score_name(metric)
    rows = [(readable_metric(metric), score_text(objective, best.score), score_text(objective, baseline.score))]
    rows += [
        (readable_metric(name), score_text(name, best.scores[name]), score_text(name, baseline.scores[name]))
        for name in names
        if name.endswith(("top1", "logloss"))
    ]
    rows += [
        ("weights", f"{best.n_weights:,}", f"{baseline.n_weights:,}"),
        ("saved model", readable_bytes(best.model_bytes), readable_bytes(baseline.model_bytes)),
        ("patches trained", f"{best.n_patches:,}", f"{baseline.n_patches:,}"),
        ("time", readable_duration(best.duration_s), readable_duration(baseline.duration_s)),
        ("patches/s", readable_speed(best), readable_speed(baseline)),
    ]
    return Table(("", f"best: {best.number:03d}", f"seed recipe: {baseline.number:03d}"), tuple(rows))


def hyperparameters_table(best: TrialRow, baseline: TrialRow) -> Table:
    """What is different about the best trial's network and training."""
    rows = tuple(
        (name, readable_value(best.hyperparameters.get(name)), readable_value(baseline.hyperparameters.get(name)))
        for name in differing([best, baseline])
    )
    return Table(("hyperparameter", f"best: {best.number:03d}", f"seed recipe: {baseline.number:03d}"), rows)


def paired_text(paired: PairedTest | PairedRankings, item: str) -> str:
    """The paired comparison in a sentence or two."""
    if isinstance(paired, PairedRankings):
        low, high = paired.map_interval
        return (
            f"The best finds the pages of {paired.n_writers_better} of {paired.n_writers} validation writers better "
            f"than the seed recipe, and those of {paired.n_writers_worse} worse (sign-flip test over writers, p = "
            f"{paired.p_value:.2g}). Best less seed recipe: mean average precision {paired.map_difference:+.3f} (95 % "
            f"{low:+.3f} to {high:+.3f}). The best was chosen on these pages, the seed recipe was not."
        )
    gain, loss = paired.top1_interval, paired.logloss_interval
    return (
        f"On the same {paired.n_items} validation {item}s the best identifies {paired.n_only_first} correctly that the "
        f"seed recipe does not, and the other way round {paired.n_only_second} (exact McNemar p = {paired.p_value:.2g}"
        f"). Best less seed recipe: share of correct {item}s {100 * paired.top1_difference:+.1f} points (95 % "
        f"{100 * gain[0]:+.1f} to {100 * gain[1]:+.1f}), log-loss {paired.logloss_difference:+.3g} nats "
        f"({loss[0]:+.3g} to {loss[1]:+.3g}; less is better). The best was chosen on these pages, the seed recipe was "
        "not."
    )


def costs_table(
    sweep: KnownSweep, ranking: FinalistRanking | None, finalist_rows: Sequence[tuple[int, int, float]]
) -> Table:
    """What was spent on which kind of trial.

    Args:
        sweep: whose trials count.
        ranking: its finalists.
        finalist_rows: for each repeat its epochs, patches and seconds.
    """
    header = ("", "trials", "epochs", "patches", "worker time")
    trials = list(sweep.state.trials.values())
    rows = []
    for state in COUNTED_STATES:
        own = [trial for trial in trials if trial.state is state]
        if own:
            sums = [(trial.n_epochs, trial.n_patches, trial.duration_s) for trial in own]
            rows.append(_cost_row(str(state), sums))
    if len(rows) != 1:
        rows.append(_cost_row("the search", [(t.n_epochs, t.n_patches, t.duration_s) for t in trials]))
    if ranking is not None:
        rows.append(_cost_row("finalists", finalist_rows))
    return Table(header, tuple(rows))


def data_table(corpus: PreparedCorpus) -> Table:
    """Writers, pages, images and lines of each part."""
    manifest = corpus.manifest
    header = ("part", "writers", *(("pages",) if manifest.unit == "page" else ()), "images", "lines", "lines a writer")
    rows = []
    for part in SUBSETS:
        ids = set(manifest.image_ids(part))
        lines = [line for line in corpus.store.lines if line.image_id in ids]
        per_writer = Counter(line.writer_id for line in lines)
        row = [part, f"{len(per_writer):,}"]
        if manifest.unit == "page":
            row.append(f"{len({(line.writer_id, line.group_id) for line in lines}):,}")
        ends = sorted({min(per_writer.values(), default=0), max(per_writer.values(), default=0)})
        rows.append((*row, f"{len(ids):,}", f"{len(lines):,}", " to ".join(map(str, ends))))
    return Table(header, tuple(rows))


def score_text(name: str, score: Score | None) -> str:
    """A score with its interval: shares as percent, losses with three digits."""
    if score is None:
        return ""
    if name.endswith(SHARES):
        interval = "" if score.low is None else f" ({100 * score.low:.1f} to {100 * (score.high or 0):.1f})"
        return f"{100 * score.value:.1f} %{interval}"
    interval = "" if score.low is None else f" ({score.low:.3g} to {score.high:.3g})"
    return f"{score.value:.4g}{interval}"


def readable_bytes(n_bytes: int | None) -> str:
    """Bytes as a short text, empty where there are none.

    >>> readable_bytes(3_412_000), readable_bytes(820), readable_bytes(None)
    ('3.4 MB', '1 kB', '')
    """
    if n_bytes is None:
        return ""
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 100_000 else f"{max(1, round(n_bytes / 1e3))} kB"


def readable_speed(row: TrialRow) -> str:
    """Patches a second, empty before the first epoch."""
    return "" if row.patches_per_s is None else f"{row.patches_per_s:,.0f}"


def readable_value(value: object) -> str:
    """A hyperparameter's value, with four digits; empty where there is none."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def counts_text(sweep: KnownSweep) -> str:
    """Trials by state, such as `12 completed, 3 pruned`."""
    counts = [(sweep.state.count(state), state) for state in COUNTED_STATES]
    return ", ".join(f"{count} {state}" for count, state in counts if count) or "none yet"


def _cost_row(name: str, parts: Sequence[tuple[int, int, float]]) -> tuple[str, ...]:
    epochs, patches, seconds = (sum(part[k] for part in parts) for k in range(3))
    return (name, f"{len(parts):,}", f"{epochs:,}", f"{patches:,}", readable_duration(seconds))


def _fits(finalist: Finalist) -> str:
    more = [f"{count} {what}" for count, what in ((finalist.n_failed, "failed"), (finalist.n_open, "open")) if count]
    return ", ".join([str(len(finalist.repeats)), *more])


def _interval(spread: Spread | None) -> str:
    return "" if spread is None or spread.low is None else f"{spread.low:.4g} to {spread.high:.4g}"


def _signed(spread: Spread | None, with_interval: bool = False) -> str:
    if spread is None:
        return ""
    interval = f" ({spread.low:+.2g} to {spread.high:+.2g})" if with_interval and spread.low is not None else ""
    return f"{spread.mean:+.3g}{interval}"
