"""Pictures, each written as one PNG file: patches of each writer, mistakes and learning."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.sparse import csr_array

from core.lines.source import LineSource
from core.patches.plan import PatchPlan, read_patches
from core.scoring.confusion import writers_to_draw

_BACKGROUND, _TEXT = 208, 30  # grey levels: paper must stand out from the background
_GAP_PX, _MARGIN_PX, _FONT_PX, _MAX_NAME_LENGTH = 4, 12, 18, 24
_MOST_TILE_ROWS_PX = 3000  # longer collages get smaller tiles
_LEAST_TILE_PX = 56
_MOST_COLLAGE_WRITERS = 700  # as high as a picture of 42,000 pixels; a viewer opens that
_GREY, _SKY, _BLUE, _ORANGE = "#8a8a8a", "#56b4e9", "#0072b2", "#d55e00"  # Okabe and Ito: safe for colour blindness
_LOSSES = {
    "train/loss": ("training", _GREY),
    "val/patch_logloss": ("validation, patches", _SKY),
    "val/image_logloss": ("validation, images", _BLUE),
    "val/page_logloss": ("validation, pages", _ORANGE),
}
_TOP1 = {
    "train/top1": ("training", _GREY),
    "val/patch_top1": ("validation, patches", _SKY),
    "val/image_top1": ("validation, images", _BLUE),
    "val/page_top1": ("validation, pages", _ORANGE),
    "val/retrieval_top1": ("validation, most similar page", _BLUE),
}
_FOUND = {"val/retrieval_map": ("validation, mean average precision", _ORANGE)}
_MOST_NUMBERED_WRITERS = 40
_MOST_NUMBERS = 150  # in one picture: each takes a millisecond and more, and ones in every second cell say nothing
_MOST_TICKS = 110


def patch_collage(
    store: LineSource, plan: PatchPlan, writer_ids: Sequence[str], path: Path, per_writer: int = 10
) -> None:
    """Draw patches in a grid, one row for each writer with the writer id before it.

    Args:
        store: that the plan belongs to.
        plan: the patches to choose from; those of a writer are taken at equal steps of the plan.
        writer_ids: class k is writer_ids[k]; patches of other classes are left out, writers without
            patches too. Of more than 700 writers with patches some are shown, at equal steps.
        path: of the PNG file.
        per_writer: most patches in a row.

    Raises:
        ValueError: if the plan has no patch by these writers, or `per_writer` is below 1.
    """
    labels = _labels_to_show(plan, len(writer_ids))
    if not labels or per_writer < 1:
        raise ValueError(
            f"A collage needs `per_writer >= 1` and a patch by one of {writer_ids}, but got {per_writer=}."
        )
    font = ImageFont.load_default(_FONT_PX)
    names = [_shorten(writer_ids[label]) for label in labels]
    name_px = round(max(font.getlength(name) for name in names))
    fitting_px = _MOST_TILE_ROWS_PX // len(labels) - _GAP_PX
    tile_px = int(np.clip(fitting_px, min(_LEAST_TILE_PX, plan.size_px), plan.size_px))
    step, left = tile_px + _GAP_PX, _MARGIN_PX + name_px + _MARGIN_PX
    size = (left + per_writer * step + _MARGIN_PX - _GAP_PX, 2 * _MARGIN_PX + len(labels) * step - _GAP_PX)
    canvas = Image.new("L", size, _BACKGROUND)
    drawing = ImageDraw.Draw(canvas)
    for row, (label, name) in enumerate(zip(labels, names, strict=True)):
        top = _MARGIN_PX + row * step
        drawing.text((left - _MARGIN_PX, top + tile_px / 2), name, fill=_TEXT, font=font, anchor="rm")
        own = np.flatnonzero(plan.labels == label)  # at most 700 times
        chosen = own[np.arange(min(per_writer, len(own))) * len(own) // min(per_writer, len(own))]
        for column, patch in enumerate(read_patches(store, plan[chosen])):
            tile = Image.fromarray(patch).resize((tile_px, tile_px), Image.Resampling.LANCZOS)
            canvas.paste(tile, (left + column * step, top))
    _make_folder(path)
    canvas.save(path)


def _labels_to_show(plan: PatchPlan, n_writers: int) -> list[int]:
    """Of the writers with patches all, or as many at equal steps as a picture has room for."""
    present = np.unique(plan.labels)
    present = present[(present >= 0) & (present < n_writers)]
    n_shown = min(len(present), _MOST_COLLAGE_WRITERS)
    shown: list[int] = present[np.arange(n_shown) * len(present) // max(n_shown, 1)].tolist()
    return shown


def confusion_picture(confusion: csr_array | NDArray[np.integer], writer_ids: Sequence[str], path: Path) -> None:
    """Draw who was taken for whom: colour is the share of a writer's images, numbers are images,
    small ones left out where there are too many. Of very many writers only those are drawn who are
    confused most (`writers_to_draw`).

    Args:
        confusion: (n_writers, n_writers) counts, true writers in rows.
        writer_ids: of rows and columns.
        path: of the PNG file.

    Raises:
        ValueError: if the shape does not fit the writers.
    """
    n = len(writer_ids)
    if confusion.shape != (n, n):
        raise ValueError(f"`confusion` must have the shape {(n, n)}, but got {confusion.shape}.")
    counts, drawn = csr_array(confusion), writers_to_draw(confusion)
    n_images, n_right = int(counts.sum()), int(counts.trace())
    title = f"{n_right:,} of {n_images:,} images identified correctly ({n_right / max(n_images, 1):.1%})"
    of_writer = np.maximum(counts.sum(axis=1)[drawn][:, np.newaxis], 1)
    if len(drawn) < n:
        title += f"; the {len(drawn)} most confused of {n:,} writers"
        writer_ids, n = [writer_ids[k] for k in drawn], len(drawn)
    cells = counts[drawn][:, drawn].toarray()
    cell_in = float(np.clip(7.0 / n, 0.16, max(0.9, 3.0 / n))) if n <= _MOST_TICKS else 18.0 / n
    font_pt = float(np.clip(cell_in * 32, 5.5, 10))
    figure, axes, bar_axes = _square_figure(
        cell_in * n, max(len(_shorten(name)) for name in writer_ids) * font_pt * 0.62 / 72
    )
    shares = cells / of_writer
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.4, vmin=0, vmax=1))  # single mistakes must be seen
    _label_writers(axes, writer_ids, font_pt)
    if n <= _MOST_NUMBERED_WRITERS:
        for row, column in np.argwhere(cells >= _least_number(cells)):
            colour = "white" if shares[row, column] > 0.25 else "black"
            count = str(cells[row, column])
            axes.text(column, row, count, ha="center", va="center", color=colour, fontsize=font_pt)
    title_pt = float(np.clip(cell_in * n, 10, 18))
    axes.set_title(title, size=title_pt)
    axes.set_xlabel("named writer", fontsize=title_pt)
    axes.set_ylabel("true writer", fontsize=title_pt)
    bar = figure.colorbar(image, cax=bar_axes, ticks=[0, 0.01, 0.05, 0.25, 0.5, 1])
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1))
    bar.set_label("share of the true writer's images", fontsize=9)
    _make_folder(path)
    figure.savefig(path)


def _least_number(cells: NDArray[np.integer]) -> int:
    """The least count with a number, such that no more than `_MOST_NUMBERS` cells have one."""
    counts = np.sort(cells[cells > 0])[::-1]
    return 1 if len(counts) <= _MOST_NUMBERS else int(counts[_MOST_NUMBERS]) + 1


def learning_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw loss and top-1 against the epoch, and mean average precision beside top-1.

    Args:
        history: the metrics of each epoch, the first epoch first; `train/loss`, `train/top1` and
            `val/{patch,image,page}_{logloss,top1}` are drawn where they are there, and so are
            `val/retrieval_{map,top1}`.
        path: of the PNG file.

    Raises:
        ValueError: if there is no epoch.
    """
    if not history:
        raise ValueError("Learning curves need at least one epoch, but got none.")
    figure = Figure(figsize=(11, 4.5), dpi=120, layout="constrained")
    losses, top1 = figure.subplots(1, 2)
    _draw_curves(losses, history, _LOSSES)
    _draw_curves(top1, history, _TOP1 | _FOUND)
    losses.set_title("loss (nats)", loc="left", fontsize=11)
    losses.set_ylim(bottom=0)
    has_map = any(name in metrics for name in _FOUND for metrics in history)
    top1.set_title("top-1 and mean average precision" if has_map else "top-1", loc="left", fontsize=11)
    top1.set_ylim(0, 1.02)
    top1.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(*top1.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=len(_TOP1))
    _make_folder(path)
    figure.savefig(path)


