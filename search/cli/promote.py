"""`whosehand promote`: the best trial becomes a registered model."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from search.cli.arguments import current_workspace
from search.cli.terminal import notes, output, progress_bar

if TYPE_CHECKING:
    from search.promotion.promote import Promotion

_LEVELS = ("patch", "image", "page")
_SHOWN = ("top1", "top5", "macro_f1", "logloss")


def promote(
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="The sweep's name.", show_default=False)],
    trial: Annotated[
        int | None, typer.Option(help="Promote this trial.", show_default="the best finalist, or the best trial")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Name in the registry.", show_default="the experiment's, or whosehand-SWEEP")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Length of the refit.", show_default="the experiment's")
    ] = None,
) -> None:
    """Refit the best trial longer, score it on the sealed test pages, register it as the champion.

    The test pages are opened once for each refit, and every opening is counted: a score is worth less with each look.
    """
    from search.progress import make_progress
    from search.promotion.promote import PromotionChoice
    from search.promotion.promote import promote as promote_sweep

    choice = PromotionChoice(trial, model, epochs)
    with progress_bar("reading text lines") as advance:
        promotion = promote_sweep(sweep, current_workspace(), choice, make_progress(notes), advance)
    _print_promotion(promotion)


def _print_promotion(promotion: "Promotion") -> None:
    version = promotion.version
    former = f" (before: version {promotion.former.version}, now `previous`)" if promotion.former else ""
    output.print(f"champion of [bold]{version.name}[/]: version {version.version}{former}")
    scores = promotion.scores
    if scores is None:
        output.print("The split has no test pages, so there is no score on unseen pages.")
        return
    kept = json.loads(scores.result.artifacts["test/scores.json"].path.read_text(encoding="utf-8"))
    levels = [level for level in _LEVELS if f"{level}_top1" in kept["scores"]]
    unit = f"test {levels[-1]}s"
    table = Table(unit, *levels)
    for name in _SHOWN:
        table.add_row(name, *(_cell(name, kept["scores"].get(f"{level}_{name}")) for level in levels))
    output.print(table)
    output.print(f"in brackets: {kept['interval']}")
    times = "once" if scores.n_openings == 1 else f"{scores.n_openings} times"
    again = ", not again for this fit" if promotion.was_opened_before else ""
    output.print(f"these {unit} had been opened {times} by then{again}")


def _cell(name: str, score: dict[str, float] | None) -> str:
    if score is None:
        return ""
    value, low, high = score["value"], score["low"], score["high"]
    if name == "logloss":
        return f"{value:.3f} ({low:.3f}-{high:.3f})"
    return f"{value:.1%} ({100 * low:.1f}-{100 * high:.1f})"
