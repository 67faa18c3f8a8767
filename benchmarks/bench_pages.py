"""How well text lines are found on full pages, under each trouble of real scans, and how fast.

    make bench-pages
    python -m benchmarks.bench_pages --pages 12 --seed 5000

Generated sheets of A4 at 300 dpi, each by a writer of its own, with a strength of its trouble drawn
from the seed; what counts as found whole says `benchmarks.line_truth`. Whoever works on the reader
looks at other seeds than the benchmark's: `--seed 100`, say. The last rows are images of which the
reader is not told what they are.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import psutil
import typer

from benchmarks.line_truth import OUTCOMES, LineTruth, compare_lines
from benchmarks.report import notes, print_report
from core.corpora.dhsd import DhsdCorpus
from core.corpora.index import Unit
from core.corpora.settings import DhsdSettings
from core.errors import ImageError
from core.handwriting.penmanship import draw_penmanship
from core.handwriting.sheet import WrittenSheet, write_sheet
from core.handwriting.sheet_style import draw_style
from core.pages.image_files import read_grey
from core.pages.text_lines import read_page
from core.settings import InkSettings

SEED = 5000
TROUBLES: dict[str, dict[str, Any]] = {
    "plain": {},
    "ruled paper": {"paper": "ruled"},
    "squared paper": {"paper": "squared"},
    "dotted paper": {"paper": "dotted"},
    "shadow of a fold": {"edge": "shadow"},
    "dark band": {"edge": "band"},
    "black corners": {"edge": "corners"},
    "punch holes": {"edge": "punch_holes"},
    "turned sheet": {"skew": "turn"},
    "sloping lines": {"skew": "slope"},
    "fanned lines": {"skew": "fan"},
    "curved lines": {"skew": "curve"},
    "two columns": {"columns": 2},
    "pencil": {"tool": "pencil"},
    "short last line": {"last_line": "short"},
    "form of IAM's": {"form": "iam"},
    "form of CVL's": {"form": "cvl"},
    "ruled, band, turned": {"paper": "ruled", "edge": "band", "skew": "turn"},
    "ruled, shadow, fanned": {"paper": "ruled", "edge": "shadow", "skew": "fan"},
    "pencil, ruled, curved": {"tool": "pencil", "paper": "ruled", "skew": "curve"},
}
PARAGRAPHS: dict[str, Unit] = {"paragraph, read as page": "page", "paragraph, not told": "auto"}
_COLUMNS = ("trouble", "pages", "lines", *OUTCOMES, "of none", "text height off", "s", "MB")
_PEAK = Path("/proc/self/clear_refs")
"""Linux forgets the peak of a process's memory when "5" is written here."""


@dataclass(frozen=True)
class ReadSheet:
    """One sheet read.

    Attributes:
        truth: how it compares with what was written; `None` where it was refused.
        n_lines: that were written.
        cpu_s: seconds of one core for reading.
        peak_mb: the most memory of the process while it read, its libraries and the sheet included;
            0 where the system does not tell.
        left_mb: its memory afterwards.
    """

    truth: LineTruth | None
    n_lines: int
    cpu_s: float
    peak_mb: float
    left_mb: float


def main(
    pages: Annotated[int, typer.Option(min=1, help="Sheets with each trouble.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Of the first writer.")] = SEED,
    only: Annotated[str, typer.Option(help="Only troubles with this in their name.")] = "",
    dhsd: Annotated[Path, typer.Option(help="Folder of DHSD; its words are read where it is there.")] = Path(
        "data/dhsd"
    ),
) -> None:
    """Measure how well and how fast lines are found on generated sheets, and on words of DHSD."""
    rows, remarks = [], []
    read_sheets: dict[str, list[ReadSheet]] = {}
    n_cores = len(os.sched_getaffinity(0))
    # One thread each, so that the seconds of a process are those of a core.
    with ProcessPoolExecutor(n_cores, initializer=cv2.setNumThreads, initargs=(1,)) as processes:
        for number, name in enumerate([*TROUBLES, *PARAGRAPHS]):
            if only not in name:
                continue
            notes.print(f"bench_pages: {name} ...")
            read = partial(_read_paragraph if name in PARAGRAPHS else read_one, name)
            sheets = list(processes.map(read, [seed + 100 * number + k for k in range(pages)]))
            rows.append((name, *_row(sheets)))
            if name in TROUBLES:
                read_sheets[name] = sheets
    if read_sheets:
        remarks.append(_speed(read_sheets, n_cores))
    if dhsd.is_dir():
        remarks.append(_dhsd(dhsd))
    remarks += [
        "aim: 99.5 % of lines whole on plain pages, 98 % under each trouble; refused sheets have none",
        "of none: found lines of which less than a quarter is ink of any line: print, rules, edges",
        "text height off: the median of the lines found whole, against the same measure on the pen's own ink",
        f"pages {seed} and following; s: median seconds of one core, MB: the most memory in a process",
    ]
    print_report("Text lines on full pages", _COLUMNS, rows, remarks)


