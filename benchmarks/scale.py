"""What breaks first with 10,000 writers on 100,000 pages: seconds and memory of each part, at a
tenth of that and at all of it.

    python -m benchmarks.scale FOLDER [--sizes 0.1,1] [--parts scoring,files]

The corpus is made of numbers: synthetic indices, tiny images, no network. Each part runs in a
process of its own for each size, and its figures are kept in FOLDER, so that a run that was stopped
goes on; delete a file there to measure it again. Memory is the peak above what the process had
before. With ten times the writers and ten times the pages, a part that grows by writers x pages
takes a hundred times as much.
"""

import json
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import scale_lines, scale_records, scale_scoring
from benchmarks.report import notes, print_report
from benchmarks.scale_cost import Cost, Size

PARTS: dict[str, Callable[[Size, Path], Sequence[Cost]]] = {
    "scoring": scale_scoring.measure_scoring,
    "files": scale_scoring.measure_files,
    "lines": scale_lines.measure_lines,
    "ledger": scale_records.measure_ledger,
}
ALL = Size(10_000, 100_000)
LIMIT_S = 3600.0


def main(
    folder: Annotated[Path, typer.Argument(help="Keeps figures, and what a part needs to be made once.")],
    sizes: Annotated[str, typer.Option(help="Factors on 10,000 writers and 100,000 pages, with commas.")] = "0.1,1",
    parts: Annotated[str, typer.Option(help=f"With commas, of {', '.join(PARTS)}.")] = ",".join(PARTS),
) -> None:
    """Measure parts at several sizes."""
    factors = [float(size) for size in sizes.split(",")]
    rows: list[tuple[str, ...]] = []
    for part in parts.split(","):
        costs = [kept_costs(part, ALL.scaled(factor), folder) for factor in factors]
        rows += [_row(part, of_sizes) for of_sizes in zip(*costs, strict=True)]
    columns = ["what"]
    for factor in factors:
        size = ALL.scaled(factor)
        columns += [f"{size.n_writers:,} x {size.n_pages:,}, s", "peak, MB"]
    remarks = ["peak: of the resident memory above what the process had before"]
    print_report("Scale", columns, rows, remarks)


def kept_costs(part: str, size: Size, folder: Path) -> list[Cost]:
    """The costs of a part, from the file that keeps them or from a process of its own.

    Raises:
        RuntimeError: if that process fails, or takes longer than an hour.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{part}-{size.n_writers}-{size.n_pages}.json"
    if not kept.exists():
        notes.print(f"scale: {part}, {size.n_writers:,} writers x {size.n_pages:,} pages ...")
        costs = _in_process(part, size, folder)
        kept.write_text(json.dumps([asdict(cost) for cost in costs], indent=1) + "\n", encoding="utf-8")
    return [Cost(**row) for row in json.loads(kept.read_text(encoding="utf-8"))]


def _in_process(part: str, size: Size, folder: Path) -> Sequence[Cost]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_into, args=(sender, part, size, folder))
    process.start()
    sender.close()
    try:
        if not receiver.poll(LIMIT_S):
            raise RuntimeError(f"{part} must end within {LIMIT_S:.0f} s, but it runs still.")
        costs: Sequence[Cost] = receiver.recv()
        return costs
    except EOFError as error:
        raise RuntimeError(f"{part} ended without figures: see above, or it had no memory left.") from error
    finally:
        process.kill()
        process.join()


def _measure_into(sender: Connection, part: str, size: Size, folder: Path) -> None:
    sender.send(PARTS[part](size, folder))


def _row(part: str, of_sizes: Sequence[Cost]) -> tuple[str, ...]:
    cells = [f"{part}: {of_sizes[0].what}"]
    for cost in of_sizes:
        cells += [f"{cost.seconds:.2f}", f"{cost.peak_mb:,.0f}"]
    return tuple(cells)


if __name__ == "__main__":
    typer.run(main)
