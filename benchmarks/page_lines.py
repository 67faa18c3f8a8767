"""How well text lines are found on full pages, with each thing that disturbs and with all of them,
and how fast.

    python -m benchmarks.page_lines

Generated sheets of A4 at 300 dpi, each by a writer of its own; what counts as found says
`benchmarks.line_truth`. Seconds are those of one processor core for all that follows decoding.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import typer

from benchmarks.line_truth import LineTruth, compare_lines
from benchmarks.report import notes, print_report
from benchmarks.written_sheets import SheetStyle, write_sheet
from core.errors import ImageError
from core.handwriting.penmanship import draw_penmanship
from core.pages.text_lines import read_page
from core.settings import InkSettings

_ALL = SheetStyle(form="iam", ruling="ruled", skew_deg=3.0, noise=8.0, n_specks=400, dark_edge_px=60)
STYLES = {
    "clean": SheetStyle(),
    "form with header and footer": SheetStyle(form="iam"),
    "form with header": SheetStyle(form="cvl"),
    "ruled paper": SheetStyle(ruling="ruled"),
    "squared paper": SheetStyle(ruling="squared"),
    "turned by 3 degrees": SheetStyle(skew_deg=3.0),
    "noise and specks": SheetStyle(noise=8.0, n_specks=400),
    "dark edges": SheetStyle(dark_edge_px=60),
    "form, turned, noise": replace(_ALL, ruling="none", dark_edge_px=0),
    "all, ruled": _ALL,
    "all, squared, turned by 4.5": replace(_ALL, ruling="squared", rule_darkness=0.3, skew_deg=-4.5),
}
_COLUMNS = ("pages", "lines", "found", "of 2 lines", "of more", "of none", "text height off", "s")


@dataclass(frozen=True)
class ReadSheet:
    """One sheet read: how it compares with the truth, and the seconds of one core; no truth where
    it was refused.
    """

    truth: LineTruth | None
    n_lines: int
    cpu_s: float


def main(
    pages: Annotated[int, typer.Option(min=1, help="Sheets of each kind.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of the first writer.")] = 1000,
) -> None:
    """Measure how well and how fast lines are found on generated sheets."""
    rows = []
    for name, style in STYLES.items():
        notes.print(f"page_lines: {name} ...")
        rows.append((name, *_row([read_one(style, seed + k) for k in range(pages)])))
    remarks = [
        f"{pages} sheets of each kind; aim: 98 % found, none of more than 2 lines, text height less than 10 % off",
        "found: a found line shares 75 % or more of the ink (intersection over union); refused sheets have none",
        "of 2 lines, of more, of none: found lines that hold a quarter or more of so many true ones; of none is print, "
        "rules or dirt",
        "text height off: the median of the lines found, against the same measure on the pen's own ink",
    ]
    print_report("Text lines on full pages", _COLUMNS, rows, remarks)


def read_one(style: SheetStyle, seed: int) -> ReadSheet:
    """Write and read a sheet."""
    sheet = write_sheet(draw_penmanship(np.random.default_rng(seed)), style, np.random.default_rng([seed, 1]))
    started = time.thread_time()
    try:
        page = read_page(sheet.pixels, "page" if style.form == "none" else "form", InkSettings())
    except ImageError as error:
        notes.print(f"refused: {error}", markup=False)
        return ReadSheet(None, len(sheet.texts), time.thread_time() - started)
    cpu_s = time.thread_time() - started
    return ReadSheet(compare_lines(sheet, page, style.skew_deg), len(sheet.texts), cpu_s)


def _row(sheets: Sequence[ReadSheet]) -> tuple[str, ...]:
    truths = [sheet.truth for sheet in sheets if sheet.truth is not None]
    n_lines = sum(sheet.n_lines for sheet in sheets)
    n_found = sum(int(truth.is_found.sum()) for truth in truths)
    merged = np.concatenate([np.zeros(0, np.int64), *(truth.n_merged for truth in truths)])
    errors = np.abs(np.concatenate([np.zeros(0), *(truth.text_errors for truth in truths)]))
    counts = ((merged == 2).sum(), (merged > 2).sum(), sum(truth.n_foreign for truth in truths))
    off = f"{np.median(errors):.1%}" if len(errors) else "-"
    cpu_s = f"{np.median([sheet.cpu_s for sheet in sheets]):.2f}"
    return f"{n_lines:,}", f"{n_found / n_lines:.2%}", *(str(count) for count in counts), off, cpu_s


if __name__ == "__main__":
    typer.run(main)