def draw_sheet(trouble: str, seed: int, n_lines: int | None = None, closeness: float = 1.0) -> WrittenSheet:
    """A sheet with a trouble; the seed decides writer, text and strength.

    Args:
        trouble: of `TROUBLES`.
        seed: also of strengths.
        n_lines: of a sheet that is as high as they need.
        closeness: factor on the distance of lines.
    """
    style = draw_style(np.random.default_rng([seed, 2]), **TROUBLES[trouble])
    hand = draw_penmanship(np.random.default_rng(seed))
    hand = replace(hand, line_gap=closeness * hand.line_gap)
    return write_sheet(hand, style, np.random.default_rng([seed, 1]), n_lines)


def read_one(trouble: str, seed: int) -> ReadSheet:
    """Write and read a sheet."""
    return _read(draw_sheet(trouble, seed), "form" if "form" in TROUBLES[trouble] else "page")


def draw_paragraph(seed: int) -> WrittenSheet:
    """Two to six lines whose last is short, often close together, cut out with a narrow margin."""
    generator = np.random.default_rng([seed, 3])
    n_lines, closeness = int(generator.integers(2, 7)), float(generator.uniform(0.6, 1.0))
    sheet = draw_sheet("short last line", seed, n_lines, closeness)
    rows, columns = np.nonzero(sheet.line_of_pixel)
    top, left = max(0, rows.min() - 40), max(0, columns.min() - 40)
    place = slice(top, rows.max() + 40), slice(left, columns.max() + 40)
    return WrittenSheet(sheet.pixels[place], sheet.line_of_pixel[place], sheet.lines, sheet.x_height_px)


def _read_paragraph(name: str, seed: int) -> ReadSheet:
    return _read(draw_paragraph(seed), PARAGRAPHS[name])


def _read(sheet: WrittenSheet, unit: Unit) -> ReadSheet:
    if _PEAK.exists():
        _PEAK.write_text("5")
    started = time.process_time()
    page = None
    try:
        page = read_page(sheet.pixels, unit, InkSettings())
    except ImageError as error:
        notes.print(f"refused: {error}", markup=False)
    cpu_s = time.process_time() - started
    peak_mb, left_mb = _peak_mb(), psutil.Process().memory_info().rss / 1e6
    truth = None if page is None else compare_lines(sheet, page)
    return ReadSheet(truth, len(sheet.lines), cpu_s, peak_mb, left_mb)


def _peak_mb() -> float:
    if not _PEAK.exists():
        return 0.0
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))


def _speed(sheets: Mapping[str, Sequence[ReadSheet]], n_cores: int) -> str:
    medians = {name: float(np.median([sheet.cpu_s for sheet in found])) for name, found in sheets.items()}
    slowest = max(medians, key=lambda name: medians[name])
    every = [sheet for found in sheets.values() for sheet in found]
    mean_s = float(np.mean([sheet.cpu_s for sheet in every]))
    left = [sheet.left_mb for sheet in every]
    return (
        f"{n_cores} cores read {n_cores / mean_s:.1f} pages/s, decoding not counted ({slowest}: "
        f"{n_cores / medians[slowest]:.1f}); at most {max(sheet.peak_mb for sheet in every):.0f} MB in a process, "
        f"{left[0]:.0f} MB in it after the first page, {left[-1]:.0f} MB after the last of {len(every)}"
    )


def _dhsd(root: Path) -> str:
    """How many of a sample of real words are one line, whatever they are said to be."""
    images = DhsdCorpus(DhsdSettings(root=root)).index().images[::19][:300]
    n_lines: Counter[tuple[str, int]] = Counter()
    for image in images:
        grey = read_grey(image.path)
        for unit in ("auto", "page"):
            n_lines[unit, len(read_page(grey, unit, InkSettings()).lines)] += 1
    return f"{len(images)} words of DHSD: one line " + ", ".join(
        f"read as {unit} {n_lines[unit, 1]}" for unit in ("auto", "page")
    )


def _row(sheets: Sequence[ReadSheet]) -> tuple[str, ...]:
    truths = [sheet.truth for sheet in sheets if sheet.truth is not None]
    n_lines = sum(sheet.n_lines for sheet in sheets)
    counts = Counter(outcome for truth in truths for outcome in truth.outcomes)
    counts["missed"] += n_lines - counts.total()
    errors = np.abs(np.concatenate([np.zeros(0), *(truth.text_errors for truth in truths)]))
    off = f"{np.median(errors):.1%}" if len(errors) else "-"
    cpu_s = f"{np.median([sheet.cpu_s for sheet in sheets]):.2f}"
    shares = (f"{counts['whole'] / n_lines:.1%}", *(str(counts[outcome]) for outcome in OUTCOMES[1:]))
    n_foreign = sum(truth.n_foreign for truth in truths)
    peak_mb = f"{max(sheet.peak_mb for sheet in sheets):.0f}"
    return (str(len(sheets)), f"{n_lines:,}", *shares, str(n_foreign), off, cpu_s, peak_mb)


if __name__ == "__main__":
    typer.run(main)