def _draw_curves(axes: Axes, history: Sequence[Mapping[str, float]], names: Mapping[str, tuple[str, str]]) -> None:
    epochs = range(1, len(history) + 1)
    for name, (label, colour) in names.items():
        if any(name in metrics for metrics in history):
            values = [metrics.get(name, np.nan) for metrics in history]
            marker = "o" if len(history) <= 40 else ""
            axes.plot(epochs, values, color=colour, label=label, marker=marker, markersize=4, linewidth=1.8)
    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, len(history) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color="#e4e4e4", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)


def _square_figure(side_in: float, names_in: float) -> tuple[Figure, Axes, Axes]:
    """Lay out a square picture with names to its left and below, and a colour bar to its right.

    Laid out by hand, as matplotlib's own layouts take seconds for hundreds of tick labels.
    """
    left_in, bottom_in, right_in, top_in = names_in + 0.5, names_in + 0.5, 1.3, 0.5
    width_in, height_in = left_in + side_in + right_in, bottom_in + side_in + top_in
    figure = Figure(figsize=(width_in, height_in), dpi=120)
    axes = figure.add_axes((left_in / width_in, bottom_in / height_in, side_in / width_in, side_in / height_in))
    bar_in = min(side_in, 5.0)
    bar_bottom_in = bottom_in + (side_in - bar_in) / 2
    bar_axes = figure.add_axes(
        ((left_in + side_in + 0.2) / width_in, bar_bottom_in / height_in, 0.2 / width_in, bar_in / height_in)
    )
    return figure, axes, bar_axes


def _label_writers(axes: Axes, writer_ids: Sequence[str], font_pt: float) -> None:
    shown = range(0, len(writer_ids), -(-len(writer_ids) // _MOST_TICKS))
    names = [_shorten(writer_ids[k]) for k in shown]
    axes.set_xticks(shown, names, rotation=90, fontsize=font_pt)
    axes.set_yticks(shown, names, fontsize=font_pt)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)  # a writer's name may have dollar signs in it
    axes.tick_params(length=0)
    if len(writer_ids) <= _MOST_TICKS:
        borders, ends = np.arange(0.5, len(writer_ids) - 1), (-0.5, len(writer_ids) - 0.5)
        axes.hlines(borders, *ends, color="#e8e8e8", linewidth=0.5)
        axes.vlines(borders, *ends, color="#e8e8e8", linewidth=0.5)


def _shorten(name: str) -> str:
    """Cut the middle out of a name that is too long for a margin.

    >>> _shorten("scans-of-the-year-1887-miller")
    'scans-of-th…1887-miller'
    """
    half = _MAX_NAME_LENGTH // 2
    return name if len(name) <= _MAX_NAME_LENGTH else f"{name[: half - 1]}…{name[1 - half :]}"


def _make_folder(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
