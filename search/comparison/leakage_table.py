"""How a leakage audit is shown: its table, what must be known to read it, and its two files."""

import json
from dataclasses import asdict
from pathlib import Path

from core.durable_files import write_atomically
from core.scoring.score_names import LEVELS
from search.comparison.leakage_audit import Audit, AuditedArm
from search.ledger.ranking import readable_duration


def table_rows(audit: Audit, narrow: bool = False) -> list[list[str]]:
    """The head and a row for each arm: scores with intervals, and how far they are above the honest
    division's.

    Args:
        audit: with at least one arm.
        narrow: for a terminal: a cell has score and difference, and the interval below.
    """
    levels = [level for level in LEVELS if any(f"{level}_top1" in arm.scores for arm in audit.arms)]
    head = ["split by"]
    for level in levels:
        head += [f"{level} top-1"] if narrow else [f"{level} top-1", f"over {audit.baseline}"]
    rows = [[*head, "lines" if narrow else "lines: train, validation", "time"]]
    for arm in audit.arms:
        cells = [f"{arm.name} (leaky)" if arm.warning else arm.name]
        for level in levels:
            score, interval, difference = _cells(audit, arm, level)
            cells += [f"{score} {difference}\n{interval}"] if narrow else [f"{score} {interval}", difference]
        n_lines = f"{arm.n_training_lines:,}, {arm.n_validation_lines:,}"
        rows.append([*cells, n_lines, readable_duration(arm.duration_s)])
    return rows


def remarks(audit: Audit) -> list[str]:
    """What must be known to read the table."""
    trained = audit.arms[0].n_training_patches if audit.arms else 0
    generated = " (generated, not real handwriting)" if audit.is_generated else ""
    return [
        f"{audit.corpus}{generated}, {audit.n_writers} writers; recipe {audit.recipe}, {trained:,} training patches "
        f"an arm in {audit.epochs} epochs, seed {audit.seed}; no test page of split {audit.split_hash[:12]} is in any "
        "arm.",
        "Scores are of the best epoch on the arm's own validation part, 95 % intervals by bootstrap over its "
        f"{'pages' if audit.baseline == 'page' else 'images'}; signed: points above the split by {audit.baseline}. "
        "One seed: arms also differ by chance.",
        *(f"No arm by {name}: {reason}" for name, reason in audit.lacking.items()),
    ]


def markdown(audit: Audit) -> str:
    """The table and its remarks as a page of Markdown."""
    rows = table_rows(audit)
    lines = [f"| {' | '.join(cells)} |" for cells in (rows[0], ["---", *["---:"] * (len(rows[0]) - 1)], *rows[1:])]
    notes = [f"- {remark}" for remark in remarks(audit)]
    return "\n".join([f"# What leakage is worth: {audit.experiment}", "", *lines, "", *notes, ""])


def write_audit(audit: Audit, folder: Path) -> tuple[Path, Path]:
    """Write `audit.json` and `audit.md`, whole or not at all, and return both paths."""
    content = asdict(audit) | {"folder": str(audit.folder), "warnings": [a.warning for a in audit.arms if a.warning]}
    as_json, as_markdown = folder / "audit.json", folder / "audit.md"
    write_atomically(as_json, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    write_atomically(as_markdown, markdown(audit).encode())
    return as_json, as_markdown


def _cells(audit: Audit, arm: AuditedArm, level: str) -> tuple[str, str, str]:
    """Score, interval, and points above the honest division's score (empty for itself, and while it
    is not there).
    """
    name = f"{level}_top1"
    score = arm.scores.get(name)
    if score is None:
        return "", "", ""
    base = next((other.scores.get(name) for other in audit.arms if other.name == audit.baseline), None)
    difference = "" if base is None or arm.name == audit.baseline else f"{100 * (score.value - base.value):+.1f}"
    return f"{score.value:.1%}", f"({100 * score.low:.1f} to {100 * score.high:.1f})", difference
