"""How fast a promoted model names writers, once it is loaded: one page, and a folder of lines.

    python -m benchmarks.identify_speed [--model FOLDER] [--lines 200]

Without `--model` an untrained network of the shape that won on DHSD is packed as a model: speed
does not depend on training. Pages and lines are generated.
"""

import statistics
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer
from PIL import Image

import core.networks.quiet_tensorflow  # noqa: F401  (before TensorFlow, which it keeps quiet)
from benchmarks.report import print_report
from benchmarks.short_sweep import temporary_folder
from core.handwriting.page import write_page
from core.handwriting.penmanship import draw_penmanship
from core.identification.calibration import Calibration, fit_unknown_writer_test
from core.identification.model_record import ModelRecord
from core.networks.hyperparameters import Hyperparameters
from core.networks.model import build_model
from core.settings import InkSettings, PatchSettings
from search.identification.identifier_folder import save_identifier
from search.identification.model_process import ModelProcess

_N_WRITERS = 37
_N_PAGES = 5
_N_LINES_ON_PAGE = 12


def main(
    model: Annotated[Path | None, typer.Option(help="Folder of a promoted model.")] = None,
    lines: Annotated[int, typer.Option(min=1, help="Images of lines in the folder.")] = 200,
) -> None:
    """Time a model in its own process, as `whosehand identify` runs it."""
    with temporary_folder() as folder:
        folder_of_model = model or _untrained(folder)
        pages, cut = _write_pages(folder, lines)
        started = time.perf_counter()
        with ModelProcess(folder_of_model) as process:
            load_s = time.perf_counter() - started
            page_s = [_time(process, path) for path in pages]
            started = time.perf_counter()
            for path in cut:
                process.ask(path, {"top": 0})
            lines_s = time.perf_counter() - started
            memory_mb = sum(child.memory_info().rss for child in psutil.Process().children(recursive=True)) / 1e6
    rows = [
        ("loading the model", f"{load_s:.1f} s"),
        (f"one page of {_N_LINES_ON_PAGE} lines, median of {_N_PAGES}", f"{statistics.median(page_s):.2f} s"),
        (f"one page, slowest of {_N_PAGES}", f"{max(page_s):.2f} s"),
        (f"a folder of {lines} lines", f"{lines / lines_s:.1f} images/s"),
        ("memory of the model's process", f"{memory_mb:.0f} MB"),
    ]
    print_report("Speed of identification", ("what", "figure"), rows)


def _untrained(folder: Path) -> Path:
    point = Hyperparameters(
        input_px=56,
        n_blocks=3,
        convolutions_per_block=2,
        filters=48,
        filters_growth=2.0,
        stem_stride=2,
        batch_norm=True,
    )
    patches = PatchSettings()
    network = folder / "model.keras"
    build_model(point, (patches.size_px, patches.size_px, 1), _N_WRITERS).save(network)
    spread = np.linspace(0.1, 0.9, 50)
    calibration = Calibration("image", 1.0, 50, fit_unknown_writer_test("class_removed", spread, spread, 0.05))
    writer_ids = tuple(f"{writer:03d}" for writer in range(_N_WRITERS))
    record = ModelRecord(writer_ids, InkSettings(), patches, "benchmark", "", "", {}, "", calibrations=(calibration,))
    return save_identifier(network, record, folder / "identifier")


def _write_pages(folder: Path, n_lines: int) -> tuple[list[Path], list[Path]]:
    generator = np.random.default_rng(0)
    pages, cut = [], []
    for number in range(_N_PAGES):
        page = write_page(draw_penmanship(generator), _N_LINES_ON_PAGE, generator)
        pages.append(folder / f"page{number}.png")
        Image.fromarray(page.pixels).save(pages[-1])
        for place, line in enumerate(page.lines):
            box = (line.left_px, line.top_px, line.left_px + line.width_px, line.top_px + line.height_px)
            cut.append(folder / f"line{number}-{place}.png")
            Image.fromarray(page.pixels).crop(box).save(cut[-1])
    return pages, [cut[k % len(cut)] for k in range(n_lines)]


def _time(process: ModelProcess, path: Path) -> float:
    started = time.perf_counter()
    process.ask(path, {"top": 0})
    return time.perf_counter() - started


if __name__ == "__main__":
    typer.run(main)
